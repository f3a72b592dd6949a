import type { Config } from '../../config/schema.ts'
import type { SourceRecord } from '../../streams/stage.ts'
import type { CommittedOffset, Logger, TopicPartition } from '../ports.ts'
import { Connection } from './connection.ts'
import { describeClusterRequest, describeGroupsRequest, request } from './describe.ts'
import type { DescribedCluster, DescribedGroup } from './describe.ts'
import { isPassing, protocol, protocolError, protocolType, toFreshetError } from './errors.ts'
import { Encoder } from './kafkajs.ts'
import type { Broker } from './kafkajs.ts'
import { listOffsets } from './offsets.ts'
import { PayloadReader } from './payload.ts'
import { readRange } from './read-range.ts'
import { fetchCommitted } from './start-offsets.ts'

/** API key -> the versions that a broker understands. */
export type ApiVersions = Readonly<
  Record<number, { readonly minVersion: number; readonly maxVersion: number }>
>

export type Settings = Readonly<Record<string, string>>

export interface PartitionBounds extends TopicPartition {
  readonly low: number
  /** End of what is committed; `high` where no transaction is open. */
  readonly stable: number
  readonly high: number
}

const topicResource = 2
const brokerResource = 4
const alterMs = 10_000

/**
 * Connects to one broker, once.
 * @throws whatever came back, with the reason of the socket, TLS or SASL in its message
 */
export async function reachBroker(
  config: Config['kafka'],
  address: string,
  log: Logger,
): Promise<ApiVersions> {
  const connection = connectionTo({ ...config, brokers: [address] }, log)
  try {
    await connection.cluster.connect()
    return connection.cluster.brokerPool.versions ?? {}
  } finally {
    connection.close()
  }
}

/** Looks at a cluster, and changes the settings of topics; nothing else writes. */
export class KafkaExaminer {
  readonly #connection: Connection

  /** @param config with brokers that answer: `open` stays pending while none does */
  constructor(config: Config['kafka'], log: Logger) {
    this.#connection = connectionTo(config, log)
  }

  open(): Promise<void> {
    return this.#connection.open([])
  }

  /** The cluster, and these topics, also where they are missing. */
  async cluster(topics: readonly string[]): Promise<DescribedCluster> {
    const { nodeId } = await this.#broker()
    return this.#connection.send(nodeId, describeClusterRequest(topics))
  }

