import { FreshetError } from '../../errors.ts'
import type { SinkRecord } from '../../streams/stage.ts'
import type { Producer } from '../ports.ts'
import { partitionKey } from '../ports.ts'
import type { Identity, PendingBatch } from './batch-sender.ts'
import { advanceSequence, BatchCutter, encodeBatch, produceOnce } from './batch-sender.ts'
import type { CompressionName } from './codecs.ts'
import type { Connection } from './connection.ts'
import { isConnectionFailure, isUnknownTopic, toFreshetError } from './errors.ts'
import type { EncodedBatch } from './produce.ts'

interface Send {
  readonly records: readonly SinkRecord[]
  resolve(): void
  reject(error: unknown): void
  failure: FreshetError | null
}

export interface ProducerSettings {
  readonly compression: CompressionName
  readonly requestTimeoutMs: number
}

const flushRecordsMax = 20_000
const unknownTopicMs = 1_000
const closeMs = 1_500

/**
 * Sends in order, once: one request is under way, the next takes everything that has gathered meanwhile. While brokers are
 * away it keeps what it has and sends the same bytes again, and the sequence numbers make the brokers drop a repeat.
 * One gap: a broker that restarts after a crash forgets producers whose newest record timestamp is over a day old
 * (`producer.id.expiration.ms`), so in a replay of old data what was under way at the crash may be appended twice.
 */
export class IdempotentProducer implements Producer {
  readonly #connection: Connection
  readonly #settings: ProducerSettings
  #identity: Identity
  #queue: Send[] = []
  #knownTopics = new Set<string>()
  /** Sends wait here, in order, while the metadata of a topic is being loaded. */
  #admission: Promise<void> | null = null
  #flushing: Promise<void> | null = null
  #isClosing = false

  static async open(
    connection: Connection,
    settings: ProducerSettings,
  ): Promise<IdempotentProducer> {
    await connection.open([])
    return new IdempotentProducer(connection, settings, await newIdentity(connection))
  }

  private constructor(connection: Connection, settings: ProducerSettings, identity: Identity) {
    this.#connection = connection
    this.#settings = settings
    this.#identity = identity
  }

