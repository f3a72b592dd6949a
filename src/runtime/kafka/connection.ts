import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../../config/schema.ts'
import { FreshetError, messageOf } from '../../errors.ts'
import type { Logger } from '../ports.ts'
import { readTlsFiles } from '../tls-files.ts'
import { codecsReady } from './codecs.ts'
import {
  isConnectionFailure,
  isCoordinatorNotFound,
  isPending,
  isRetriable,
  isUnknownTopic,
  toFreshetError,
} from './errors.ts'
import type { Broker, KafkajsCluster, ProtocolRequest, SocketOptions } from './kafkajs.ts'
import { Cluster, defaultSocket, quietLogger } from './kafkajs.ts'
import type { KafkaPresence } from './presence.ts'

export interface ConnectionSettings {
  readonly config: Config['kafka']
  readonly log: Logger
  /** Told of each answer and each failure to get one. */
  readonly presence: Pick<KafkaPresence, 'take'>
}

/**
 * Sockets and metadata of one user (a consumer, a producer): a request that a broker holds back, such as a fetch or a
 * join, blocks everything behind it on its socket.
 */
export class Connection {
  readonly cluster: KafkajsCluster
  readonly #settings: ConnectionSettings
  readonly #sockets = new Set<Socket>()
  readonly #closing = new AbortController()

  constructor(settings: ConnectionSettings) {
    const { config, log } = settings
    this.#settings = settings
    this.cluster = new Cluster({
      logger: quietLogger((fields, message) => {
        if (!this.isClosed) log.debug(fields, message)
      }),
      brokers: config.brokers,
      ssl: tlsOptions(config.tls),
      sasl: config.sasl.mechanism === 'none' ? undefined : config.sasl,
      clientId: config.clientId,
      connectionTimeout: Math.min(3_000, config.requestTimeoutMs),
      requestTimeout: config.requestTimeoutMs,
      enforceRequestTimeout: true,
      metadataMaxAge: 300_000,
      allowAutoTopicCreation: false,
      maxInFlightRequests: null,
      isolationLevel: 1,
      // Retrying is done by `retrying` below, which ends when the connection is closed.
      retry: { retries: 1, initialRetryTime: 50 },
      socketFactory: (options) => this.#socket(options),
    })
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Aborted by `close`. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** Connects and loads the metadata of these topics; stays pending while no broker answers. */
  async open(topics: readonly string[]): Promise<void> {
    await codecsReady()
    await this.retrying('connect to Kafka', async () => {
      await this.cluster.connect()
      await this.cluster.addMultipleTargetTopics(topics)
      await this.cluster.refreshMetadata()
    })
  }

  /**
   * Has the metadata of these topics, too. kafkajs loads those of new ones only: one that was added when no broker answered would be
   * taken for a topic without partitions for ever.
   */
  async addTopics(topics: readonly string[]): Promise<void> {
    await this.cluster.addMultipleTargetTopics(topics)
    if (topics.some((topic) => this.partitionsOf(topic).length === 0)) await this.refresh()
  }

  /** Loads metadata again, after reconnecting where that is needed. */
  async refresh(): Promise<void> {
    await this.cluster.connect()
    await this.cluster.refreshMetadata()
  }

  /**
   * Brokers are asked about all topics at once, and one that has been deleted makes the whole answer an error: takes
   * out what is gone. @returns the topics taken out
   */
  async forgetMissingTopics(): Promise<string[]> {
    const broker = await this.cluster.findControllerBroker()
    const missing: string[] = []
    for (const topic of [...this.cluster.targetTopics]) {
      try {
        await broker.metadata([topic])
      } catch (error) {
        if (!isUnknownTopic(error)) throw error
        this.cluster.targetTopics.delete(topic)
        missing.push(topic)
      }
    }
    return missing
  }

  /** @returns node id, -1 while the partition has no leader; undefined: no such partition. */
  leaderOf(topic: string, partition: number): number | undefined {
    return this.partitionsOf(topic).find((p) => p.partitionId === partition)?.leader
  }

  partitionsOf(
    topic: string,
  ): readonly { readonly partitionId: number; readonly leader: number }[] {
    return this.cluster.findTopicPartitionMetadata(topic)
  }

  async send<T>(nodeId: number, request: ProtocolRequest<T>): Promise<T> {
    const broker = await this.cluster.findBroker({ nodeId })
    return this.#on(broker, () => broker.connectionPool.send(request))
  }

  /**
   * Of a group, or (1) of a transactional id. kafkajs asks every broker and keeps to itself what they say, so a right that is
   * missing would look like a coordinator that is not there yet: the reason is asked for again.
   */
  async findCoordinator(groupId: string, coordinatorType: 0 | 1 = 0): Promise<Broker> {
    try {
      return await this.cluster.findGroupCoordinator({ groupId, coordinatorType })
    } catch (error) {
      if (!isCoordinatorNotFound(error)) throw error
      const broker = await this.cluster.brokerPool.findConnectedBroker()
      await broker.findGroupCoordinator({ groupId, coordinatorType })
      throw error
    }
  }

  async #on<T>(broker: Broker, call: () => Promise<T>): Promise<T> {
    try {
      const answer = await call()
      this.#settings.presence.take(null)
      return answer
    } catch (error) {
      if (isConnectionFailure(error)) await broker.disconnect()
      throw error
    }
  }

  /**
   * Tries until it succeeds, the connection is closed, the deadline passes or the error is one that stays.
   * @throws FreshetError ABORTED when closed meanwhile
   */
  async retrying<T>(
    what: string,
    attempt: () => Promise<T>,
    options: { readonly deadlineMs?: number; readonly firstDelayMs?: number } = {},
  ): Promise<T> {
    const endsAt = performance.now() + (options.deadlineMs ?? Infinity)
    for (let delayMs = options.firstDelayMs ?? 25; ; delayMs = Math.min(delayMs * 2, 1_000)) {
      if (this.isClosed) throw new FreshetError('ABORTED', `${what}: the connection was closed`)
      try {
        const result = await attempt()
        this.#settings.presence.take(null)
        return result
      } catch (error) {
        if (this.isClosed) throw new FreshetError('ABORTED', `${what}: closed`, { cause: error })
        if (!isRetriable(error) || performance.now() + delayMs > endsAt) {
          throw toFreshetError(error, what)
        }
        await this.#recover(error, what)
        await this.pause(delayMs)
      }
    }
  }

  /** Waits, but no longer than until `close`. */
  async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.closing }).catch(() => undefined)
  }

  /** Ends every request under way at once: a broker that does not answer cannot hold up a shutdown. */
  close(): void {
    if (this.isClosed) return
    this.#closing.abort()
    for (const socket of this.#sockets) socket.destroy(new Error('closed by freshet'))
  }

  async #recover(error: unknown, what: string): Promise<void> {
    if (isConnectionFailure(error)) {
      const failure = messageOf(error)
      this.#settings.presence.take(failure)
      this.#settings.log.debug({ error: failure }, `${what}: no answer, trying again`)
    }
    if (isPending(error)) return
    await this.refresh().catch(() => undefined)
  }

  #socket(options: SocketOptions): Socket {
    const socket = defaultSocket(options)
    socket.setNoDelay(true)
    // kafkajs adds listeners for every disconnect that waits for a connect, and Node would call that a leak.
    socket.setMaxListeners(0)
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    if (this.isClosed) socket.destroy(new Error('closed by freshet'))
    return socket
  }
}

function tlsOptions({ enabled, rejectUnauthorized, ...names }: Config['kafka']['tls']) {
  return enabled ? { rejectUnauthorized, ...readTlsFiles('kafka.tls', names) } : undefined
}