  async topicSettings(topics: readonly string[]): Promise<ReadonlyMap<string, Settings>> {
    if (topics.length === 0) return new Map()
    return describeConfigs(await this.#broker(), topicResource, topics)
  }

  async brokerSettings(nodeId: number): Promise<Settings> {
    const broker = await this.#connection.cluster.findBroker({ nodeId })
    const found = await describeConfigs(broker, brokerResource, [String(nodeId)])
    return found.get(String(nodeId)) ?? {}
  }

  /** Each is asked of its coordinator, which a fresh cluster first has to make. */
  async groups(groupIds: readonly string[]): Promise<DescribedGroup[]> {
    return (await Promise.all(groupIds.map((groupId) => this.#group(groupId)))).flat()
  }

  async #group(groupId: string): Promise<DescribedGroup[]> {
    const describe = async () => {
      const coordinator = await this.#connection.findCoordinator(groupId)
      const request = describeGroupsRequest([groupId])
      const found = await this.#connection.send(coordinator.nodeId, request)
      const failed = found.find(({ errorCode }) => isPassing(errorCode))
      if (failed !== undefined) throw protocolError(failed.errorCode)
      return found
    }
    try {
      return await this.#connection.retrying(`describe ${groupId}`, describe)
    } catch (error) {
      // Who may not see a group is not told where it is either.
      if (protocolType(error) !== 'GROUP_AUTHORIZATION_FAILED') throw error
      const { groupDenied: errorCode } = protocol
      return [{ groupId, errorCode, state: '', members: [], rights: null }]
    }
  }

  /** Whether the principal may look a transactional id up: the most that can be told without writing. */
  async maySeeTransactionalId(id: string): Promise<boolean> {
    try {
      await this.#connection.retrying(`look up ${id}`, () =>
        this.#connection.findCoordinator(id, 1),
      )
      return true
    } catch (error) {
      if (protocolType(error) === 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED') return false
      throw error
    }
  }

  /** Of topics that exist and have leaders. */
  async bounds(topics: readonly string[]): Promise<PartitionBounds[]> {
    await this.#connection.addTopics(topics)
    const all = topics.map(async (topic) => {
      const partitions = this.#partitionsOf(topic)
      const [low, stable, high] = await Promise.all([
        listOffsets(this.#connection, topic, partitions, 'earliest'),
        listOffsets(this.#connection, topic, partitions, 'stable'),
        listOffsets(this.#connection, topic, partitions, 'latest'),
      ])
      return partitions.map((partition, i) => ({
        ...{ topic, partition, low: low[i]!, high: high[i]!, stable: stable[i]! },
      }))
    })
    return (await Promise.all(all)).flat()
  }

  committed(groupId: string, topic: string): Promise<ReadonlyMap<number, CommittedOffset>> {
    return fetchCommitted(this.#connection, groupId, topic, this.#partitionsOf(topic))
  }

  /** Records of [from, to), committed ones; `to` must not be beyond what is stable. */
  async read(partition: TopicPartition, from: number, to: number): Promise<SourceRecord[]> {
    const records: SourceRecord[] = []
    await readRange(this.#connection, partition, from, to, (batch) => {
      for (const record of batch.records) records.push(record)
    })
    return records
  }

  /** @throws FreshetError naming the topic that cannot be changed */
  async alterTopic(topic: string, settings: Settings): Promise<void> {
    const { nodeId } = await this.#broker()
    const code = await this.#connection.send(nodeId, alterTopicRequest(topic, settings))
    if (code !== 0) throw toFreshetError(protocolError(code), `change the settings of ${topic}`)
  }

  async addPartitions(topic: string, count: number): Promise<void> {
    const broker = await this.#connection.cluster.findControllerBroker()
    await broker.createPartitions({ topicPartitions: [{ topic, count }], timeout: alterMs })
  }

  close(): void {
    this.#connection.close()
  }

  #broker(): Promise<Broker> {
    return this.#connection.cluster.brokerPool.findConnectedBroker()
  }

  #partitionsOf(topic: string): number[] {
    const partitions = this.#connection.partitionsOf(topic).map(({ partitionId }) => partitionId)
    return partitions.sort((a, b) => a - b)
  }
}

function connectionTo(config: Config['kafka'], log: Logger): Connection {
  return new Connection({ config, log, presence: { take: () => undefined } })
}

async function describeConfigs(
  broker: Broker,
  type: 2 | 4,
  names: readonly string[],
): Promise<ReadonlyMap<string, Settings>> {
  const { resources } = await broker.describeConfigs({
    resources: names.map((name) => ({ type, name })),
  })
  return new Map(
    resources.map(({ resourceName, configEntries }) => [
      resourceName,
      Object.fromEntries(
        configEntries.map(({ configName, configValue }) => [configName, configValue ?? '']),
      ),
    ]),
  )
}

/** IncrementalAlterConfigs, version 0 (Kafka 2.3 and later): what is not named keeps its value. Resolves to the error code. */
function alterTopicRequest(topic: string, settings: Settings) {
  const set = 0
  return request(
    44,
    0,
    'IncrementalAlterConfigs',
    (payload) => {
      const reader = new PayloadReader(payload)
      reader.int32()
      return reader.array(() => {
        const code = reader.int16()
        reader.string()
        reader.int8()
        reader.string()
        return code
      })[0]!
    },
    () => {
      const entries = Object.entries(settings)
      const encoder = new Encoder().writeInt32(1).writeInt8(topicResource).writeString(topic)
      encoder.writeInt32(entries.length)
      for (const [name, value] of entries) {
        encoder.writeString(name).writeInt8(set).writeString(value)
      }
      return encoder.writeInt8(0)
    },
  )
}
