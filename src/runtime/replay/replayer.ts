import { setTimeout as pause } from 'node:timers/promises'
import { FreshetError } from '../../errors.ts'
import { encodeItem } from '../../records/codec.ts'
import { eventTimeHeader } from '../../records/headers.ts'
import { jsonOf } from '../../records/json.ts'
import type { TopicNames } from '../../records/topics.ts'
import { beginOf, dayName, type Day } from '../../streams/day-cut.ts'
import type { SourceEvent } from '../../streams/source-event.ts'
import type { SinkRecord } from '../../streams/stage.ts'
import type { Clock, KafkaClient, Producer } from '../ports.ts'
import { whenAborted } from '../when-aborted.ts'
import type { Positions } from './positions.ts'
import { Punctuation } from './punctuation.ts'
import type { ReplayPosition, ReplaySource } from './source.ts'

export interface ReplayOptions {
  readonly source: ReplaySource
  readonly kafka: Pick<KafkaClient, 'producer' | 'offsets'>
  readonly topics: Pick<TopicNames, 'impressions' | 'clicks' | 'items'>
  /** Seconds of event time per second; `max`: as fast as Kafka takes it. */
  readonly speed: number | 'max'
  readonly positions: Positions
  readonly clock: Clock
  readonly signal: AbortSignal
  /**
   * At speed `max`: awaited at the end of each UTC day with events (YYYY-MM-DD) but the last, when every partition has been told that
   * the day is over; nothing of the next day is sent before. Called again after a restart at a day's end.
   */
  readonly onDayEnd?: (day: string) => Promise<void>
  /** At speed `max`: awaited when everything is sent, before event time goes on to the end of the last window. */
  readonly onSent?: () => Promise<void>
  /** At speed `max`: awaited after that, when every partition has been told that event time is `eventTimeMs`. */
  readonly onEnd?: (eventTimeMs: number) => Promise<void>
  /** At the end of the source, event time goes on to the next multiple: `learner.syncEventMs`. */
  readonly windowMs?: number
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
const defaultWindowMs = 3_600_000
const dayMs = 86_400_000
/** While the end of a day is waited for, it is told again: whoever was restarted may not have heard. */
const repeatMs = 2_000

/**
 * Sends what comes after the saved position: items first and acknowledged, then the impressions and clicks of the same slice
 * of time together. The position is saved after each acknowledged chunk, so a crash repeats at most one chunk. At speed `max` every
 * chunk ends with heartbeats, so that what comes out of ingest is a function of the source alone.
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
  try {
    const punctuation =
      options.speed === 'max' ? await Punctuation.of(options.kafka, options.topics) : null
    const run = new Run(options, producer, punctuation, start)
    await sendAll(run, options, start)
    return run.progress(!signal.aborted)
  } finally {
    signal.removeEventListener('abort', close)
    await producer.close()
  }
}

async function sendAll(
  run: Run,
  { source, signal }: ReplayOptions,
  start: ReplayPosition | null,
): Promise<void> {
  try {
    for await (const event of source.events(start)) {
      if (signal.aborted) return
      await run.endDayBefore(event)
      const dueInMs = run.dueInMs(event)
      if (dueInMs > 0) {
        await run.flush()
        await pause(Math.max(dueInMs, tickMs), undefined, { signal }).catch(() => undefined)
      }
      if (signal.aborted) return
      await run.add(event)
    }
    if (!signal.aborted) await run.end()
  } catch (error) {
    if (!signal.aborted || !(error instanceof FreshetError) || error.code !== 'ABORTED') throw error
  }
}

class Run {
  readonly #options: ReplayOptions
  readonly #producer: Producer
  /** Null: the pace of the replay is that of its events, which is what tells ingest how far they are. */
  readonly #punctuation: Punctuation | null
  readonly #startedMs: number
  readonly #aborted: Promise<void>
  #position: ReplayPosition
  #chunk: SourceEvent[] = []
  #startShare: number | null = null
  /** Where wall clock and event time met: at the first impression or click; null before. */
  #pace: { readonly wallMs: number; readonly eventMs: number } | null = null
  #behindMs = 0
  #hasPunctuated = false
  /** Of the newest impression or click; null: its end has been waited for. */
  #day: Day | null

