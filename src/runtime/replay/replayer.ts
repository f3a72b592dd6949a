import { setTimeout as pause } from 'node:timers/promises'
import { FreshetError } from '../../errors.ts'
import { encodeItem } from '../../records/codec.ts'
import { jsonOf } from '../../records/json.ts'
import type { TopicNames } from '../../records/topics.ts'
import type { SourceEvent } from '../../streams/source-event.ts'
import type { SinkRecord } from '../../streams/stage.ts'
import type { Clock, KafkaClient, Producer } from '../ports.ts'
import type { Positions } from './positions.ts'
import type { ReplayPosition, ReplaySource } from './source.ts'

export interface ReplayOptions {
  readonly source: ReplaySource
  readonly kafka: Pick<KafkaClient, 'producer'>
  readonly topics: Pick<TopicNames, 'impressions' | 'clicks' | 'items'>
  /** Seconds of event time per second; `max`: as fast as Kafka takes it. */
  readonly speed: number | 'max'
  readonly positions: Positions
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Called after each chunk, up to fifty times a second. */
  readonly onProgress?: (progress: ReplayProgress) => void
}

/** Counts include what earlier runs sent. */
export interface ReplayProgress {
  readonly impressions: number
  readonly clicks: number
  readonly items: number
  readonly lastEventTimeMs: number
  /** How far sending is behind the pace, 0 at speed `max`. */
  readonly behindMs: number
  /** In [0, 1]; null for a source without end. */
  readonly share: number | null
  readonly etaMs: number | null
  /** Everything was sent; false where the signal ended it. */
  readonly isComplete: boolean
}

/** Small enough that impressions and clicks of one chunk lie close together in event time, which is what ingest aligns by. */
const chunkEventsMax = 500
/** Events that fall due within this are sent together. */
const tickMs = 20

/**
 * Sends what comes after the saved position: items first and acknowledged, then the impressions and clicks of the same slice
 * of time together. The position is saved after each acknowledged chunk, so a crash repeats at most one chunk.
 * Resolves when the source ends or the signal aborts.
 * @throws FreshetError FILE_INVALID from the source, CHECKPOINT_INVALID from the position
 */
export async function replay(options: ReplayOptions): Promise<ReplayProgress> {
  const { source, signal } = options
  const start = await options.positions.load(source.identity)
  const producer = await options.kafka.producer()
  // Ends a send that waits for an absent broker; what is under way is given a moment to be acknowledged.
  const close = (): void => void producer.close()
  signal.addEventListener('abort', close, { once: true })
  const run = new Run(options, producer, start)
  try {
    for await (const event of source.events(start)) {
      if (signal.aborted) break
      const dueInMs = run.dueInMs(event)
      if (dueInMs > 0) {
        await run.flush()
        await pause(Math.max(dueInMs, tickMs), undefined, { signal }).catch(() => undefined)
        if (signal.aborted) break
      }
      await run.add(event)
    }
    if (!signal.aborted) await run.flush()
  } catch (error) {
    if (!signal.aborted || !(error instanceof FreshetError) || error.code !== 'ABORTED') throw error
  } finally {
    signal.removeEventListener('abort', close)
    await producer.close()
  }
  return run.progress(!signal.aborted)
}

class Run {
  readonly #options: ReplayOptions
  readonly #producer: Producer
  readonly #startedMs: number
  #position: ReplayPosition
  #chunk: SourceEvent[] = []
  #startShare: number | null = null
  /** Where wall clock and event time met: at the first impression or click; null before. */
  #pace: { readonly wallMs: number; readonly eventMs: number } | null = null
  #behindMs = 0

  constructor(options: ReplayOptions, producer: Producer, start: ReplayPosition | null) {
    this.#options = options
    this.#producer = producer
    this.#startedMs = options.clock.nowMs()
    const zero = { impressions: 0, clicks: 0, items: 0, lastEventTimeMs: 0 }
    this.#position = start ?? { source: options.source.identity, ...zero }
  }

  /** Catalogue entries that are older than the first event do not start the clock: they may be from decades ago. */
  dueInMs(event: SourceEvent): number {
    const { speed, clock } = this.#options
    if (speed === 'max') return 0
    const nowMs = clock.nowMs()
    if (this.#pace === null) {
      if (event.kind === 'item') return 0
      this.#pace = { wallMs: nowMs, eventMs: event.eventTimeMs }
    }
    const dueMs = this.#pace.wallMs + (event.eventTimeMs - this.#pace.eventMs) / speed
    this.#behindMs = Math.max(0, nowMs - dueMs)
    return dueMs - nowMs
  }

  async add(event: SourceEvent): Promise<void> {
    this.#startShare ??= this.#options.source.shareDone()
    this.#chunk.push(event)
    if (this.#chunk.length >= chunkEventsMax) await this.flush()
  }

  async flush(): Promise<void> {
    if (this.#chunk.length === 0) return
    const chunk = this.#chunk
    this.#chunk = []
    const records = chunk.map((event) => this.#recordOf(event))
    const isItem = (_: SinkRecord, i: number): boolean => chunk[i]!.kind === 'item'
    await this.#producer.send(records.filter(isItem))
    await this.#producer.send(records.filter((record, i) => !isItem(record, i)))
    this.#position = advanced(this.#position, chunk)
    await this.#options.positions.save(this.#position)
    this.#options.onProgress?.(this.progress(false))
  }

  progress(isComplete: boolean): ReplayProgress {
    const { impressions, clicks, items, lastEventTimeMs } = this.#position
    const share = isComplete ? 1 : this.#options.source.shareDone()
    const behindMs = this.#behindMs
    const etaMs = this.#etaMs(share)
    return { impressions, clicks, items, lastEventTimeMs, behindMs, share, etaMs, isComplete }
  }

  #etaMs(share: number | null): number | null {
    const done = share === null ? 0 : share - (this.#startShare ?? 0)
    if (share === null || done <= 0) return null
    const elapsedMs = this.#options.clock.nowMs() - this.#startedMs
    return Math.round((elapsedMs * (1 - share)) / done)
  }

  #recordOf(event: SourceEvent): SinkRecord {
    const { topics, clock } = this.#options
    const timestampMs = clock.nowMs()
    if (event.kind === 'item') {
      const value = event.item === null ? null : encodeItem(event.item)
      return { topic: topics.items, key: event.itemId, value, timestampMs }
    }
    const topic = event.kind === 'impression' ? topics.impressions : topics.clicks
    const value = Buffer.from(JSON.stringify(jsonOf(event)))
    return { topic, key: event.userId, value, timestampMs }
  }
}

function advanced(position: ReplayPosition, chunk: readonly SourceEvent[]): ReplayPosition {
  let { impressions, clicks, items, lastEventTimeMs } = position
  for (const event of chunk) {
    if (event.kind === 'item') items++
    else {
      lastEventTimeMs = Math.max(lastEventTimeMs, event.eventTimeMs)
      if (event.kind === 'click') clicks++
      else impressions++
    }
  }
  return { source: position.source, impressions, clicks, items, lastEventTimeMs }
}
