import { FreshetError, invariant } from '../../errors.ts'
import type { SinkRecord } from '../../streams/stage.ts'
import type { TransactionalProducer } from '../ports.ts'
import { partitionKey } from '../ports.ts'
import type { Identity, PendingBatch } from './batch-sender.ts'
import { advanceSequence, BatchCutter, encodeBatch, produceOnce } from './batch-sender.ts'
import type { CompressionName } from './codecs.ts'
import type { Connection } from './connection.ts'
import { isConnectionFailure, isFenced, isPending, isRetriable, toFreshetError } from './errors.ts'
import { groupBy } from './group-by.ts'
import { learnTopics } from './idempotent-producer.ts'
import type { Broker } from './kafkajs.ts'
import type { EncodedBatch } from './produce.ts'

export interface TransactionalSettings {
  readonly transactionalId: string
  readonly compression: CompressionName
  readonly requestTimeoutMs: number
  readonly transactionTimeoutMs: number
}

/** How long a partition may be without the leader that was known. */
const leaderWithinMs = 3_000
const leaderPauseMs = 50

type Offsets = Parameters<TransactionalProducer['transact']>[1]

/**
 * One transaction at a time. The first failure makes it unusable: an EndTxn that timed out may still arrive and end a
 * later transaction, and only a new initialisation, which raises the epoch, shuts it out (KIP-890).
 */
export class KafkajsTransactionalProducer implements TransactionalProducer {
  readonly #connection: Connection
  readonly #settings: TransactionalSettings
  readonly #coordinator: Broker
  readonly #identity: Identity
  readonly #knownTopics = new Set<string>()
  #groupCoordinator: Broker | null = null
  #failure: FreshetError | null = null
  #isBusy = false

  /** Resolves after InitProducerId; stays pending while the brokers are away. */
  static async open(
    connection: Connection,
    settings: TransactionalSettings,
  ): Promise<KafkajsTransactionalProducer> {
    await connection.open([])
    return connection.retrying(
      `start the transactional producer ${settings.transactionalId}`,
      async () => {
        const coordinator = await connection.findCoordinator(settings.transactionalId, 1)
        const { producerId, producerEpoch } = await coordinator.initProducerId({
          transactionalId: settings.transactionalId,
          transactionTimeout: settings.transactionTimeoutMs,
        })
        return new KafkajsTransactionalProducer(connection, settings, coordinator, {
          transactionalId: settings.transactionalId,
          producerId: Number(producerId),
          producerEpoch,
          sequences: new Map(),
        })
      },
    )
  }

  private constructor(
    connection: Connection,
    settings: TransactionalSettings,
    coordinator: Broker,
    identity: Identity,
  ) {
    this.#connection = connection
    this.#settings = settings
    this.#coordinator = coordinator
    this.#identity = identity
  }

