import { expect, test } from 'vitest'
import type { KafkaClient, Tail } from '../../../src/runtime/ports.ts'
import { partitionKey } from '../../../src/runtime/ports.ts'
import { numbered, peer, randomName, range, testClient, testTopic } from './support.ts'

/** Sends a transaction of the peer that ends in an abort marker, the last thing in the partition. */
async function abortedTail(topic: string, count: number): Promise<void> {
  const producer = peer().producer({
    transactionalId: randomName('aborter'),
    idempotent: true,
    maxInFlightRequests: 1,
  })
  await producer.connect()
  const transaction = await producer.transaction()
  const messages = Array.from({ length: count }, () => ({ value: 'aborted', partition: 0 }))
  await transaction.send({ topic, messages })
  await transaction.abort()
  await producer.disconnect()
}

async function readAll(
  kafka: KafkaClient,
  topic: string,
  from: 'earliest' | ReadonlyMap<string, number> = 'earliest',
): Promise<{ values: string[]; tail: Tail }> {
  const values: string[] = []
  const tail = await kafka.tail({
    topics: [topic],
    from,
    onBatch: (batch) => void values.push(...batch.records.map((r) => String(r.value))),
  })
  await tail.caughtUp
  return { values, tail }
}

test('a tail has caught up at once with an empty topic', async () => {
  const kafka = testClient()
  const { values } = await readAll(kafka, await testTopic(kafka, 3))
  expect(values).toEqual([])
})

test('a tail catches up with a topic that ends in an aborted transaction, and goes on from there', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const producer = await kafka.producer()
  await producer.send(numbered(topic, 0, 0, 3))
  await abortedTail(topic, 5)
  const { values } = await readAll(kafka, topic)
  expect(values).toEqual(range(0, 3))
  await producer.send(numbered(topic, 0, 3, 5))
  await expect.poll(() => values, { timeout: 10_000 }).toEqual(range(0, 5))
})

test('a tail reads the named partitions from the given offsets', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 3)
  await (await kafka.producer()).send([0, 1, 2].flatMap((p) => numbered(topic, p, 0, 10)))
  const seen: string[] = []
  const tail = await kafka.tail({
    topics: [topic],
    partitions: [0, 2],
    from: new Map([[partitionKey({ topic, partition: 2 }), 8]]),
    onBatch: (batch) => void seen.push(...batch.records.map((r) => `${r.partition}:${r.offset}`)),
  })
  await tail.caughtUp
  expect(seen.sort()).toEqual([...range(0, 10).map((o) => `0:${o}`), '2:8', '2:9'].sort())
})

test('a tail from the latest offset sees what is sent after it was opened, and nothing else', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const producer = await kafka.producer()
  await producer.send(numbered(topic, 0, 0, 5))
  const values: string[] = []
  const tail = await kafka.tail({
    topics: [topic],
    from: 'latest',
    onBatch: (batch) => void values.push(...batch.records.map((r) => String(r.value))),
  })
  await tail.caughtUp
  await producer.send(numbered(topic, 0, 5, 8))
  await expect.poll(() => values, { timeout: 10_000 }).toEqual(range(5, 8))
})

test('a partition of a tail that is paused stands still, alone, until it is resumed', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 2)
  const producer = await kafka.producer()
  const seen: string[] = []
  const tail = await kafka.tail({
    topics: [topic],
    from: 'earliest',
    onBatch: ({ partition, records }) =>
      void seen.push(...records.map(({ value }) => `${partition}/${String(value)}`)),
  })
  tail.pause({ topic, partition: 0 })
  await producer.send([...numbered(topic, 0, 0, 2), ...numbered(topic, 1, 0, 1)])
  await expect.poll(() => seen, { timeout: 10_000 }).toEqual(['1/0'])
  await producer.send(numbered(topic, 1, 1, 2))
  await expect.poll(() => seen, { timeout: 10_000 }).toEqual(['1/0', '1/1'])
  tail.resume({ topic, partition: 0 })
  await expect.poll(() => seen, { timeout: 10_000 }).toEqual(['1/0', '1/1', '0/0', '0/1'])
  await tail.close()
})

test('a tail whose handler fails says that it has ended', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  await (await kafka.producer()).send(numbered(topic, 0, 0, 1))
  const failures: string[] = []
  await kafka.tail({
    topics: [topic],
    from: 'earliest',
    onBatch: () => Promise.reject(new Error('no')),
    onFailure: ({ message }) => failures.push(message),
  })
  await expect.poll(() => failures, { timeout: 10_000 }).toEqual([expect.stringContaining('no')])
})

test('an open transaction is invisible until it is committed', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const producer = peer().producer({
    transactionalId: randomName('open'),
    idempotent: true,
    maxInFlightRequests: 1,
  })
  await producer.connect()
  const transaction = await producer.transaction()
  await transaction.send({ topic, messages: [{ value: '0', partition: 0 }] })
  const { values } = await readAll(kafka, topic)
  expect(values).toEqual([])
  await transaction.commit()
  await producer.disconnect()
  await expect.poll(() => values, { timeout: 10_000 }).toEqual(['0'])
})

test('readRange returns exactly [from, to), also where the range ends in control records', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const producer = await kafka.producer()
  await producer.send(numbered(topic, 0, 0, 10))
  await abortedTail(topic, 4)
  const high = 15
  // The marker is written after the abort was acknowledged.
  await expect
    .poll(async () => (await kafka.offsets(topic))[0]!.high, { timeout: 10_000 })
    .toBe(high)
  const read = async (from: number, to: number) => {
    const values: string[] = []
    await kafka.readRange({ topic, partition: 0 }, from, to, (batch) => {
      values.push(...batch.records.map((r) => String(r.value)))
    })
    return values
  }
  expect(await read(0, high)).toEqual(range(0, 10))
  expect(await read(3, 7)).toEqual(range(3, 7))
  expect(await read(12, high)).toEqual([])
  expect(await read(5, 5)).toEqual([])
})

test('readRange says so when the partition does not hold the range', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  await (await kafka.producer()).send(numbered(topic, 0, 0, 10))
  await expect(kafka.readRange({ topic, partition: 0 }, 5, 11, () => {})).rejects.toMatchObject({
    code: 'TOPIC_INVALID',
  })
  await expect(kafka.readRange({ topic, partition: 7 }, 0, 1, () => {})).rejects.toMatchObject({
    code: 'TOPIC_INVALID',
  })
})

test('createTopics may be repeated, and names both numbers when the partitions differ', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 3)
  await kafka.createTopics([{ topic, partitions: 3, config: {} }])
  expect(await kafka.topicExists(topic)).toBe(true)
  expect(await kafka.topicExists(randomName('absent'))).toBe(false)
  await expect(kafka.createTopics([{ topic, partitions: 5, config: {} }])).rejects.toMatchObject({
    code: 'TOPIC_INVALID',
    message: expect.stringMatching(/has 3 partitions but 5/) as unknown,
  })
})

test('createTopics with more replicas than there are brokers names the setting', async () => {
  const kafka = testClient({ replicationFactor: 3 })
  const topic = randomName('replicated')
  await expect(kafka.createTopics([{ topic, partitions: 1, config: {} }])).rejects.toMatchObject({
    code: 'BROKER_UNAVAILABLE',
    message: expect.stringContaining('kafka.replicationFactor is 3') as unknown,
  })
})
