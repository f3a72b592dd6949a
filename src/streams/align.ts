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

/** The word of a source that nothing older than `eventTimeMs` follows in this partition. */
export interface SourceHeartbeat extends Alignable {
  readonly kind: 'heartbeat'
}

/** What was read from one partition. `nextOffset` is one past the last record read, also where that gave no event. */
export interface Arrived<T> {
  readonly events: readonly (T | SourceHeartbeat)[]
  readonly nextOffset: number
  readonly highWatermark: number
}

/** What all sources have said: nothing older than this follows in any of them. */
export interface Mark {
  /** It belongs behind so many of the events that come with it. */
  readonly after: number
  readonly eventTimeMs: number
}

export interface Aligned<T> {
  /** In the order to send them. */
  readonly events: readonly T[]
  /** In the same order. */
  readonly marks: readonly Mark[]
  /** Partitions to pause and to resume now. */
  readonly pause: readonly string[]
  readonly resume: readonly string[]
}

/**
 * A source stops holding the others back when they have waited for it for so many times idleMs and nothing has come:
 * its partition is unreachable, its unread records are markers that no reader gets to see, or whoever sent its heartbeats is gone.
 */
const stallFactor = 15

interface Source<T> {
  readonly key: string
  buffer: readonly (T | SourceHeartbeat)[]
  /** First of `buffer` that has not been emitted. */
  at: number
  /** null: nothing has been read yet, so there may well be something. */
  nextOffset: number | null
  highWatermark: number
  lastSeenEventTimeMs: number
  lastArrivalMs: number
  /** Its last heartbeat that has been heard; null: it is not punctuated. */
  heartbeatMs: number | null
  isPaused: boolean
}

/** Event times beyond which empty sources hold the heads of the others back. */
interface Limits {
  /** For every head: a source has unread records. */
  readonly unreadMs: number
  /** For heads that are not live: a source has just been read to its end, and more of it may be on its way. */
  readonly recentMs: number
  /** For every head that does not come before this: a punctuated source may still send what does. */
  readonly punctuated: Place
}

/** A time, and of equal times the place among the sources. */
interface Place {
  readonly timeMs: number
  readonly place: number
}

const nowhere: Place = { timeMs: Infinity, place: Infinity }

/**
 * Merges source partitions by event time, so that a backlog is replayed as it happened, however fast each partition is
 * read: the earliest head goes first, and waits while a partition that is far behind it has nothing buffered but may
 * still have something to read. An event that arrived within alignMs of its time is live; it does not wait for a source
 * that is merely slow. Order within a partition is kept. Keys are any names of partitions, such as `topic/partition`.
 *
 * Sources that send heartbeats are merged exactly: what comes out is a function of what the partitions hold, ordered by (event time,
 * topic, partition), whenever and in whatever pieces it arrives. Nothing goes while a punctuated source may still send what
 * comes before it. An event that is older than the heartbeat before it counts as that old.
 */
export class Aligner<T extends Alignable> {
  private readonly options: AlignOptions
  /** In the order of topic and partition. */
  private sources: Source<T>[] = []
  private markedMs = -Infinity
  /** Since when something has been waiting for an empty source. */
  private waitingSinceMs = -Infinity

  constructor(options: AlignOptions) {
    this.options = options
  }

  assign(key: string, nowMs: number): void {
    const assigned: Source<T> = {
      ...{ key, buffer: [], at: 0, nextOffset: null, highWatermark: 0 },
      ...{ lastSeenEventTimeMs: -Infinity, lastArrivalMs: nowMs },
      ...{ heartbeatMs: null, isPaused: false },
    }
    const others = this.sources.filter((source) => source.key !== key)
    this.sources = [...others, assigned].sort((a, b) => compareKeys(a.key, b.key))
    // What was marked before may not have been sent.
    this.markedMs = -Infinity
  }

  /** Forgets what is buffered: whoever gets the partition reads it again. */
  revoke(key: string): void {
    this.sources = this.sources.filter((source) => source.key !== key)
  }

  add(key: string, { events, nextOffset, highWatermark }: Arrived<T>, nowMs: number): void {
    if (this.isEmpty) this.waitingSinceMs = nowMs
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
    const marks: Mark[] = []
    let isDone = false
    while (!isDone && events.length < eventsMax) {
      isDone = !this.takeRun(nowMs, eventsMax, events, marks)
    }
    return { events, marks, ...this.flow() }
  }

  /** The offset to commit: everything before it has been handed out. null: nothing has been read. */
  position(key: string): number | null {
    const source = this.source(key)
    return source.buffer[source.at]?.offset ?? source.nextOffset
  }

  /** Everything there was when the partitions were last read has been handed out. */
  isCaughtUp(nowMs: number): boolean {
    return this.sources.every((source) => isEmpty(source) && !this.hasUnread(source, nowMs))
  }

  /** Every source says how far it is; what it says comes out as marks. */
  get isPunctuated(): boolean {
    return this.sources.length > 0 && this.sources.every((source) => source.heartbeatMs !== null)
  }

  get bufferedCount(): number {
    return this.sources.reduce((count, source) => count + source.buffer.length - source.at, 0)
  }

