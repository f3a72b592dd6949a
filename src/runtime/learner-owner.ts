import { FreshetError, messageOf } from '../errors.ts'
import type { Cut } from '../streams/learner-types.ts'
import type { SinkRecord } from '../streams/stage.ts'
import { partitionKey } from './ports.ts'
import type { KafkaClient, Producer, TopicPartition, TransactionalProducer } from './ports.ts'

/**
 * What makes a process the active learner: the transactional id. Its lineages share it, one transaction at a time. Once a transaction
 * has failed nothing more can be said with it: all of them have to start again.
 */
export class LearnerOwner {
  readonly #transactional: TransactionalProducer
  readonly #producer: Producer
  readonly #onLost: (error: FreshetError) => void
  /** By partition: records below have been judged, so that each is refused once and not by every lineage. */
  readonly #judged = new Map<string, number>()
  #last: Promise<unknown> = Promise.resolve()
  #lost: FreshetError | null = null

  /** Resolves when whoever was active before is shut out, and what it had begun is ended. */
  static async open(
    kafka: KafkaClient,
    topicPrefix: string,
    onLost: (error: FreshetError) => void,
  ): Promise<LearnerOwner> {
    const transactional = await kafka.transactionalProducer(`${topicPrefix}-learner-0`)
    try {
      return new LearnerOwner(transactional, await kafka.producer(), onLost)
    } catch (error) {
      await transactional.close()
      throw error
    }
  }

  private constructor(
    transactional: TransactionalProducer,
    producer: Producer,
    onLost: (error: FreshetError) => void,
  ) {
    this.#transactional = transactional
    this.#producer = producer
    this.#onLost = onLost
  }

  /** @throws FreshetError PRODUCER_FENCED when another learner is active */
  async transact(records: readonly SinkRecord[]): Promise<void> {
    const before = this.#last
    const own = before.then(async () => {
      if (this.#lost !== null) throw this.#lost
      await this.#transactional.transact(records)
    })
    this.#last = own.catch((error: unknown) => this.#lose(error))
    await own
  }

  send(records: readonly SinkRecord[]): Promise<void> {
    return this.#producer.send(records)
  }

  /** Everything below these offsets was judged by a run before. */
  startJudging(positions: readonly (TopicPartition & { readonly offset: number })[]): void {
    for (const position of positions) this.#judge(position, position.offset)
  }

  /** Sends the dead letters of a cut that are new, and says which. */
  async refuse<T extends { readonly offset: number; readonly letter: SinkRecord }>(
    cut: Cut,
    letters: readonly T[],
  ): Promise<readonly T[]> {
    const judged = this.#judged.get(partitionKey(cut)) ?? 0
    const fresh = letters.filter(({ offset }) => offset >= judged)
    if (fresh.length > 0) await this.#producer.send(fresh.map(({ letter }) => letter))
    this.#judge(cut, cut.to)
    return fresh
  }

  #judge(partition: TopicPartition, offset: number): void {
    const key = partitionKey(partition)
    this.#judged.set(key, Math.max(this.#judged.get(key) ?? 0, offset))
  }

  /** Ends what waits for Kafka. */
  async close(): Promise<void> {
    this.#lost ??= new FreshetError('ABORTED', 'This learner is no longer active')
    await Promise.all([this.#transactional.close(), this.#producer.close()])
  }

  #lose(error: unknown): void {
    if (this.#lost !== null) return
    this.#lost =
      error instanceof FreshetError
        ? error
        : new FreshetError('INVARIANT_VIOLATED', messageOf(error), { cause: error })
    this.#onLost(this.#lost)
  }
}
