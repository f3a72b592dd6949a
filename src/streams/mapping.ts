import { isUtf8 } from 'node:buffer'
import { FreshetError, messageOf } from '../errors.ts'
import { compileDecoder, type AvroDecoder } from '../records/avro-general.ts'
import { describe } from '../records/fields.ts'
import { fingerprintOf, headerBytes } from '../records/fingerprint.ts'
import type { Unchecked } from '../records/json.ts'
import { fingerprintIn, hasHeader, knownSchemas } from '../records/known-schemas.ts'
import type { AvroSchema } from '../records/schema-parts.ts'
import { olderSchemas } from '../records/schema-history.ts'
import { topicSchemas } from '../records/schemas.ts'
import type { Click, Impression } from '../records/types.ts'
import { compileFields, type FieldMapping } from './mapping-fields.ts'
import type { SourceRecord } from './stage.ts'

/** One source of ingest, as `sources` of the configuration says it; the default sources have no `fields`. */
export interface MappingOptions {
  readonly record: 'impression' | 'click'
  readonly format: 'json' | 'avro' | 'auto'
  /** Parsed JSON of the source's `schemaFile`. */
  readonly schema?: unknown
  /** freshet field -> where it comes from; fields that are not named keep their own name. */
  readonly fields: Readonly<Record<string, FieldMapping>>
  readonly futureSkewMs: number
  readonly recordBytesMax: number
}

/**
 * A record of a source topic to an event.
 * @throws FreshetError RECORD_UNDECODABLE, RECORD_INVALID, RECORD_TOO_LARGE, EVENT_TIME_IN_FUTURE, SCHEMA_UNKNOWN
 */
export type Mapping = (record: SourceRecord) => Impression | Click

/** @throws FreshetError CONFIG_INVALID for a path, field name or schema that is wrong */
export function compileMapping(options: MappingOptions): Mapping {
  const decodeAvro = compileAvro(options)
  const read = compileFields(options.record, options.fields)
  return (record) => {
    const value = checkedValue(record, options)
    const format = options.format === 'auto' ? formatOf(record) : options.format
    const event = read(recordOf(format === 'json' ? parseJson(value) : decodeAvro(value)))
    expectPast(event, record.timestampMs, options.futureSkewMs)
    return event
  }
}

function checkedValue({ value }: SourceRecord, { recordBytesMax }: MappingOptions): Buffer {
  if (value === null) {
    throw new FreshetError('RECORD_INVALID', 'the value: found null, expected a record')
  }
  if (value.length <= recordBytesMax) return value
  const message = `the value: found ${value.length} bytes, expected at most ${recordBytesMax} (ingest.recordBytesMax)`
  throw new FreshetError('RECORD_TOO_LARGE', message)
}

function formatOf({ headers }: SourceRecord): 'json' | 'avro' {
  const header = headers?.['content-type']
  if (header === undefined) return 'json'
  switch (header.split(';')[0]!.trim().toLowerCase()) {
    case 'application/json':
      return 'json'
    case 'avro/binary':
    case 'application/avro':
      return 'avro'
    default: {
      const found = describe(header)
      const message = `content-type header: found ${found}, expected application/json, avro/binary or application/avro`
      throw new FreshetError('RECORD_UNDECODABLE', message)
    }
  }
}

/** @throws FreshetError RECORD_UNDECODABLE */
export function parseJson(value: Buffer): unknown {
  if (!isUtf8(value)) throw new FreshetError('RECORD_UNDECODABLE', 'JSON: the bytes are not UTF-8')
  try {
    return JSON.parse(value.toString())
  } catch (cause) {
    throw new FreshetError('RECORD_UNDECODABLE', `JSON: ${messageOf(cause)}`, { cause })
  }
}

function recordOf(value: unknown): Unchecked {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Unchecked
  const message = `the record: found ${describe(value)}, expected an object`
  throw new FreshetError('RECORD_INVALID', message)
}

/** Single-object encoding of freshet's own schema or the source's; without a header, the source's own schema bare. */
function compileAvro({ record, schema }: MappingOptions): (value: Buffer) => unknown {
  const known =
    record === 'impression'
      ? knownSchemas('impression', topicSchemas.impressions, olderSchemas.impressions)
      : knownSchemas('click', topicSchemas.clicks, olderSchemas.clicks)
  if (schema === undefined) return (value) => known.decode(value)
  const own = schema as AvroSchema
  const decode: AvroDecoder = compileDecoder(own, { areLongsRounded: true })
  const fingerprint = fingerprintOf(own)
  return (value) => {
    if (!hasHeader(value)) return decode(value, 0)
    return fingerprintIn(value) === fingerprint ? decode(value, headerBytes) : known.decode(value)
  }
}

/** @throws FreshetError EVENT_TIME_IN_FUTURE */
export function expectPast(
  { eventTimeMs }: Impression | Click,
  arrivalMs: number,
  futureSkewMs: number,
): void {
  if (eventTimeMs <= arrivalMs + futureSkewMs) return
  const eventTime = new Date(eventTimeMs).toISOString()
  const arrival = new Date(arrivalMs).toISOString()
  const message = `event_time: ${eventTime} is later than its record, ${arrival}, by more than ingest.futureSkewMs`
  throw new FreshetError('EVENT_TIME_IN_FUTURE', message, { field: 'event_time' })
}
