import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { SourceRecord } from '../streams/stage.ts'
import type {
  Batch,
  GroupConsumer,
  KafkaClient,
  Logger,
  StartPosition,
  TopicPartition,
} from './ports.ts'
import { partitionKey } from './ports.ts'
import { Positions } from './recall-positions.ts'

export interface IntakeOptions {
  readonly kafka: KafkaClient
  readonly topic: string
  readonly groupId: string
  readonly desk: { handle(record: SourceRecord): Promise<void> }
  readonly metrics: Metrics
  readonly log: Logger
}

const assignmentMs = 5_000

/**
 * Reads requests in the group of the pods and hands each to the desk without waiting for the one before. A position is
 * committed when every request before it has been dealt with, so a crash repeats a reply but loses no request.
 */
export class RecallIntake {
  readonly #options: IntakeOptions
  readonly #positions = new Positions()
  readonly #handling = new Set<Promise<void>>()
  readonly #firstAssignment: Promise<void>
  #onFirstAssignment!: () => void
  #consumer: GroupConsumer | null = null
  #isClosing = false

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#firstAssignment = new Promise((resolve) => (this.#onFirstAssignment = resolve))
  }

  /** Resolves when this pod has partitions to read, or after a while without: more pods than partitions is no fault. */
  async open(): Promise<void> {
    const { kafka, topic, groupId } = this.#options
    this.#consumer = await kafka.joinGroup({
      groupId,
      topics: [topic],
      assignment: 'modulo',
      handler: {
        assigned: (partitions) => this.#assigned(partitions),
        revoked: (partitions) => {
          for (const partition of partitions) this.#positions.revoke(partition)
          return Promise.resolve()
        },
        onBatch: (batch) => {
          if (!this.#isClosing) this.#takeAll(batch)
          return Promise.resolve()
        },
      },
    })
    await Promise.race([this.#firstAssignment, sleep(assignmentMs, undefined, { ref: false })])
  }

  async commit(): Promise<void> {
    const offsets = this.#positions.movable()
    if (offsets.length === 0 || this.#consumer === null) return
    await this.#consumer.commit(offsets)
    this.#positions.committed(offsets)
  }

  /** Takes nothing more, lets the replies under way finish, commits and leaves the group. */
  async close(drainMs: number): Promise<void> {
    this.#isClosing = true
    const late = sleep(drainMs, undefined, { ref: false })
    await Promise.race([Promise.all(this.#handling), late])
    await this.commit().catch((error: unknown) =>
      this.#options.log.debug({ error: messageOf(error) }, 'last commit of the recall pod'),
    )
    await this.#consumer?.close()
  }

  /**
   * A new group starts at the end: nobody waits for older requests any more. That end is committed, so that whoever takes
   * the partition over before its first request does not start later than this.
   */
  async #assigned(
    partitions: readonly TopicPartition[],
  ): Promise<ReadonlyMap<string, StartPosition>> {
    const { kafka, groupId, topic } = this.#options
    const [committed, ends] = await Promise.all([
      kafka.committed(groupId, topic),
      kafka.offsets(topic),
    ])
    const starts = new Map<string, StartPosition>()
    for (const each of partitions) {
      const end = ends.find(({ partition }) => partition === each.partition)
      const start = committed.get(each.partition)?.offset ?? end?.high ?? 0
      starts.set(partitionKey(each), start)
      this.#positions.assign(each, start)
    }
    this.#onFirstAssignment()
    return starts
  }

  #takeAll({ topic, partition, highWatermark, records }: Batch): void {
    for (const record of records) this.#take(record)
    const next = (records.at(-1)?.offset ?? highWatermark - 1) + 1
    const labels = { role: 'recall', topic, partition: String(partition) }
    this.#options.metrics.consumerLag.set(labels, highWatermark - next)
  }

  #take(record: SourceRecord): void {
    const done = this.#positions.begin(record, record.offset)
    const handling: Promise<void> = this.#options.desk
      .handle(record)
      .then(done, (error: unknown) => {
        // Its position stays open: the next pod that gets the partition takes it again.
        const { partition, offset } = record
        const fields = { partition, offset, error: messageOf(error) }
        this.#options.log.error(fields, 'a refused recall request could not be written')
      })
      .finally(() => this.#handling.delete(handling))
    this.#handling.add(handling)
  }
}