  constructor(
    options: ReplayOptions,
    producer: Producer,
    punctuation: Punctuation | null,
    start: ReplayPosition | null,
  ) {
    this.#options = options
    this.#producer = producer
    this.#punctuation = punctuation
    this.#startedMs = options.clock.nowMs()
    this.#aborted = whenAborted(options.signal).promise
    const zero = { impressions: 0, clicks: 0, items: 0, lastEventTimeMs: 0 }
    this.#position = start ?? { source: options.source.identity, ...zero }
    const { lastEventTimeMs } = this.#position
    this.#day = lastEventTimeMs === 0 ? null : dayOf(lastEventTimeMs)
  }

  /** Where the event belongs to a later day than those before it. Also items: the catalogue of a day ends with the day. */
  async endDayBefore(event: SourceEvent): Promise<void> {
    const day = dayOf(event.eventTimeMs)
    if (this.#day !== null && this.#day < day) {
      const ended = this.#day
      this.#day = null
      await this.flush()
      await this.#hold(beginOf(day), async () => this.#options.onDayEnd?.(dayName(ended)))
    }
    if (event.kind !== 'item') this.#day = day
  }

  async end(): Promise<void> {
    await this.flush()
    const { onSent, onEnd, windowMs = defaultWindowMs } = this.#options
    const { lastEventTimeMs } = this.#position
    if (lastEventTimeMs === 0 || this.#punctuation === null) return
    await onSent?.()
    const endMs = (Math.floor(lastEventTimeMs / windowMs) + 1) * windowMs
    await this.#hold(endMs, async () => onEnd?.(endMs))
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
    const events = records.filter((record, i) => !isItem(record, i))
    const position = advanced(this.#position, chunk)
    await this.#producer.send(this.#punctuated(events, chunk, position.lastEventTimeMs))
    this.#position = position
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

  /** Between heartbeats: one behind, and before the first events, and those after days without any, one that says that nothing came before. */
  #punctuated(
    events: readonly SinkRecord[],
    chunk: readonly SourceEvent[],
    lastEventTimeMs: number,
  ): readonly SinkRecord[] {
    const first = chunk.find((event) => event.kind !== 'item')
    if (this.#punctuation === null || first === undefined) return events
    const nowMs = this.#options.clock.nowMs()
    const sinceMs = first.eventTimeMs - this.#position.lastEventTimeMs
    const opening =
      this.#hasPunctuated && sinceMs < dayMs
        ? []
        : this.#punctuation.heartbeats(first.eventTimeMs, nowMs)
    this.#hasPunctuated = true
    return [...opening, ...events, ...this.#punctuation.heartbeats(lastEventTimeMs, nowMs)]
  }

  /** Says that nothing older than `eventTimeMs` follows, and says it again until `until` is done or the signal aborts. */
  async #hold(eventTimeMs: number, until: () => Promise<void>): Promise<void> {
    const punctuation = this.#punctuation
    if (punctuation === null) return
    const { clock } = this.#options
    const say = (): Promise<void> =>
      this.#producer.send(punctuation.heartbeats(eventTimeMs, clock.nowMs()))
    await say()
    const timer = setInterval(() => void say().catch(() => undefined), repeatMs)
    try {
      await Promise.race([until(), this.#aborted])
    } finally {
      clearInterval(timer)
    }
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
      const headers = { [eventTimeHeader]: String(event.eventTimeMs) }
      return { topic: topics.items, key: event.itemId, value, timestampMs, headers }
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

function dayOf(timeMs: number): Day {
  return Math.floor(timeMs / dayMs)
}
