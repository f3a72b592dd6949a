import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { expect, inject, onTestFinished, test } from 'vitest'
import type { KafkaClient } from '../../../src/runtime/ports.ts'
import { ownBroker, ownRedis } from '../../support/own-servers.ts'
import { numbered, testClient } from '../kafka/support.ts'

test('a broker keeps its topics and its address over a clean restart and over SIGKILL', async () => {
  const broker = await ownBroker(onTestFinished)
  await withAdmin(broker.address, (admin) =>
    admin.createTopics({ topics: [{ topic: 'kept', numPartitions: 3 }], waitForLeaders: true }),
  )
  const before = broker.pid()
  await broker.stop()
  await broker.restart()
  expect(broker.pid()).not.toBe(before)
  expect(await withAdmin(broker.address, (admin) => admin.listTopics())).toEqual(['kept'])

  await broker.kill()
  await broker.restart()
  expect(await withAdmin(broker.address, (admin) => admin.listTopics())).toEqual(['kept'])
})

test('transactions that SIGKILL of the broker interrupts all end after its restart', async () => {
  const broker = await ownBroker(onTestFinished)
  const kafka = testClient({ brokers: [broker.address] })
  await kafka.createTopics(['out', 'in'].map((topic) => ({ topic, partitions: 4, config: {} })))
  // Where a transaction is when the kill comes is chance: a plain restart left one open in five of fourteen rounds.
  for (let round = 0; round < 5; round++) {
    const writers = [0, 1, 2, 3].map((partition) => transactUntilFailure(kafka, partition))
    await sleep(1_000 + 100 * round)
    await broker.kill()
    await broker.restart()
    await Promise.all(writers)
    const producers = [0, 1, 2, 3].map((partition) =>
      kafka.transactionalProducer(`id-${partition}`),
    )
    for (const producer of await Promise.all(producers)) await producer.close()
    const late = sleep(10_000, null, { ref: false })
    const committed = await Promise.race([kafka.committed('group', 'in'), late])
    expect(committed?.size, `round ${round}: an offset is still in a transaction`).toBe(4)
  }
})

/** Each transaction writes a record and commits an offset, until the broker is away. */
async function transactUntilFailure(kafka: KafkaClient, partition: number): Promise<void> {
  const producer = await kafka.transactionalProducer(`id-${partition}`)
  const records = numbered('out', partition, 0, 1)
  try {
    for (let offset = 1; ; offset++) {
      const offsets = [{ topic: 'in', partition, offset, metadata: '' }]
      await producer.transact(records, { groupId: 'group', offsets })
    }
  } catch {
    await producer.close()
  }
}

test('Redis keeps its data where it is told to, and forgets it where it is not', async () => {
  for (const persist of [true, false]) {
    const server = await ownRedis(onTestFinished, { persist })
    await withRedis(server.address, (redis) => redis.set('row', 'kept'))
    await server.stop()
    await server.restart()
    const found = await withRedis(server.address, (redis) => redis.get('row'))
    expect(found).toBe(persist ? 'kept' : null)
  }
})

test('the shared servers answer and listen on loopback only', async () => {
  const brokers = inject('kafkaBrokers')
  expect(brokers[0]).toMatch(/^127\.0\.0\.1:\d+$/)
  const cluster = await withAdmin(brokers[0]!, (admin) => admin.describeCluster())
  expect(cluster.brokers).toHaveLength(1)
  expect(await withRedis(inject('redisUrl'), (redis) => redis.ping())).toBe('PONG')
})

async function withAdmin<T>(
  broker: string,
  use: (admin: ReturnType<Kafka['admin']>) => Promise<T>,
): Promise<T> {
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await use(admin)
  } finally {
    await admin.disconnect()
  }
}

async function withRedis<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 1 })
  redis.on('error', () => {})
  await redis.connect()
  try {
    return await use(redis)
  } finally {
    redis.disconnect()
  }
}
