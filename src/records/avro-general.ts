import avsc from 'avsc'
import type { Type } from 'avsc'
import { FreshetError, messageOf } from '../errors.ts'
import { compileGuard } from './avro-guard.ts'
import { describe } from './fields.ts'
import { isUnion } from './fingerprint.ts'
import type { AvroSchema, FieldSchema } from './schema-parts.ts'

/**
 * The general path through avsc: any schema, and reading with a newer schema than the one written with. Maps are JS Maps on
 * both sides. avsc would decode one into an object and lose the key `__proto__`; so it is shown the array of key-value
 * records that has the same bytes.
 */
export type AvroDecoder = (bytes: Buffer, offset: number) => unknown

export interface DecoderOptions {
  /** The schema to read with, where it is not the one written with. */
  readonly reader?: AvroSchema
  /** Integers beyond 2^53, e.g. times in nanoseconds, become the nearest double; they are refused otherwise. */
  readonly areLongsRounded?: boolean
}

/**
 * Decodes one record that fills `bytes` from `offset` to the end.
 * @throws FreshetError RECORD_UNDECODABLE; CONFIG_INVALID at once for schemas that are invalid or cannot be resolved
 */
export function compileDecoder(writer: AvroSchema, options: DecoderOptions = {}): AvroDecoder {
  const type = avroType(writer, options.areLongsRounded === true ? longsRounded : undefined)
  const guard = compileGuard(writer, options.areLongsRounded)
  const target = options.reader === undefined ? type : avroType(options.reader)
  const resolver = options.reader === undefined ? undefined : resolverOf(target, type)
  return (bytes, offset) => {
    const end = guard(bytes, offset)
    if (end < bytes.length) {
      const left = bytes.length - end
      throw new FreshetError('RECORD_UNDECODABLE', `Avro: ${left} bytes follow the record's end`)
    }
    try {
      return target.decode(bytes, offset, resolver).value
    } catch (cause) {
      throw new FreshetError('RECORD_UNDECODABLE', `Avro: ${messageOf(cause)}`, { cause })
    }
  }
}

/**
 * Decodes records that stand one behind the other, as in the blocks of a container file. Integers beyond 2^53 are bigints, and longs
 * that the schema calls timestamps are Dates, so that nothing has to be known of their unit.
 * @returns the record, and the offset behind it
 * @throws FreshetError RECORD_UNDECODABLE; CONFIG_INVALID at once for an invalid schema
 */
export function compileRowDecoder(
  schema: AvroSchema,
): (bytes: Buffer, offset: number) => { readonly value: unknown; readonly end: number } {
  const type = avroType(schema, typedLongs)
  const guard = compileGuard(schema, true)
  return (bytes, offset) => {
    const end = guard(bytes, offset)
    return { value: type.decode(bytes, offset).value, end }
  }
}

/** @throws FreshetError RECORD_INVALID when the value does not fit the schema, naming the field */
export function compileEncoder(schema: AvroSchema): (value: unknown) => Buffer {
  const type = avroType(schema)
  return (value) => {
    try {
      return type.toBuffer(value)
    } catch (cause) {
      const message = `Avro: ${misfitOf(type, value) ?? messageOf(cause)}`
      throw new FreshetError('RECORD_INVALID', message, { cause })
    }
  }
}

/** The first field that does not fit; avsc's own error names only the value. */
function misfitOf(type: Type, value: unknown): string | undefined {
  let misfit: string | undefined
  type.isValid(value, {
    errorHook: (path, found: unknown, expected) => {
      misfit ??= `${path.join('.')}: found ${describe(found)}, expected ${expected.typeName}`
    },
  })
  return misfit
}

/** @throws FreshetError CONFIG_INVALID */
function avroType(schema: AvroSchema, typeHook?: typeof longsRounded): Type {
  try {
    return avsc.Type.forSchema(withoutMaps(schema) as avsc.schema.AvroSchema, {
      logicalTypes: { [mapLogicalType]: MapType },
      assertLogicalTypes: true,
      // Records are then plain: nothing but their fields to be met by whoever goes through them.
      omitRecordMethods: true,
      ...(typeHook === undefined ? {} : { typeHook }),
    })
  } catch (cause) {
    const message = `invalid Avro schema: ${messageOf(cause)}`
    throw new FreshetError('CONFIG_INVALID', message, { cause })
  }
}

