import { invariant } from '../errors.ts'

export interface AlignOptions {
  /** How far in event time one source may run ahead of another that has unread records. */
  readonly alignMs: number
  /** A source that is not known to have unread records holds the others back for so long after its last batch. */
  readonly idleMs: number
  /** Shared evenly by the assigned partitions; one that has its share is paused until it is half empty. */
  readonly bufferedRecordsMax: number
}

export interface Alignable {
  readonly offset: number
  readonly eventTimeMs: number
  /** Arrival at the source topic. */
  readonly timestampMs: number
}

/** What was read from one partition. `nextOffset` is one past the last record read, also where that gave no event. */
export interface Arrived<T> {
  readonly events: readonly T[]
  readonly nextOffset: number
  readonly highWatermark: number
}

export interface Aligned<T> {
  /** In the order to send them. */
  readonly events: readonly T[]
  /** Partitions to pause and to resume now. */
  readonly pause: readonly string[]
  readonly resume: readonly string[]
}

/**
 * Unread records stop holding the others back when nothing has come for so many times idleMs: their partition is
 * unreachable, or they are markers that no reader gets to see.
 */
const stallFactor = 15

interface Source<T> {
  readonly key: string
  buffer: readonly T[]
  /** First of `buffer` that has not been emitted. */
  at: number
  /** null: nothing has been read yet, so there may well be something. */
  nextOffset: number | null
  highWatermark: number
  lastSeenEventTimeMs: number
  lastArrivalMs: number
  isPaused: boolean
}

/** Event times beyond which empty sources hold the heads of the others back. */
interface Limits {
  /** For every head: a source has unread records. */
  readonly unreadMs: number
  /** For heads that are not live: a source has just been read to its end, and more of it may be on its way. */
  readonly recentMs: number
}

/**
 * Merges source partitions by event time, so that a backlog is replayed as it happened, however fast each partition is
 * read: the earliest head goes first, and waits while a partition that is far behind it has nothing buffered but may
 * still have something to read. An event that arrived within alignMs of its time is live; it does not wait for a source
 * that is merely slow. Order within a partition is kept. Keys are any names of partitions.
 */
export class Aligner<T extends Alignable> {
  private readonly options: AlignOptions
  private readonly sources = new Map<string, Source<T>>()

  constructor(options: AlignOptions) {
    this.options = options
  }

  assign(key: string, nowMs: number): void {
    this.sources.set(key, {
      key,
      buffer: [],
      at: 0,
      nextOffset: null,
      highWatermark: 0,
      lastSeenEventTimeMs: -Infinity,
      lastArrivalMs: nowMs,
      isPaused: false,
    })
  }

  /** Forgets what is buffered: whoever gets the partition reads it again. */
  revoke(key: string): void {
    this.sources.delete(key)
  }

  add(key: string, { events, nextOffset, highWatermark }: Arrived<T>, nowMs: number): void {
    const source = this.source(key)
    const rest = source.buffer.slice(source.at)
    source.buffer = rest.length === 0 ? events : rest.concat(events)
    source.at = 0
    source.nextOffset = nextOffset
    source.highWatermark = highWatermark
    source.lastArrivalMs = nowMs
    for (const { eventTimeMs } of events) {
      source.lastSeenEventTimeMs = Math.max(source.lastSeenEventTimeMs, eventTimeMs)
    }
  }

  /** Everything that may go now, `eventsMax` at most. */
  next(nowMs: number, eventsMax = Infinity): Aligned<T> {
    const events: T[] = []
    let isDone = false
    while (!isDone && events.length < eventsMax) isDone = !this.takeRun(nowMs, eventsMax, events)
    return { events, ...this.flow() }
  }

  /** The offset to commit: everything before it has been handed out. null: nothing has been read. */
  position(key: string): number | null {
    const source = this.source(key)
    return source.buffer[source.at]?.offset ?? source.nextOffset
  }

  /** Everything there was when the partitions were last read has been handed out. */
  isCaughtUp(nowMs: number): boolean {
    return [...this.sources.values()].every(
      (source) => isEmpty(source) && !this.hasUnread(source, nowMs),
    )
  }

  get bufferedCount(): number {
    let count = 0
    for (const source of this.sources.values()) count += source.buffer.length - source.at
    return count
  }

  /** Takes events of the source that is furthest behind, up to where another one takes over; false: nothing may go. */
  private takeRun(nowMs: number, eventsMax: number, into: T[]): boolean {
    const limits = this.limits(nowMs)
    let first: Source<T> | undefined
    let firstMs = Infinity
    let secondMs = Infinity
    for (const source of this.sources.values()) {
      const head = source.buffer[source.at]
      if (head === undefined || !this.mayGo(head, limits)) continue
      if (first === undefined || head.eventTimeMs < firstMs) {
        secondMs = firstMs
        first = source
        firstMs = head.eventTimeMs
      } else {
        secondMs = Math.min(secondMs, head.eventTimeMs)
      }
    }
    if (first === undefined) return false
    let head = first.buffer[first.at]
    while (
      head !== undefined &&
      head.eventTimeMs <= secondMs &&
      into.length < eventsMax &&
      this.mayGo(head, limits)
    ) {
      into.push(head)
      head = first.buffer[++first.at]
    }
    return true
  }

  private limits(nowMs: number): Limits {
    let unreadMs = Infinity
    let recentMs = Infinity
    for (const source of this.sources.values()) {
      if (!isEmpty(source)) continue
      const limitMs = source.lastSeenEventTimeMs + this.options.alignMs
      if (this.hasUnread(source, nowMs)) unreadMs = Math.min(unreadMs, limitMs)
      else if (nowMs - source.lastArrivalMs < this.options.idleMs) {
        recentMs = Math.min(recentMs, limitMs)
      }
    }
    return { unreadMs, recentMs }
  }

  private mayGo({ eventTimeMs, timestampMs }: T, { unreadMs, recentMs }: Limits): boolean {
    const isLive = timestampMs - eventTimeMs < this.options.alignMs
    return eventTimeMs <= unreadMs && (isLive || eventTimeMs <= recentMs)
  }

  private hasUnread(source: Source<T>, nowMs: number): boolean {
    const silentMs = nowMs - source.lastArrivalMs
    if (source.nextOffset === null) return silentMs < this.options.idleMs
    return source.nextOffset < source.highWatermark && silentMs < stallFactor * this.options.idleMs
  }

  private flow(): { pause: string[]; resume: string[] } {
    const share = Math.max(1, Math.floor(this.options.bufferedRecordsMax / this.sources.size))
    const pause: string[] = []
    const resume: string[] = []
    for (const source of this.sources.values()) {
      const buffered = source.buffer.length - source.at
      const isPaused = buffered >= share || (source.isPaused && buffered > share / 2)
      if (isPaused !== source.isPaused) (isPaused ? pause : resume).push(source.key)
      source.isPaused = isPaused
    }
    return { pause, resume }
  }

  private source(key: string): Source<T> {
    const source = this.sources.get(key)
    invariant(source !== undefined, `partition ${key} is not assigned`)
    return source
  }
}

function isEmpty<T>(source: Source<T>): boolean {
  return source.at === source.buffer.length
}
