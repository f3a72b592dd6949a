import { FreshetError } from '../../errors.ts'
import type { CommittedOffset, KafkaClient, TopicDefinition } from '../ports.ts'
import type { Connection } from './connection.ts'
import { protocolType, toFreshetError } from './errors.ts'
import { listOffsets } from './offsets.ts'
import { fetchCommitted } from './start-offsets.ts'

const createMs = 30_000

/**
 * Creates what is missing and waits until every partition has a leader.
 * @throws FreshetError TOPIC_INVALID when a topic exists with another number of partitions
 */
export async function createTopics(
  connection: Connection,
  definitions: readonly TopicDefinition[],
  replicationFactor: number,
): Promise<void> {
  const missing: TopicDefinition[] = []
  for (const definition of definitions) {
    if (!(await topicExists(connection, definition.topic))) missing.push(definition)
  }
  if (missing.length > 0) {
    await connection.retrying(
      'create topics',
      () => create(connection, missing, replicationFactor),
      {
        deadlineMs: createMs,
      },
    )
  }
  for (const { topic, partitions } of definitions) {
    await untilLed(connection, topic)
    const found = connection.partitionsOf(topic).length
    if (found !== partitions) {
      throw new FreshetError(
        'TOPIC_INVALID',
        `topic ${topic} has ${found} partitions but ${partitions} are configured: set kafka.partitions to ${found}, or choose another kafka.topicPrefix`,
      )
    }
  }
}

async function create(
  connection: Connection,
  topics: readonly TopicDefinition[],
  replicationFactor: number,
): Promise<void> {
  const controller = await connection.cluster.findControllerBroker()
  try {
    await controller.createTopics({
      topics: topics.map(({ topic, partitions, config }) => ({
        topic,
        numPartitions: partitions,
        replicationFactor,
        configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
      })),
      timeout: 10_000,
    })
  } catch (error) {
    const errors =
      error instanceof Error && 'errors' in error ? (error.errors as unknown[]) : [error]
    // Another process may have been faster.
    const real = errors.find((e) => protocolType(e) !== 'TOPIC_ALREADY_EXISTS')
    if (protocolType(real) === 'INVALID_REPLICATION_FACTOR') {
      const why = `create topics: kafka.replicationFactor is ${replicationFactor}, and fewer brokers than that are there: start the others, or set it lower`
      throw new FreshetError('BROKER_UNAVAILABLE', why, { cause: real })
    }
    if (real !== undefined) throw toFreshetError(real, 'create topics')
  }
}

async function untilLed(connection: Connection, topic: string): Promise<void> {
  await connection.retrying(
    `find the leaders of ${topic}`,
    async () => {
      await connection.cluster.addMultipleTargetTopics([topic])
      await connection.cluster.refreshMetadata()
      if (connection.partitionsOf(topic).some((p) => p.leader < 0)) {
        throw Object.assign(new Error(`${topic} has a partition without leader`), {
          type: 'LEADER_NOT_AVAILABLE',
        })
      }
    },
    { deadlineMs: createMs },
  )
}

export async function topicExists(connection: Connection, topic: string): Promise<boolean> {
  return connection.retrying(`look up topic ${topic}`, async () => {
    const broker = await connection.cluster.findControllerBroker()
    try {
      await broker.metadata([topic])
      return true
    } catch (error) {
      const type = protocolType(error)
      if (type === 'UNKNOWN_TOPIC_OR_PARTITION' || type === 'INVALID_TOPIC_EXCEPTION') return false
      if (type === 'LEADER_NOT_AVAILABLE') return true
      throw error
    }
  })
}

export async function offsetsOf(
  connection: Connection,
  topic: string,
): ReturnType<KafkaClient['offsets']> {
  const partitions = await partitionsOfTopic(connection, topic)
  return connection.retrying(`read offsets of ${topic}`, async () => {
    const low = await listOffsets(connection, topic, partitions, 'earliest')
    const high = await listOffsets(connection, topic, partitions, 'latest')
    return partitions.map((partition, i) => ({ partition, low: low[i]!, high: high[i]! }))
  })
}

export async function committedOf(
  connection: Connection,
  groupId: string,
  topic: string,
): Promise<ReadonlyMap<number, CommittedOffset>> {
  return fetchCommitted(connection, groupId, topic, await partitionsOfTopic(connection, topic))
}

async function partitionsOfTopic(connection: Connection, topic: string): Promise<number[]> {
  await connection.retrying(`find topic ${topic}`, () => connection.addTopics([topic]), {
    deadlineMs: 5_000,
  })
  return connection
    .partitionsOf(topic)
    .map((p) => p.partitionId)
    .sort((a, b) => a - b)
}