function resolverOf(reader: Type, writer: Type): ReturnType<Type['createResolver']> {
  try {
    return reader.createResolver(writer)
  } catch (cause) {
    const message = `the Avro schemas cannot be resolved: ${messageOf(cause)}`
    throw new FreshetError('CONFIG_INVALID', message, { cause })
  }
}

const roundedLong = longType(Number)

const exactLong = longType((long) => (isSafe(long) ? Number(long) : long))

const timestamps: Readonly<Record<string, Type>> = {
  millis: longType((long) => new Date(Number(long))),
  micros: longType((long) => new Date(Math.floor(Number(long) / 1_000))),
  nanos: longType((long) => new Date(Math.floor(Number(long) / 1_000_000))),
}

function isSafe(long: bigint): boolean {
  return Number.isSafeInteger(Number(long))
}

/** A long that is read as something else than avsc's own, which refuses what is beyond 2^53. */
function longType(read: (long: bigint) => unknown): Type {
  return avsc.types.LongType.__with({
    fromBuffer: (bytes: Buffer) => read(bytes.readBigInt64LE()),
    toBuffer: longToBuffer,
    fromJSON: Number,
    toJSON: Number,
    isValid: (value: unknown) => typeof value === 'number',
    compare: (a: number, b: number) => a - b,
  })
}

/** With a registry alone, avsc would leave out the longs that have a logical type. */
function longsRounded(schema: unknown): Type | undefined {
  const type =
    typeof schema === 'object' && schema !== null && 'type' in schema ? schema.type : schema
  return type === 'long' ? roundedLong : undefined
}

function typedLongs(schema: unknown): Type | undefined {
  if (longsRounded(schema) === undefined) return undefined
  const logicalType = (schema as { readonly logicalType?: string }).logicalType ?? ''
  const [, unit] = /^(?:local-)?timestamp-(millis|micros|nanos)$/.exec(logicalType) ?? []
  return unit === undefined ? exactLong : timestamps[unit]
}

function longToBuffer(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(BigInt(value))
  return bytes
}

const mapLogicalType = 'freshet-map'

class MapType extends avsc.types.LogicalType {
  protected override _fromValue(entries: unknown): ReadonlyMap<string, unknown> {
    return new Map((entries as { key: string; value: unknown }[]).map((e) => [e.key, e.value]))
  }

  protected override _toValue(value: unknown): unknown {
    return value instanceof Map
      ? Array.from(value as Map<string, unknown>, ([key, value]) => ({ key, value }))
      : undefined
  }

  /** A map is only ever read as a map with the same values. */
  protected override _resolve(writer: Type): unknown {
    return writer.equals(this) ? (value: unknown) => value : undefined
  }
}

function withoutMaps(schema: AvroSchema): AvroSchema | object {
  if (typeof schema === 'string') return schema
  if (isUnion(schema)) return schema.map(withoutMaps)
  if ('fields' in schema) return { ...schema, fields: schema.fields.map(fieldWithoutMaps) }
  switch (schema.type) {
    case 'map': {
      const fields = [
        { name: 'key', type: 'string' },
        { name: 'value', type: withoutMaps(schema.values!) },
      ]
      return { type: 'array', logicalType: mapLogicalType, items: { type: 'record', fields } }
    }
    case 'array':
      return { ...schema, items: withoutMaps(schema.items!) }
    default:
      return typeof schema.type === 'string'
        ? schema
        : { ...schema, type: withoutMaps(schema.type) }
  }
}

/** The default of a map is an empty array; other defaults that are objects are not used here, they are left out. */
function fieldWithoutMaps(field: FieldSchema): object {
  const type = withoutMaps(field.type)
  if (typeof field.default !== 'object' || field.default === null || Array.isArray(field.default)) {
    return { ...field, type }
  }
  const isMap = typeof field.type === 'object' && 'type' in field.type && field.type.type === 'map'
  return { name: field.name, type, ...(isMap ? { default: [] } : {}) }
}
