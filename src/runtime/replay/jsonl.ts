import { stat } from 'node:fs/promises'
import { FreshetError } from '../../errors.ts'
import { describe, invalid } from '../../records/fields.ts'
import { clickOf, impressionOf, type Unchecked } from '../../records/json.ts'
import { TimeQueue } from '../../streams/generator/time-queue.ts'
import { itemChangeOf, type SourceEvent } from '../../streams/source-event.ts'
import { brokenLine, readLines, unreadable } from './lines.ts'
import { eventsIn, type ReplayPosition, type ReplaySource } from './source.ts'

export type RecordKind = 'impression' | 'click' | 'item'

/** One file; `kind` where all of its lines are of one kind, null where each line says so in its `record` field. */
export interface JsonlFile {
  readonly path: string
  readonly kind: RecordKind | null
}

/** A line may come this many events of its file too late, and is put where it belongs: smaller files need no order. */
export const reorderEventsMax = 50_000

/**
 * JSON lines of impressions, clicks and items, merged by event time; of equal times, the first file's come first.
 * @throws FreshetError FILE_MISSING, FILE_INVALID naming file and line, also from the events
 */
export async function openJsonl(
  files: readonly JsonlFile[],
  reorderMax = reorderEventsMax,
): Promise<ReplaySource> {
  const sizes = await Promise.all(files.map((file) => bytesOf(file.path)))
  const total = sizes.reduce((sum, bytes) => sum + bytes, 0)
  let read = 0
  async function* events(after: ReplayPosition | null): AsyncGenerator<SourceEvent> {
    read = 0
    let left = after === null ? 0 : eventsIn(after)
    const onBytes = (bytes: number): void => void (read += bytes)
    const streams = files.map((file) => ordered(file, reorderMax, onBytes))
    for await (const event of merged(streams)) {
      if (left > 0) left--
      else yield event
    }
  }
  return {
    identity: `jsonl ${files.map((file, i) => `${file.path} ${sizes[i]} bytes`).join(', ')}`,
    description: `${files.length === 1 ? 'one file' : `${files.length} files`} of JSON lines`,
    events,
    shareDone: () => (total === 0 ? 1 : Math.min(1, read / total)),
  }
}

async function bytesOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    throw unreadable(path, error)
  }
}

async function* merged(
  streams: readonly AsyncGenerator<SourceEvent>[],
): AsyncGenerator<SourceEvent> {
  const heads = await Promise.all(streams.map((stream) => stream.next()))
  for (;;) {
    let first = -1
    let firstMs = Infinity
    for (const [i, head] of heads.entries()) {
      if (head.done === true || head.value.eventTimeMs >= firstMs) continue
      first = i
      firstMs = head.value.eventTimeMs
    }
    const head = heads[first]
    if (head === undefined || head.done === true) return
    yield head.value
    heads[first] = await streams[first]!.next()
  }
}

/** The events of a file in event-time order, as far as `reorderMax` events in memory can bring it about. */
async function* ordered(
  file: JsonlFile,
  reorderMax: number,
  onBytes: (bytes: number) => void,
): AsyncGenerator<SourceEvent> {
  const waiting = new TimeQueue<SourceEvent>()
  let sentMs = -Infinity
  for await (const lines of readLines(file.path, onBytes)) {
    for (const { text, number } of lines) {
      const event = parseLine(file, text, number)
      if (event.eventTimeMs < sentMs) {
        const found = `an event ${sentMs - event.eventTimeMs} ms older than one over ${reorderMax} events before`
        throw brokenLine(file.path, number, found, 'lines sorted by event_time')
      }
      waiting.add(event.eventTimeMs, event)
      if (waiting.size <= reorderMax) continue
      sentMs = waiting.nextMs
      yield waiting.take()!
    }
  }
  while (waiting.size > 0) yield waiting.take()!
}

function parseLine(file: JsonlFile, text: string, number: number): SourceEvent {
  const record = parseJson(file.path, text, number)
  try {
    return eventOf(record, file.kind ?? kindOf(record['record']))
  } catch (cause) {
    if (!(cause instanceof FreshetError) || cause.code !== 'RECORD_INVALID') throw cause
    throw new FreshetError('FILE_INVALID', `${file.path}:${number}: ${cause.message}`, { cause })
  }
}

function parseJson(path: string, text: string, number: number): Unchecked {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw brokenLine(path, number, describe(text), 'one JSON object', { cause })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Unchecked
  }
  throw brokenLine(path, number, describe(value), 'one JSON object')
}

function kindOf(value: unknown): RecordKind {
  if (value === 'impression' || value === 'click' || value === 'item') return value
  throw invalid('record', undefined, describe(value), '"impression", "click" or "item"')
}

function eventOf(record: Unchecked, kind: RecordKind): SourceEvent {
  switch (kind) {
    case 'impression':
      return impressionOf(record)
    case 'click':
      return clickOf(record)
    case 'item':
      return itemChangeOf(record)
  }
}
