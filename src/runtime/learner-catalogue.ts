import type { SourceRecord } from '../streams/stage.ts'
import type { Piece } from './learner-intake.ts'
import { timeOfChange } from './learner-records.ts'
import type { KafkaClient } from './ports.ts'

/** Changes applied before others get their turn. */
const pieceMax = 1_000

interface Partition {
  /** Everything below is learnt. */
  from: number
  /** Everything below is learnt or waits. */
  to: number
  waiting: SourceRecord[]
}

/** The changes of the catalogue, read on demand and up to the end of the topic as of then. */
export class LearnerCatalogue {
  readonly #kafka: Pick<KafkaClient, 'offsets' | 'readRange'>
  readonly #topic: string
  readonly #partitions = new Map<number, Partition>()

  constructor(kafka: Pick<KafkaClient, 'offsets' | 'readRange'>, topic: string) {
    this.#kafka = kafka
    this.#topic = topic
  }

  startAt(partition: number, offset: number): void {
    this.#partitions.set(partition, { from: offset, to: offset, waiting: [] })
  }

  /** In each partition what comes before the first change at or beyond `endMs`; partition by partition, in small pieces. */
  async before(endMs: number): Promise<Piece[]> {
    const pieces: Piece[] = []
    for (const { partition, low, high } of await this.#kafka.offsets(this.#topic)) {
      const known = this.#partitions.get(partition) ?? { from: low, to: low, waiting: [] }
      this.#partitions.set(partition, known)
      await this.#read(partition, known, high)
      const later = known.waiting.findIndex((record) => timeOfChange(record) >= endMs)
      const records = known.waiting.splice(0, later === -1 ? known.waiting.length : later)
      for (let i = 0; i < records.length; i += pieceMax) {
        pieces.push(this.#pieceOf(partition, known, records.slice(i, i + pieceMax)))
      }
    }
    return pieces
  }

  async #read(partition: number, known: Partition, high: number): Promise<void> {
    if (known.to >= high) return
    const topic = this.#topic
    await this.#kafka.readRange({ topic, partition }, known.to, high, ({ records }) => {
      for (const record of records) known.waiting.push(record)
    })
    known.to = high
  }

  #pieceOf(partition: number, known: Partition, records: readonly SourceRecord[]): Piece {
    const { from } = known
    const to = records.at(-1)!.offset + 1
    known.from = to
    return { topic: this.#topic, partition, from, to, records }
  }
}
