import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { configSchema } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import { decodeRecallReply, encodeRecallRequest } from '../records/codec.ts'
import { topicNames } from '../records/topics.ts'
import type { TopicNames } from '../records/topics.ts'
import { createKafkaClient } from './kafka/client.ts'
import { partitionKey } from './ports.ts'
import type { Batch, KafkaClient, Logger, Producer, Tail, TopicPartition } from './ports.ts'
import { requestOf, resultOf } from './recall-client-values.ts'
import type { RecallQuery, RecallResult } from './recall-client-values.ts'
import { Slots } from './recall-client-slots.ts'
import { withTimeout } from './with-timeout.ts'

export { FreshetError } from '../errors.ts'
export type { ErrorCode } from '../errors.ts'
export type { RecallStatus } from '../records/types.ts'
export type {
  QueryFeatures,
  RecallQuery,
  RecalledItem,
  RecallResult,
} from './recall-client-values.ts'

export interface RecallClientOptions {
  /** host:port of the bootstrap brokers. */
  readonly brokers: readonly string[]
  /** Default `freshet`. */
  readonly topicPrefix?: string
  readonly ssl?:
    | boolean
    | {
        readonly caFile?: string
        readonly certFile?: string
        readonly keyFile?: string
        readonly rejectUnauthorized?: boolean
      }
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
    readonly username: string
    readonly password: string
  }
  /** Recalls in flight at most; more of them wait their turn, within their own timeout. Default 256. */
  readonly concurrency?: number
  /** Of a recall that names none, in milliseconds. Default 1,000. */
  readonly timeoutMs?: number
  /** How long `connect` tries. Default 10,000. */
  readonly connectTimeoutMs?: number
  /** Replies can no longer be read: every later recall ends with TIMEOUT. */
  readonly onFailure?: (error: FreshetError) => void
}

interface Waiting {
  readonly resolve: (result: RecallResult) => void
  readonly reject: (error: unknown) => void
  readonly sentAtMs: number
}

interface End {
  readonly signal: AbortSignal
  readonly dispose: () => void
}

const silent: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silent,
}

/**
 * Recall over Kafka as a promise:
 *
 *     const client = await RecallClient.connect({ brokers: ['127.0.0.1:9092'] })
 *     const { status, items } = await client.recall({ userId: '123', k: 10 })
 *     await client.close()
 *
 * Replies come to one partition of the reply topic, read from its end at `connect`, outside any group.
 */
export class RecallClient {
  readonly #kafka: KafkaClient
  readonly #topics: TopicNames
  readonly #producer: Producer
  readonly #replies: TopicPartition
  readonly #timeoutMs: number
  readonly #slots: Slots
  readonly #id = randomUUID()
  readonly #waiting = new Map<string, Waiting>()
  readonly #closing = new AbortController()
  #tail: Tail | null = null
  #sequence = 0