  async transact(records: readonly SinkRecord[], offsets?: Offsets): Promise<void> {
    invariant(!this.#isBusy, `${this.#settings.transactionalId}: one transaction at a time`)
    if (this.#failure !== null) throw this.#failure
    if (records.length === 0 && offsets === undefined) return
    this.#isBusy = true
    try {
      await this.#run(records, offsets)
    } catch (error) {
      this.#failure = this.#describe(error)
      throw this.#failure
    } finally {
      this.#isBusy = false
    }
  }

  close(): Promise<void> {
    this.#connection.close()
    return Promise.resolve()
  }

  async #run(records: readonly SinkRecord[], offsets: Offsets): Promise<void> {
    await this.#learnTopics(records)
    const cutter = new BatchCutter<null>(this.#connection)
    cutter.add(records, null)
    const rounds: PendingBatch<null>[][] = []
    for (let round = cutter.takeRound(); round.length > 0; round = cutter.takeRound()) {
      rounds.push(round)
    }
    // Both go to one broker over one socket, which answers in order.
    await Promise.all([this.#addPartitions(rounds.flat()), this.#addOffsets(offsets)])
    await Promise.all([this.#produce(rounds), this.#commitOffsets(offsets)])
    // Only where the coordinator says that it has not begun, as while it shuts this producer out for a newer one.
    await this.#whilePassing(
      () => this.#coordinator.endTxn({ ...this.#owner(), transactionResult: true }),
      isPending,
    )
  }

  async #learnTopics(records: readonly SinkRecord[]): Promise<void> {
    const unknown = new Set<string>()
    for (const { topic } of records) if (!this.#knownTopics.has(topic)) unknown.add(topic)
    if (unknown.size === 0) return
    await learnTopics(this.#connection, [...unknown])
    for (const topic of unknown) this.#knownTopics.add(topic)
  }

  async #addPartitions(batches: readonly PendingBatch<null>[]): Promise<void> {
    if (batches.length === 0) return
    const topics = [...groupBy(batches, (b) => b.topic)].map(([topic, ofTopic]) => ({
      topic,
      partitions: [...new Set(ofTopic.map((b) => b.partition))],
    }))
    await this.#whilePassing(() =>
      this.#coordinator.addPartitionsToTxn({ ...this.#owner(), topics }),
    )
  }

  async #addOffsets(offsets: Offsets): Promise<void> {
    if (offsets === undefined) return
    const { groupId } = offsets
    await this.#whilePassing(() => this.#coordinator.addOffsetsToTxn({ ...this.#owner(), groupId }))
  }

  async #commitOffsets(sent: Offsets): Promise<void> {
    if (sent === undefined) return
    const { groupId, offsets } = sent
    const topics = [...groupBy(offsets, (o) => o.topic)].map(([topic, ofTopic]) => ({
      topic,
      partitions: ofTopic.map(({ partition, offset, metadata }) => ({
        partition,
        offset: String(offset),
        metadata,
      })),
    }))
    await this.#whilePassing(async () => {
      const coordinator =
        this.#groupCoordinator ?? (await this.#connection.findCoordinator(groupId))
      this.#groupCoordinator = null
      await coordinator.txnOffsetCommit({ ...this.#owner(), groupId, topics })
      this.#groupCoordinator = coordinator
    })
  }

  async #produce(rounds: readonly (readonly PendingBatch<null>[])[]): Promise<void> {
    const { compression } = this.#settings
    for (const round of rounds) {
      await this.#produceRound(
        round.map((batch) => encodeBatch(batch, this.#identity, compression)),
      )
      for (const batch of round) advanceSequence(this.#identity, batch)
    }
  }

  /** A partition that is new or changes its leader is asked again: the sequence numbers keep a repeat from counting twice. */
  async #produceRound(round: readonly EncodedBatch[]): Promise<void> {
    const endsAt = performance.now() + leaderWithinMs
    for (let left = round; ;) {
      const { requestTimeoutMs } = this.#settings
      const outcomes = await produceOnce(this.#connection, this.#identity, requestTimeoutMs, left)
      for (const outcome of outcomes.values()) if (outcome instanceof FreshetError) throw outcome
      left = left.filter((batch) => outcomes.get(partitionKey(batch)) !== 'done')
      if (left.length === 0) return
      if (performance.now() > endsAt) {
        const what = left.map(partitionKey).join(', ')
        throw new FreshetError('BROKER_UNAVAILABLE', `no acknowledgement from ${what}`)
      }
      await this.#connection.pause(leaderPauseMs)
      await this.#connection.refresh()
    }
  }

  /** The transaction before is still being closed, or a coordinator is loading: asked again, nothing has happened yet. */
  async #whilePassing(
    call: () => Promise<unknown>,
    isPassing = (error: unknown) => isRetriable(error) && !isConnectionFailure(error),
  ): Promise<void> {
    const endsAt = performance.now() + this.#settings.transactionTimeoutMs
    for (let delayMs = 1; ; delayMs = Math.min(delayMs * 2, 50)) {
      try {
        await call()
        return
      } catch (error) {
        if (!isPassing(error) || performance.now() > endsAt) throw error
      }
      await this.#connection.pause(delayMs)
    }
  }

  #owner() {
    const { producerId, producerEpoch } = this.#identity
    return {
      transactionalId: this.#settings.transactionalId,
      producerId: String(producerId),
      producerEpoch,
    }
  }

  #describe(error: unknown): FreshetError {
    const what = `transaction of ${this.#settings.transactionalId}`
    if (this.#connection.isClosed) {
      return new FreshetError('ABORTED', `${what}: the producer was closed`, { cause: error })
    }
    return toFreshetError(error, what, isFenced(error) ? 'PRODUCER_FENCED' : undefined)
  }
}
