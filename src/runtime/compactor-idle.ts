import type { DayFold } from '../streams/day-cut.ts'
import type { Clock, KafkaClient } from './ports.ts'

export interface IdleOptions {
  readonly kafka: Pick<KafkaClient, 'offsets' | 'readRange'>
  /** Of examples. */
  readonly topic: string
  readonly clock: Clock
  readonly idleMs: number
}

/** Which partitions have been silent for so long that they shall not keep a day open that all others have passed. */
export class IdlePartitions {
  readonly #options: IdleOptions
  /** When each partition last had a record, or its silence began to count. */
  readonly #heardMs: number[]

  constructor(options: IdleOptions, partitions: number) {
    this.#options = options
    this.#heardMs = new Array<number>(partitions).fill(options.clock.nowMs())
  }

  onRecords(partition: number): void {
    this.#heardMs[partition] = this.#options.clock.nowMs()
  }

  /** Until the day's last partitions may count as idle; null: there is nobody to wait for, or nobody to wait with. */
  untilIdleMs({ waiting }: DayFold): number | null {
    if (waiting === null || waiting.partitions.length === 0) return null
    const lastMs = Math.max(...waiting.partitions.map((partition) => this.#heardMs[partition]!))
    return Math.max(0, lastMs + this.#options.idleMs - this.#options.clock.nowMs())
  }

  /** Those that keep the day open, if they are all idle: silent, and nothing waits in the log behind what has been read. */
  async of(fold: DayFold): Promise<ReadonlySet<number>> {
    if (this.untilIdleMs(fold) !== 0) return new Set()
    const { kafka, topic } = this.#options
    const ends = await kafka.offsets(topic)
    const idle = new Set<number>()
    for (const partition of fold.waiting?.partitions ?? []) {
      const end = ends.find((one) => one.partition === partition)?.high ?? 0
      let isAtEnd = true
      await kafka.readRange({ topic, partition }, fold.position(partition), end, () => {
        isAtEnd = false
      })
      if (isAtEnd) idle.add(partition)
      else this.onRecords(partition)
    }
    // Something may have come meanwhile; then it is for the next time.
    return this.untilIdleMs(fold) === 0 ? idle : new Set()
  }
}
