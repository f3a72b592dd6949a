import { readFile } from 'node:fs/promises'
import type { Config, SourceConfig } from '../config/schema.ts'
import { FreshetError, messageOf, type ErrorCode } from '../errors.ts'
import { encodeEvent } from '../records/codec.ts'
import { describe } from '../records/fields.ts'
import { sourceHeartbeatHeader } from '../records/headers.ts'
import { partitionOf } from '../records/partition.ts'
import type { SourceHeartbeat } from '../streams/align.ts'
import { toDeadLetter } from '../streams/dead-letter.ts'
import { compileMapping, type Mapping } from '../streams/mapping.ts'
import type { SinkRecord, SourceRecord } from '../streams/stage.ts'

export interface IngestTopics {
  readonly impressions: string
  readonly clicks: string
  readonly events: string
  readonly deadLetters: string
}

/** What a source record becomes, ready to be sent. Holds no bytes of what was read. */
export interface Mapped {
  readonly offset: number
  /** Arrival. */
  readonly timestampMs: number
  /** 'impression', 'click', or the code of why it was refused. */
  readonly kind: 'impression' | 'click' | ErrorCode
  readonly isRefused: boolean
  /** Of a refused record: that of the one before it, so that it keeps its place. */
  readonly eventTimeMs: number
  readonly output: SinkRecord
}

/** How far a source partition was before a record. */
export interface SourceTime {
  /** Of the newest event that was taken; -Infinity: none. */
  readonly lastEventTimeMs: number
  /** What it says itself; null: it is not punctuated. */
  readonly heartbeatMs: number | null
}

export type Mapper = (record: SourceRecord, before: SourceTime) => Mapped | SourceHeartbeat

/**
 * The mapper of every source topic: freshet's own two and those of the configuration.
 * @throws FreshetError CONFIG_INVALID, FILE_MISSING, FILE_INVALID naming the source
 */
export async function compileSources(
  sources: Config['sources'],
  config: Config['ingest'],
  topics: IngestTopics,
  partitions: number,
): Promise<ReadonlyMap<string, Mapper>> {
  const mappers = new Map<string, Mapper>()
  for (const [name, source] of Object.entries(allSources(sources, topics))) {
    if (mappers.has(source.topic)) {
      throw new FreshetError(
        'CONFIG_INVALID',
        `sources.${name}: topic ${source.topic} has a mapping already`,
      )
    }
    const mapping = await compileSource(name, source, config)
    mappers.set(source.topic, (record, before) =>
      map(record, before, mapping, config, topics, partitions),
    )
  }
  return mappers
}

/** freshet's own two and those of the configuration, by name. */
export function allSources(
  sources: Config['sources'],
  topics: Pick<IngestTopics, 'impressions' | 'clicks'>,
): Config['sources'] {
  return {
    impressions: { topic: topics.impressions, record: 'impression', format: 'auto', fields: {} },
    clicks: { topic: topics.clicks, record: 'click', format: 'auto', fields: {} },
    ...sources,
  }
}

export async function compileSource(
  name: string,
  source: SourceConfig,
  config: Config['ingest'],
): Promise<Mapping> {
  const { futureSkewMs, recordBytesMax } = config
  const { record, format, fields, schemaFile } = source
  const schema = schemaFile === undefined ? undefined : await readSchema(name, schemaFile)
  return compileMapping({ record, format, fields, schema, futureSkewMs, recordBytesMax })
}

async function readSchema(name: string, file: string): Promise<unknown> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    const message = `sources.${name}.schemaFile: cannot read ${file}: ${messageOf(cause)}`
    throw new FreshetError('FILE_MISSING', message, { cause })
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    const message = `sources.${name}.schemaFile: ${file} is not JSON: ${messageOf(cause)}`
    throw new FreshetError('FILE_INVALID', message, { cause })
  }
}

function map(
  record: SourceRecord,
  before: SourceTime,
  mapping: Mapping,
  config: Config['ingest'],
  topics: IngestTopics,
  partitions: number,
): Mapped | SourceHeartbeat {
  const { offset, timestampMs } = record
  try {
    const heartbeatMs = heartbeatOf(record, config.futureSkewMs)
    if (heartbeatMs !== null) {
      return { kind: 'heartbeat', offset, timestampMs, eventTimeMs: heartbeatMs }
    }
    const event = mapping(record)
    const { kind, userId, eventTimeMs } = event
    expectNear(eventTimeMs, before, config.aheadMaxMs)
    const output: SinkRecord = {
      topic: topics.events,
      partition: partitionOf(userId, partitions),
      key: userId,
      value: encodeEvent(event),
      // Arrival travels with the record to the last stage.
      timestampMs,
    }
    return { offset, timestampMs, kind, isRefused: false, eventTimeMs, output }
  } catch (error) {
    if (!(error instanceof FreshetError) || error.disposition !== 'dead-letter') throw error
    const { code, message } = error
    const output = toDeadLetter(record, code, message, 'ingest', topics.deadLetters)
    return {
      offset,
      timestampMs,
      kind: code,
      isRefused: true,
      eventTimeMs: before.lastEventTimeMs,
      output,
    }
  }
}

/**
 * A source that says how far it is does not jump: one event of today in a replay of last year would hold up its partition until all
 * others have come to today, and then close every window and day on the way.
 * @throws FreshetError EVENT_TIME_AHEAD
 */
function expectNear(
  eventTimeMs: number,
  { lastEventTimeMs, heartbeatMs }: SourceTime,
  aheadMaxMs: number,
): void {
  if (heartbeatMs === null) return
  const reachedMs = Math.max(lastEventTimeMs, heartbeatMs)
  if (eventTimeMs <= reachedMs + aheadMaxMs) return
  const [time, reached] = [eventTimeMs, reachedMs].map((ms) => new Date(ms).toISOString())
  const message = `event_time: ${time} is later than its source, which has come to ${reached}, by more than ingest.aheadMaxMs`
  throw new FreshetError('EVENT_TIME_AHEAD', message, { field: 'event_time' })
}

/** What a record without a value says about event time; null where it says nothing. */
function heartbeatOf(
  { value, headers, timestampMs }: SourceRecord,
  futureSkewMs: number,
): number | null {
  const header = headers?.[sourceHeartbeatHeader]
  if (value !== null || header === undefined) return null
  const eventTimeMs = Number(header)
  if (!/^\d{1,16}$/.test(header) || eventTimeMs > latestMs) {
    const message = `header ${sourceHeartbeatHeader}: found ${describe(header)}, expected milliseconds since 1970`
    throw new FreshetError('RECORD_INVALID', message)
  }
  if (eventTimeMs <= timestampMs + futureSkewMs) return eventTimeMs
  const time = new Date(eventTimeMs).toISOString()
  const arrival = new Date(timestampMs).toISOString()
  const message = `header ${sourceHeartbeatHeader}: ${time} is later than its record, ${arrival}, by more than ingest.futureSkewMs`
  throw new FreshetError('EVENT_TIME_IN_FUTURE', message)
}

/** The last millisecond that a JavaScript Date can hold. */
const latestMs = 8.64e15
