import type { SourceRecord } from '../streams/stage.ts'
import type { Batch, TopicPartition } from './ports.ts'
import { partitionKey } from './ports.ts'

export interface Piece extends TopicPartition {
  /** Offset after the last record of the piece before; with gaps where the log has control records. */
  readonly from: number
  readonly to: number
  readonly records: readonly SourceRecord[]
}

export interface IntakeOptions {
  readonly pieceMax: () => number
  /** Records of one partition that may wait; beyond, the partition is paused. */
  readonly waitingMax: number
  /** How far in event time a piece may run ahead of its own first record, and of what waits in other partitions. */
  readonly aheadMs: number
  /** Event time of a record; what has none comes first. */
  timeOf(record: SourceRecord): number
  pause(partition: TopicPartition): void
  resume(partition: TopicPartition): void
}

interface Queue extends TopicPartition {
  records: SourceRecord[]
  /** Event time of each record. */
  times: number[]
  isPaused: boolean
}

/**
 * Records between the consumer, which must not wait, and the learner: bounded, in order by partition, and between partitions by event
 * time, so that a backlog is learnt about as it happened and no partition runs days ahead.
 */
export class LearnerIntake {
  readonly #options: IntakeOptions
  /** Partitions with records. */
  readonly #queues = new Map<string, Queue>()
  /** By partition: offset up to which records have been taken or were learnt before. */
  readonly #positions = new Map<string, number>()
  readonly #ends = new Map<string, number>()
  #wake: (() => void) | null = null

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  /** Everything below this offset is learnt. */
  startAt(partition: TopicPartition, offset: number): void {
    this.#positions.set(partitionKey(partition), offset)
  }

  positionOf(partition: TopicPartition): number | undefined {
    return this.#positions.get(partitionKey(partition))
  }

  /** @returns how many of the records had come before */
  add({ topic, partition, records, highWatermark }: Batch): number {
    const key = partitionKey({ topic, partition })
    this.#ends.set(key, highWatermark)
    const queue = this.#queues.get(key) ?? newQueue(topic, partition)
    const next = Math.max(this.#positions.get(key) ?? 0, 1 + (queue.records.at(-1)?.offset ?? -1))
    const fresh = records.filter(({ offset }) => offset >= next)
    if (fresh.length === 0) return records.length
    queue.records = queue.records.concat(fresh)
    queue.times = queue.times.concat(fresh.map((record) => this.#options.timeOf(record)))
    this.#queues.set(key, queue)
    if (!queue.isPaused && queue.records.length > this.#options.waitingMax) {
      queue.isPaused = true
      this.#options.pause(queue)
    }
    this.#wake?.()
    return records.length - fresh.length
  }

  /** The next piece of the partition whose first record is the oldest; null when nothing waits. */
  take(): Piece | null {
    const queue = this.#oldest()
    if (queue === null) return null
    const key = partitionKey(queue)
    const records = queue.records.slice(0, this.#pieceOf(queue))
    queue.records = queue.records.slice(records.length)
    queue.times = queue.times.slice(records.length)
    if (queue.records.length === 0) this.#queues.delete(key)
    if (queue.isPaused && queue.records.length <= this.#options.waitingMax / 2) {
      queue.isPaused = false
      this.#options.resume(queue)
    }
    const { topic, partition } = queue
    const from = this.#positions.get(key) ?? records[0]!.offset
    const to = records.at(-1)!.offset + 1
    this.#positions.set(key, to)
    return { topic, partition, from, to, records }
  }

  #oldest(): Queue | null {
    let oldest: Queue | null = null
    for (const queue of this.#queues.values()) {
      if (oldest === null || queue.times[0]! < oldest.times[0]!) oldest = queue
    }
    return oldest
  }

  /** At least one record; no more than the piece may hold, nor any that is much newer than what waits elsewhere. */
  #pieceOf(queue: Queue): number {
    // Nor itself: a piece is not to hold days, or they would be learnt before the first of them is seen.
    let untilMs = queue.times[0]! + this.#options.aheadMs
    for (const other of this.#queues.values()) {
      if (other !== queue) untilMs = Math.min(untilMs, other.times[0]! + this.#options.aheadMs)
    }
    const most = Math.min(queue.records.length, this.#options.pieceMax())
    let size = 1
    while (size < most && queue.times[size]! <= untilMs) size++
    return size
  }

  /** Resolves when records are there, or after a while. */
  async waitForRecords(timeoutMs: number): Promise<void> {
    if (this.#queues.size > 0 || timeoutMs <= 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = null
  }

  /** Ends a wait. */
  wake(): void {
    this.#wake?.()
  }

  /** Records between what has been taken and the end of each partition, as last heard of. */
  lags(): (TopicPartition & { readonly lag: number })[] {
    return [...this.#ends].map(([key, end]) => {
      const at = key.lastIndexOf('/')
      const partition = { topic: key.slice(0, at), partition: Number(key.slice(at + 1)) }
      return { ...partition, lag: Math.max(0, end - (this.#positions.get(key) ?? 0)) }
    })
  }
}

function newQueue(topic: string, partition: number): Queue {
  return { topic, partition, records: [], times: [], isPaused: false }
}
