import type { Config } from '../../config/schema.ts'
import type {
  Logger,
  GroupConsumer,
  GroupOptions,
  KafkaClient,
  Producer,
  Tail,
  TailOptions,
  TransactionalProducer,
} from '../ports.ts'
import { whenAborted } from '../when-aborted.ts'
import { committedOf, createTopics, offsetsOf, topicExists } from './admin.ts'
import { Connection } from './connection.ts'
import { GroupMember } from './group-member.ts'
import { IdempotentProducer } from './idempotent-producer.ts'
import { KafkaPresence } from './presence.ts'
import { readRange } from './read-range.ts'
import { openTail } from './tail.ts'
import { KafkajsTransactionalProducer } from './transactional-producer.ts'

export interface KafkaClientOptions {
  readonly config: Config['kafka']
  readonly log: Logger
  /** Told when brokers start or stop answering. */
  readonly onUp?: (isUp: boolean) => void
}

interface Closable {
  close(): Promise<void>
}

export function createKafkaClient(options: KafkaClientOptions): KafkaClient {
  const { config, log } = options
  const { brokers } = config
  const onUp = options.onUp ?? (() => undefined)
  const presence = new KafkaPresence({ brokers, log, onUp })
  const opened = new Set<Closable>()
  const newConnection = () => new Connection({ config, log, presence })
  const shared = newConnection()
  let sharedOpen: Promise<void> | null = null
  let isClosed = false

  /** Administration and range reads share one connection; consumers and producers have their own. */
  const connected = async (): Promise<Connection> => {
    sharedOpen ??= shared.open([])
    await sharedOpen
    return shared
  }

  /** Runs an opening with a connection of its own, which is closed when that fails or the client closes meanwhile. */
  async function open<T extends Closable>(
    start: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const connection = newConnection()
    const opening = { close: () => Promise.resolve(connection.close()) }
    opened.add(opening)
    if (isClosed) connection.close()
    try {
      const started = await start(connection)
      opened.add(started)
      connection.closing.addEventListener('abort', () => opened.delete(started))
      return started
    } catch (error) {
      connection.close()
      throw error
    } finally {
      opened.delete(opening)
    }
  }

  return {
    producer: () => open<Producer>((connection) => IdempotentProducer.open(connection, config)),
    transactionalProducer: (transactionalId) =>
      open<TransactionalProducer>((connection) =>
        KafkajsTransactionalProducer.open(connection, { ...config, transactionalId }),
      ),
    joinGroup: (group: GroupOptions) =>
      open<GroupConsumer>(async (connection) => {
        await connection.open(group.topics)
        return new GroupMember(connection, group, config, log)
      }),
    tail: (tail: TailOptions) => open<Tail>((connection) => openTail(connection, tail, log)),
    readRange: async (partition, from, to, onBatch) =>
      readRange(await connected(), partition, from, to, onBatch),
    createTopics: async (topics) =>
      createTopics(await connected(), topics, config.replicationFactor),
    topicExists: async (topic) => topicExists(await connected(), topic),
    offsets: async (topic) => offsetsOf(await connected(), topic),
    committed: async (groupId, topic) => committedOf(await connected(), groupId, topic),
    waitUntilReachable: (signal) =>
      presence.during(
        Promise.race([untilReachable(connected, config), whenAborted(signal).promise]),
      ),
    close: async () => {
      isClosed = true
      await Promise.all([...opened].map((one) => one.close()))
      shared.close()
      presence.close()
    },
  }
}

/**
 * Also asks for both coordinators: the first request makes a fresh broker create and load their topics, which would
 * otherwise fail the first group and the first transaction.
 */
async function untilReachable(
  connected: () => Promise<Connection>,
  { topicPrefix }: Config['kafka'],
): Promise<void> {
  const connection = await connected()
  // Spelt like those of the roles, so that rights on a prefix cover them.
  const coordinators = [
    [`${topicPrefix}.start-up`, 0],
    [`${topicPrefix}-start-up`, 1],
  ] as const
  for (const [id, type] of coordinators) {
    await connection.retrying(`find the coordinator of ${id}`, () =>
      connection.findCoordinator(id, type),
    )
  }
}