  /** Takes from the source that is furthest behind, up to where another one takes over; false: nothing may go. */
  private takeRun(nowMs: number, eventsMax: number, events: T[], marks: Mark[]): boolean {
    for (const source of this.sources) this.passHeartbeats(source, events.length, marks)
    const limits = this.limits(nowMs)
    let first: Place = nowhere
    let second: Place = nowhere
    for (const [place, source] of this.sources.entries()) {
      const timeMs = headTimeMs(source)
      if (timeMs === null || !this.mayGo(source, place, timeMs, limits)) continue
      if (isBefore(timeMs, place, first)) [first, second] = [{ timeMs, place }, first]
      else if (isBefore(timeMs, place, second)) second = { timeMs, place }
    }
    const source = this.sources[first.place]
    if (source === undefined) return false
    let timeMs: number | null = first.timeMs
    do {
      events.push(source.buffer[source.at++] as T)
      this.passHeartbeats(source, events.length, marks)
      timeMs = headTimeMs(source)
    } while (
      timeMs !== null &&
      isBefore(timeMs, first.place, second) &&
      events.length < eventsMax &&
      this.mayGo(source, first.place, timeMs, limits)
    )
    return true
  }

  /** Heartbeats wait for nobody: they are heard as soon as what was before them in their partition has gone. */
  private passHeartbeats(source: Source<T>, after: number, marks: Mark[]): void {
    for (let head = source.buffer[source.at]; ; head = source.buffer[source.at]) {
      if (head === undefined || !isHeartbeat(head)) return
      source.at++
      source.heartbeatMs = Math.max(source.heartbeatMs ?? -Infinity, head.eventTimeMs)
      let lowestMs = Infinity
      for (const { heartbeatMs } of this.sources) {
        lowestMs = Math.min(lowestMs, heartbeatMs ?? -Infinity)
      }
      if (lowestMs <= this.markedMs) continue
      this.markedMs = lowestMs
      marks.push({ after, eventTimeMs: lowestMs })
    }
  }

  private limits(nowMs: number): Limits {
    let unreadMs = Infinity
    let recentMs = Infinity
    let punctuated: Place = nowhere
    for (const [place, source] of this.sources.entries()) {
      if (!isEmpty(source)) continue
      if (source.heartbeatMs !== null && this.isGivenUp(source, nowMs)) source.heartbeatMs = null
      if (source.heartbeatMs !== null) {
        const timeMs = source.heartbeatMs
        if (isBefore(timeMs, place, punctuated)) punctuated = { timeMs, place }
        continue
      }
      const limitMs = source.lastSeenEventTimeMs + this.options.alignMs
      if (this.hasUnread(source, nowMs)) unreadMs = Math.min(unreadMs, limitMs)
      else if (nowMs - source.lastArrivalMs < this.options.idleMs) {
        recentMs = Math.min(recentMs, limitMs)
      }
    }
    return { unreadMs, recentMs, punctuated }
  }

  /** A punctuated source that is silent while nothing waits for it may have nothing to say: a replay that has come to a stop. */
  private isGivenUp(source: Source<T>, nowMs: number): boolean {
    const sinceMs = Math.max(source.lastArrivalMs, this.isEmpty ? nowMs : this.waitingSinceMs)
    return nowMs - sinceMs >= stallFactor * this.options.idleMs
  }

  private mayGo(source: Source<T>, place: number, timeMs: number, limits: Limits): boolean {
    const { unreadMs, recentMs, punctuated } = limits
    if (!isBefore(timeMs, place, punctuated)) return false
    const head = source.buffer[source.at]!
    const isLive = head.timestampMs - head.eventTimeMs < this.options.alignMs
    return timeMs <= unreadMs && (isLive || timeMs <= recentMs)
  }

  private hasUnread(source: Source<T>, nowMs: number): boolean {
    const silentMs = nowMs - source.lastArrivalMs
    if (source.nextOffset === null) {
      // Where others are punctuated, so is this one, as soon as it is read.
      const isPatient = this.sources.some(({ heartbeatMs }) => heartbeatMs !== null)
      return silentMs < (isPatient ? stallFactor : 1) * this.options.idleMs
    }
    return source.nextOffset < source.highWatermark && silentMs < stallFactor * this.options.idleMs
  }

  private flow(): { pause: string[]; resume: string[] } {
    const share = Math.max(1, Math.floor(this.options.bufferedRecordsMax / this.sources.length))
    const pause: string[] = []
    const resume: string[] = []
    for (const source of this.sources) {
      const buffered = source.buffer.length - source.at
      const isPaused = buffered >= share || (source.isPaused && buffered > share / 2)
      if (isPaused !== source.isPaused) (isPaused ? pause : resume).push(source.key)
      source.isPaused = isPaused
    }
    return { pause, resume }
  }

  private get isEmpty(): boolean {
    return this.sources.every(isEmpty)
  }

  private source(key: string): Source<T> {
    const source = this.sources.find((each) => each.key === key)
    invariant(source !== undefined, `partition ${key} is not assigned`)
    return source
  }
}

function isHeartbeat(entry: Alignable): entry is SourceHeartbeat {
  return (entry as Partial<SourceHeartbeat>).kind === 'heartbeat'
}

function isEmpty<T>(source: Source<T>): boolean {
  return source.at === source.buffer.length
}

function isBefore(timeMs: number, place: number, other: Place): boolean {
  return timeMs < other.timeMs || (timeMs === other.timeMs && place < other.place)
}

/** Where the next event of a source belongs in the merge; null: there is none. */
function headTimeMs<T extends Alignable>({ buffer, at, heartbeatMs }: Source<T>): number | null {
  const head = buffer[at]
  return head === undefined ? null : Math.max(head.eventTimeMs, heartbeatMs ?? -Infinity)
}

/** By topic, then by the number of the partition. */
function compareKeys(a: string, b: string): number {
  const [topicA, partitionA] = partsOf(a)
  const [topicB, partitionB] = partsOf(b)
  if (topicA !== topicB) return topicA < topicB ? -1 : 1
  return partitionA - partitionB
}

function partsOf(key: string): [string, number] {
  const at = key.lastIndexOf('/')
  return at === -1 ? [key, 0] : [key.slice(0, at), Number(key.slice(at + 1))]
}
