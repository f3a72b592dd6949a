import { invariant, messageOf } from '../errors.ts'
import type { SourceRecord } from '../streams/stage.ts'
import type { KafkaClient, TopicPartition } from './ports.ts'

/**
 * One partition's records, pulled range by range in order, while the next ones are being read: a request for each small range would
 * spend all its time waiting.
 */
export class RangeFeed {
  #pending: SourceRecord[] = []
  /** Of `#pending`, already taken. */
  #taken = 0
  #isDone = false
  #isClosed = false
  #failure: Error | null = null
  #arrived: (() => void) | null = null
  #wanted: (() => void) | null = null

  constructor(
    kafka: Pick<KafkaClient, 'readRange'>,
    partition: TopicPartition,
    from: number,
    to: number,
  ) {
    kafka
      .readRange(partition, from, to, async ({ records }) => {
        while (this.#pending.length > this.#taken && !this.#isClosed) {
          await new Promise<void>((resolve) => (this.#wanted = resolve))
        }
        this.#pending = [...records]
        this.#taken = 0
        this.#arrived?.()
      })
      .catch((error: unknown) => {
        this.#failure = error instanceof Error ? error : new Error(messageOf(error))
      })
      .finally(() => {
        this.#isDone = true
        this.#arrived?.()
      })
  }

  /** Everything not taken yet below `to`. */
  async take(to: number): Promise<SourceRecord[]> {
    const records: SourceRecord[] = []
    for (;;) {
      while (this.#taken < this.#pending.length && this.#pending[this.#taken]!.offset < to) {
        records.push(this.#pending[this.#taken++]!)
      }
      if (this.#taken < this.#pending.length) return records
      if (this.#failure !== null) throw this.#failure
      if (this.#isDone) return records
      this.#wanted?.()
      await new Promise<void>((resolve) => (this.#arrived = resolve))
      this.#arrived = null
    }
  }

  /** Lets a read under way run out without anybody to take it. */
  close(): void {
    invariant(!this.#isClosed, 'a feed is closed once')
    this.#isClosed = true
    this.#wanted?.()
  }
}
