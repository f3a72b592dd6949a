import type { SourceRecord } from './stage.ts'

/** What is known of a record of the examples topic before it is decoded. */
export interface ExampleHead {
  /** 0 where it cannot be read. */
  readonly eventTimeMs: number
  readonly isHeartbeat: boolean
}

export interface PartitionCut {
  readonly partition: number
  readonly from: number
  readonly to: number
  readonly records: readonly SourceRecord[]
}

export interface LearnerWindow {
  /** First ms behind the window. */
  readonly endMs: number
  /** In order of partitions; only those that have records. */
  readonly cuts: readonly PartitionCut[]
}

export interface WindowOptions {
  readonly partitions: number
  readonly windowMs: number
  /** Records of one partition that may wait once it has passed the window; beyond, it is paused. */
  readonly waitingMax: number
  headOf(record: SourceRecord): ExampleHead
  pause(partition: number): void
  resume(partition: number): void
}

interface Waiting {
  readonly record: SourceRecord
  readonly isHeartbeat: boolean
  /** Latest event time of the partition up to and with this record. */
  readonly reachedMs: number
}

interface Queue {
  readonly partition: number
  waiting: Waiting[]
  position: { readonly offset: number | null; readonly eventTimeMs: number }
  isPaused: boolean
}

/**
 * Cuts the examples topic into windows [k W, (k+1) W) of event time that depend on its content alone: not on how it was delivered, nor on
 * where a learner was stopped. A partition gives to a window what comes before its first record at or beyond the window's end, so
 * what comes late belongs to the window that is open then. A window is there once every partition has passed its end; windows
 * without examples are passed over.
 */
export class LearnerWindows {
  readonly #options: WindowOptions
  readonly #queues: readonly Queue[]

  constructor(options: WindowOptions) {
    this.#options = options
    this.#queues = Array.from({ length: options.partitions }, (_, partition) => {
      return { partition, waiting: [], position: { offset: null, eventTimeMs: 0 }, isPaused: false }
    })
  }

  /** Everything below this offset is learnt, and with it the partition has come to this event time. */
  startAt(partition: number, position: { readonly offset: number; readonly eventTimeMs: number }) {
    const { offset, eventTimeMs } = position
    this.#queues[partition]!.position = { offset, eventTimeMs }
  }

  /** Null: nothing of the partition is learnt. */
  positionOf(partition: number): number | null {
    return this.#queues[partition]!.position.offset
  }

  /** @returns how many of the records had come before */
  add(partition: number, records: readonly SourceRecord[]): number {
    const queue = this.#queues[partition]!
    const next = 1 + (queue.waiting.at(-1)?.record.offset ?? (queue.position.offset ?? 0) - 1)
    const fresh = records.filter(({ offset }) => offset >= next)
    let reachedMs = reachedBy(queue)
    for (const record of fresh) {
      const { eventTimeMs, isHeartbeat } = this.#options.headOf(record)
      reachedMs = Math.max(reachedMs, eventTimeMs)
      queue.waiting.push({ record, isHeartbeat, reachedMs })
    }
    this.#regulate()
    return records.length - fresh.length
  }

  /**
   * The next window with examples, taken out; null while some partition has not passed it.
   * @param openMs end of a window that was begun before, and has to be ended with what is left of it
   */
  take(openMs: number | null): LearnerWindow | null {
    const endMs = openMs ?? this.#nextEndMs()
    if (endMs === null || this.#queues.some((queue) => reachedBy(queue) < endMs)) return null
    const cuts = this.#queues.flatMap((queue) => cutOf(queue, endMs))
    this.#regulate()
    return { endMs, cuts }
  }

  /** Heartbeats that come next in their partitions, taken out. What they promise is remembered; examples are learnt without them. */
  takeHeartbeats(): PartitionCut[] {
    const cuts = this.#queues.flatMap((queue) => cutOf(queue, -Infinity))
    this.#regulate()
    return cuts
  }

  /** End of the window of the first example; null without examples. */
  #nextEndMs(): number | null {
    const { windowMs } = this.#options
    let firstMs = Infinity
    for (const { waiting } of this.#queues) {
      firstMs = Math.min(firstMs, waiting.find((each) => !each.isHeartbeat)?.reachedMs ?? Infinity)
    }
    return firstMs === Infinity ? null : (Math.floor(firstMs / windowMs) + 1) * windowMs
  }

  /** Only what the next window does not wait for is held back, so that nothing can wait for ever. */
  #regulate(): void {
    const { waitingMax, pause, resume } = this.#options
    const endMs = this.#nextEndMs() ?? Infinity
    for (const queue of this.#queues) {
      const { partition, waiting, isPaused } = queue
      const isPassed = reachedBy(queue) >= endMs
      if (!isPaused && isPassed && waiting.length > waitingMax) {
        queue.isPaused = true
        pause(partition)
      } else if (isPaused && (!isPassed || waiting.length <= waitingMax / 2)) {
        queue.isPaused = false
        resume(partition)
      }
    }
  }
}

function reachedBy({ waiting, position }: Queue): number {
  return waiting.at(-1)?.reachedMs ?? position.eventTimeMs
}

/** What comes before the end, and the heartbeats that follow at once. */
function cutOf(queue: Queue, endMs: number): PartitionCut[] {
  const { partition, waiting, position } = queue
  let count = 0
  while (count < waiting.length && waiting[count]!.reachedMs < endMs) count++
  while (count < waiting.length && waiting[count]!.isHeartbeat) count++
  if (count === 0) return []
  const taken = waiting.slice(0, count)
  const last = taken.at(-1)!
  const records = taken.map(({ record }) => record)
  const cut = { partition, from: position.offset ?? records[0]!.offset, to: last.record.offset + 1 }
  queue.waiting = waiting.slice(count)
  queue.position = { offset: cut.to, eventTimeMs: last.reachedMs }
  return [{ ...cut, records }]
}
