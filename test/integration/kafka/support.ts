import { randomUUID } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import { expect, inject, onTestFinished } from 'vitest'
import type { Config } from '../../../src/config/schema.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { createKafkaClient } from '../../../src/runtime/kafka/client.ts'
import type {
  Batch,
  GroupConsumer,
  GroupHandler,
  KafkaClient,
  Logger,
  StartPosition,
  TopicPartition,
} from '../../../src/runtime/ports.ts'
import { partitionKey } from '../../../src/runtime/ports.ts'
import type { SinkRecord, SourceRecord } from '../../../src/streams/stage.ts'
import { silentLog } from '../../support/own-servers.ts'

type KafkaConfig = Config['kafka']

export function kafkaConfig(overrides: Partial<KafkaConfig> = {}): KafkaConfig {
  const brokers = overrides.brokers ?? inject('kafkaBrokers')
  return configSchema.parse({ kafka: { ...overrides, brokers } }).kafka
}

/** A client that is closed when the test ends. */
export function testClient(
  overrides: Partial<KafkaConfig> = {},
  log: Logger = silentLog,
): KafkaClient {
  const client = createKafkaClient({ config: kafkaConfig(overrides), log })
  onTestFinished(() => client.close())
  return client
}

/** kafkajs's own public classes: the peer that writes what we read and reads what we write. */
export function peer(brokers: readonly string[] = inject('kafkaBrokers')): Kafka {
  return new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, clientId: 'peer' })
}

/**
 * An idempotent producer of the peer, opened when the broker answers for every partition of the topic: what kafkajs sends again because one was not there yet
 * gets new sequence numbers, which the broker refuses.
 */
export async function peerProducer(topic: string): Promise<ReturnType<Kafka['producer']>> {
  const admin = peer().admin()
  await admin.connect()
  await eventually(
    () =>
      admin.fetchTopicOffsets(topic).then(
        () => true,
        () => false,
      ),
    `the broker answers for every partition of ${topic}`,
  )
  await admin.disconnect()
  const producer = peer().producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  return producer
}

export function randomName(stem: string): string {
  return `${stem}-${randomUUID()}`
}

/** A topic of the test's own, deleted when it ends. */
export async function testTopic(
  kafka: KafkaClient,
  partitions: number,
  config: Readonly<Record<string, string>> = {},
): Promise<string> {
  const topic = randomName('topic')
  await kafka.createTopics([{ topic, partitions, config }])
  onTestFinished(async () => {
    const admin = peer().admin()
    await admin.connect()
    await admin.deleteTopics({ topics: [topic] }).catch(() => undefined)
    await admin.disconnect()
  })
  return topic
}

export function numbered(topic: string, partition: number, from: number, to: number): SinkRecord[] {
  return Array.from({ length: to - from }, (_, i) => ({
    topic,
    partition,
    key: null,
    value: Buffer.from(String(from + i)),
    timestampMs: Date.now(),
  }))
}

export function valuesOf(records: readonly SourceRecord[]): string[] {
  return records.map((record) => String(record.value))
}

export function range(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => String(from + i))
}

/** Waits for a condition, never for a time. */
export async function eventually(
  isTrue: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs = 20_000,
): Promise<void> {
  await expect.poll(isTrue, { timeout: deadlineMs, interval: 10, message: what }).toBe(true)
}

export interface Member {
  readonly consumer: GroupConsumer
  /** What it owns now, by partition key. */
  readonly owned: Set<string>
  /** Everything handed over, in order. */
  readonly records: SourceRecord[]
  readonly calls: string[]
}

/** Joins a group and records what its handler is told. */
export async function member(
  kafka: KafkaClient,
  groupId: string,
  topics: readonly string[],
  options: {
    readonly assignment?: 'modulo' | 'all-to-first'
    readonly assigned?: (
      partitions: readonly TopicPartition[],
    ) => Promise<Map<string, StartPosition>>
    readonly onBatch?: (batch: Batch, consumer: GroupConsumer) => Promise<void> | void
  } = {},
): Promise<Member> {
  const owned = new Set<string>()
  const records: SourceRecord[] = []
  const calls: string[] = []
  let consumer: GroupConsumer | null = null
  const handler: GroupHandler = {
    assigned: async (partitions) => {
      calls.push(`assigned ${partitions.map(partitionKey).sort().join(' ')}`)
      const starts = (await options.assigned?.(partitions)) ?? new Map<string, StartPosition>()
      for (const partition of partitions) owned.add(partitionKey(partition))
      return starts
    },
    revoked: (partitions) => {
      calls.push(`revoked ${partitions.map(partitionKey).sort().join(' ')}`)
      for (const partition of partitions) owned.delete(partitionKey(partition))
      return Promise.resolve()
    },
    onBatch: async (batch) => {
      records.push(...batch.records.map((r) => ({ ...r, value: r.value && Buffer.from(r.value) })))
      await options.onBatch?.(batch, consumer!)
    },
  }
  consumer = await kafka.joinGroup({
    groupId,
    topics,
    assignment: options.assignment ?? 'modulo',
    handler,
  })
  return { consumer, owned, records, calls }
}

/** Every committed record of a topic, each partition in order. */
export async function readAll(kafka: KafkaClient, topic: string): Promise<SourceRecord[]> {
  const records: SourceRecord[] = []
  const tail = await kafka.tail({
    topics: [topic],
    from: 'earliest',
    onBatch: (batch) => void records.push(...batch.records),
  })
  await tail.caughtUp
  await tail.close()
  return records
}