  /** @throws FreshetError CONFIG_INVALID, BROKER_UNAVAILABLE, TOPIC_INVALID */
  static async connect(options: RecallClientOptions): Promise<RecallClient> {
    checkOptions(options)
    const kafka = createKafkaClient({ config: kafkaConfig(options), log: silent })
    try {
      const { connectTimeoutMs = 10_000 } = options
      return await withTimeout(RecallClient.#open(kafka, options), connectTimeoutMs, () => {
        const brokers = options.brokers.join(', ')
        return new FreshetError(
          'BROKER_UNAVAILABLE',
          `no broker answered at ${brokers} within ${connectTimeoutMs} ms`,
        )
      })
    } catch (error) {
      await kafka.close()
      throw error
    }
  }

  static async #open(kafka: KafkaClient, options: RecallClientOptions): Promise<RecallClient> {
    const topics = topicNames(options.topicPrefix)
    if (!(await kafka.topicExists(topics.recallReplies))) {
      throw new FreshetError(
        'TOPIC_INVALID',
        `topic ${topics.recallReplies} does not exist: is freshet running on these brokers, and is topicPrefix right?`,
      )
    }
    const ends = await kafka.offsets(topics.recallReplies)
    const { partition, high } = ends[Math.floor(Math.random() * ends.length)]!
    const replies = { topic: topics.recallReplies, partition }
    const client = new RecallClient(kafka, await kafka.producer(), topics, replies, options)
    client.#tail = await kafka.tail({
      topics: [replies.topic],
      partitions: [partition],
      // A position, not 'latest': that would be resolved only after the first request may have been answered.
      from: new Map([[partitionKey(replies), high]]),
      maxWaitMs: 50,
      onBatch: (batch) => client.#onReplies(batch),
      ...(options.onFailure === undefined ? {} : { onFailure: options.onFailure }),
    })
    return client
  }

  private constructor(
    kafka: KafkaClient,
    producer: Producer,
    topics: TopicNames,
    replies: TopicPartition,
    { concurrency = 256, timeoutMs = 1_000 }: RecallClientOptions,
  ) {
    this.#kafka = kafka
    this.#producer = producer
    this.#topics = topics
    this.#replies = replies
    this.#timeoutMs = timeoutMs
    this.#slots = new Slots(concurrency)
    // One listener for each recall under way, which is no leak.
    setMaxListeners(0, this.#closing.signal)
  }

  /**
   * Asks for the `k` best items. Look at `status`: only `OK` means that the user's own row was used.
   * @throws FreshetError USAGE_INVALID (nothing was sent), TIMEOUT, ABORTED (`signal` or `close`), BROKER_UNAVAILABLE
   */
  async recall(query: RecallQuery): Promise<RecallResult> {
    const correlationId = `${this.#id}-${this.#sequence++}`
    const { timeoutMs, ...request } = requestOf(
      query,
      correlationId,
      this.#replies,
      this.#timeoutMs,
    )
    const deadlineMs = performance.now() + timeoutMs
    const end = this.#endOf(query, timeoutMs)
    try {
      const release = await this.#slots.take(end.signal)
      try {
        const leftMs = Math.max(1, Math.ceil(deadlineMs - performance.now()))
        const value = encodeRecallRequest({ ...request, timeoutMs: leftMs })
        return await this.#ask(correlationId, value, end.signal)
      } finally {
        release()
      }
    } finally {
      end.dispose()
    }
  }

  /** Ends what is under way with ABORTED. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#tail?.close()
    await this.#producer.close()
    await this.#kafka.close()
  }

  async #ask(correlationId: string, value: Buffer, ended: AbortSignal): Promise<RecallResult> {
    ended.throwIfAborted()
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.set(correlationId, { resolve, reject, sentAtMs: performance.now() })
        ended.addEventListener('abort', () => reject(ended.reason as Error), { once: true })
        const { recallRequests: topic } = this.#topics
        const record = { topic, key: correlationId, value, timestampMs: Date.now() }
        this.#producer.send([record]).catch(reject)
      })
    } finally {
      // A reply that comes later finds nobody and is passed over.
      this.#waiting.delete(correlationId)
    }
  }

  #onReplies({ records }: Batch): void {
    for (const { key, value } of records) {
      const waiting = key === null ? undefined : this.#waiting.get(key.toString())
      if (waiting === undefined || value === null) continue
      try {
        const latencyMs = performance.now() - waiting.sentAtMs
        waiting.resolve(resultOf(decodeRecallReply(value), latencyMs))
      } catch (error) {
        waiting.reject(error)
      }
    }
  }

  /** A signal that aborts, with the error to throw, on timeout, by the caller's signal and on `close`. */
  #endOf({ userId, signal }: RecallQuery, timeoutMs: number): End {
    const controller = new AbortController()
    const fail = (code: ErrorCode, why: string, cause?: unknown) =>
      controller.abort(new FreshetError(code, `recall of user ${userId}: ${why}`, { cause }))
    const onTimeout = () =>
      fail('TIMEOUT', `no reply within ${timeoutMs} ms; is a recall pod running? (freshet status)`)
    const onSignal = () => fail('ABORTED', 'aborted by the caller', signal?.reason)
    const onClose = () => fail('ABORTED', 'the client is closed')
    const timer = setTimeout(onTimeout, timeoutMs)
    signal?.addEventListener('abort', onSignal)
    this.#closing.signal.addEventListener('abort', onClose)
    if (signal?.aborted === true) onSignal()
    if (this.#closing.signal.aborted) onClose()
    const dispose = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onSignal)
      this.#closing.signal.removeEventListener('abort', onClose)
    }
    return { signal: controller.signal, dispose }
  }
}

function checkOptions({ concurrency = 1, timeoutMs = 1 }: RecallClientOptions): void {
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    const message = `RecallClient: concurrency must be a whole number of at least 1, not ${concurrency}`
    throw new FreshetError('CONFIG_INVALID', message)
  }
  if (!(timeoutMs > 0)) {
    const message = `RecallClient: timeoutMs must be above 0, not ${timeoutMs}`
    throw new FreshetError('CONFIG_INVALID', message)
  }
}

function kafkaConfig({ brokers, topicPrefix, ssl = false, sasl }: RecallClientOptions) {
  const parsed = configSchema.safeParse({
    kafka: {
      brokers,
      clientId: 'freshet-recall-client',
      ...(topicPrefix === undefined ? {} : { topicPrefix }),
      tls: typeof ssl === 'boolean' ? { enabled: ssl } : { enabled: true, ...ssl },
      ...(sasl === undefined ? {} : { sasl }),
    },
  })
  if (parsed.success) return parsed.data.kafka
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new FreshetError('CONFIG_INVALID', `RecallClient: ${problems.join('; ')}`)
}