  async send(records: readonly SinkRecord[]): Promise<void> {
    if (records.length === 0) return
    if (this.#isClosing) throw closed()
    const isKnown = records.every((record) => this.#knownTopics.has(record.topic))
    if (!isKnown || this.#admission !== null) await this.#admit(records)
    await new Promise<void>((resolve, reject) => {
      this.#queue.push({ records, resolve, reject, failure: null })
      this.#flushing ??= this.#flush()
    })
  }

  async close(): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    const drained = (async () => {
      await this.#admission
      while (this.#flushing !== null) await this.#flushing
    })()
    await Promise.race([drained, this.#connection.pause(closeMs)])
    this.#connection.close()
    await this.#flushing
  }

  async #admit(records: readonly SinkRecord[]): Promise<void> {
    const before = this.#admission ?? Promise.resolve()
    const own = before.then(() => this.#learnTopics(new Set(records.map((r) => r.topic))))
    const settled = own.catch(() => undefined)
    this.#admission = settled
    try {
      await own
    } finally {
      if (this.#admission === settled) this.#admission = null
    }
  }

  async #learnTopics(topics: ReadonlySet<string>): Promise<void> {
    const unknown = [...topics].filter((topic) => !this.#knownTopics.has(topic))
    if (unknown.length === 0) return
    await learnTopics(this.#connection, unknown, () => this.#forgetMissingTopics())
    for (const topic of unknown) this.#knownTopics.add(topic)
  }

  async #forgetMissingTopics(): Promise<void> {
    const missing = await this.#connection.forgetMissingTopics()
    for (const topic of missing) this.#knownTopics.delete(topic)
  }

  async #flush(): Promise<void> {
    // Starts after the caller's turn, so that what is sent in one go travels in one request.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const sends = this.#take()
      try {
        await this.#deliver(sends)
        for (const send of sends) {
          if (send.failure === null) send.resolve()
          else send.reject(send.failure)
        }
      } catch (error) {
        for (const send of sends) send.reject(error)
      }
    }
    this.#flushing = null
  }

  #take(): Send[] {
    let records = 0
    let count = 0
    while (count < this.#queue.length && records < flushRecordsMax) {
      records += this.#queue[count++]!.records.length
    }
    return this.#queue.splice(0, count)
  }

  async #deliver(sends: readonly Send[]): Promise<void> {
    const cutter = new BatchCutter<Send>(this.#connection)
    for (const send of sends) {
      send.failure = await failureOf(() => cutter.add(send.records, send))
    }
    for (let round = cutter.takeRound(); round.length > 0; round = cutter.takeRound()) {
      await this.#deliverRound(round)
    }
  }

  async #deliverRound(round: readonly PendingBatch<Send>[]): Promise<void> {
    let pending = [...round]
    let encoded: EncodedBatch[] | null = null
    for (let delayMs = 20; pending.length > 0; delayMs = Math.min(delayMs * 2, 1_000)) {
      encoded ??= pending.map((b) => encodeBatch(b, this.#identity, this.#settings.compression))
      const outcomes = await produceOnce(
        this.#connection,
        this.#identity,
        this.#settings.requestTimeoutMs,
        encoded,
      )
      const left: number[] = []
      let hasLostIdentity = false
      for (const [i, batch] of pending.entries()) {
        const outcome = outcomes.get(partitionKey(batch)) ?? 'retry'
        if (outcome === 'done') advanceSequence(this.#identity, batch)
        else if (outcome instanceof FreshetError)
          for (const send of batch.owners) send.failure = outcome
        else left.push(i)
        hasLostIdentity ||= outcome === 'lost-identity'
      }
      pending = left.map((i) => pending[i]!)
      encoded = hasLostIdentity ? null : left.map((i) => encoded![i]!)
      if (pending.length === 0) return
      await this.#recover(delayMs, hasLostIdentity)
      const gone = await this.#refuseMissing(pending)
      pending = pending.filter(({ topic }) => !gone.has(topic))
      encoded = encoded?.filter(({ topic }) => !gone.has(topic)) ?? null
    }
  }

  /** A topic may be deleted after it was used: what is sent to it fails, and nothing else does. @returns those topics */
  async #refuseMissing(pending: readonly PendingBatch<Send>[]): Promise<ReadonlySet<string>> {
    const gone = new Set<string>()
    for (const topic of new Set(pending.map((batch) => batch.topic))) {
      const failure = await failureOf(() => this.#learnTopics(new Set([topic])))
      if (failure === null) continue
      gone.add(topic)
      const owners = pending.filter((batch) => batch.topic === topic).flatMap((b) => [...b.owners])
      for (const send of owners) send.failure = failure
    }
    return gone
  }

  async #recover(delayMs: number, hasLostIdentity: boolean): Promise<void> {
    await this.#connection.pause(delayMs)
    if (this.#connection.isClosed) throw closed()
    await this.#connection.retrying('find the leaders of partitions', async () => {
      try {
        await this.#connection.refresh()
      } catch (error) {
        if (isUnknownTopic(error)) await this.#forgetMissingTopics()
        throw error
      }
    })
    // The broker has forgotten this producer (its records were deleted): the sequence starts anew.
    if (hasLostIdentity) this.#identity = await newIdentity(this.#connection)
  }
}

/**
 * @param onUnknown called when one of the topics asked about is missing, which may be one learnt before
 * @throws FreshetError TOPIC_INVALID when one of them does not appear within a second
 */
export async function learnTopics(
  connection: Connection,
  topics: readonly string[],
  onUnknown: () => Promise<unknown> = () => connection.forgetMissingTopics(),
): Promise<void> {
  const what = `find topic ${topics.join(', ')}`
  let unknownSinceMs: number | null = null
  await connection.retrying(what, async () => {
    try {
      await connection.addTopics(topics)
    } catch (error) {
      // A broker that is gone is waited for, as with any send.
      if (isConnectionFailure(error)) throw error
      if (isUnknownTopic(error)) await onUnknown()
      unknownSinceMs ??= performance.now()
      if (performance.now() - unknownSinceMs < unknownTopicMs) throw error
      const { code, message } = toFreshetError(error, what)
      // Without the cause, by which it would be tried again.
      throw new FreshetError(code, message)
    }
  })
}

/** Null, or the refusal of a topic; any other error is thrown. */
async function failureOf(call: () => Promise<void> | void): Promise<FreshetError | null> {
  try {
    await call()
    return null
  } catch (error) {
    if (error instanceof FreshetError && error.code === 'TOPIC_INVALID') return error
    throw error
  }
}

async function newIdentity(connection: Connection): Promise<Identity> {
  const { producerId, producerEpoch } = await connection.retrying('start a producer', async () => {
    const broker = await connection.cluster.findControllerBroker()
    return broker.initProducerId({ transactionalId: undefined, transactionTimeout: 60_000 })
  })
  return {
    transactionalId: null,
    producerId: Number(producerId),
    producerEpoch,
    sequences: new Map(),
  }
}

function closed(): FreshetError {
  return new FreshetError('ABORTED', 'the producer was closed before its records were acknowledged')
}
