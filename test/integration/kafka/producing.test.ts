import { expect, test } from 'vitest'
import type { CompressionName } from '../../../src/runtime/kafka/codecs.ts'
import type { SinkRecord } from '../../../src/streams/stage.ts'
import {
  eventually,
  numbered,
  peer,
  randomName,
  range,
  readAll,
  testClient,
  testTopic,
  valuesOf,
} from './support.ts'

test('concurrent sends keep their order and arrive once', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const producer = await kafka.producer()
  await Promise.all(
    Array.from({ length: 500 }, (_, i) => producer.send(numbered(topic, 0, i * 3, i * 3 + 3))),
  )
  expect(valuesOf(await readAll(kafka, topic))).toEqual(range(0, 1_500))
})

test('keys choose the same partition as the peer, and what travels comes back: keys, tombstones, headers, times', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 8, {
    'message.timestamp.after.max.ms': '9223372036854775807',
  })
  const sent: SinkRecord[] = Array.from({ length: 200 }, (_, i) => ({
    topic,
    key: i % 2 === 0 ? `käy-${i}` : Buffer.from(`käy-${i}`),
    value: i % 7 === 0 ? null : Buffer.alloc(i, 'v'),
    timestampMs: i % 3 === 0 ? 4_102_444_800_000 + i : 1_000 - i,
    ...(i % 5 === 0 ? { headers: { 'content-type': 'application/json', n: String(i) } } : {}),
  }))
  await (await kafka.producer()).send(sent)
  const ours = await readAll(kafka, topic)
  const byKey = new Map(ours.map((r) => [String(r.key), r]))
  expect(byKey.size).toBe(200)
  for (const record of sent) {
    expect(byKey.get(String(record.key))).toMatchObject({
      value: record.value,
      timestampMs: record.timestampMs,
      ...(record.headers === undefined ? {} : { headers: record.headers }),
    })
  }
  expect(byKey.get('käy-1')).not.toHaveProperty('headers')

  const other = await testTopic(kafka, 8)
  const producer = peer().producer()
  await producer.connect()
  await producer.send({ topic: other, messages: sent.map(({ key }) => ({ key, value: '' })) })
  await producer.disconnect()
  for (const { key, partition } of await readAll(kafka, other)) {
    expect(byKey.get(String(key))!.partition).toBe(partition)
  }
})

const codecs: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

test.each(codecs)(
  'records compressed with %s are checked by the broker and come back',
  async (compression) => {
    const kafka = testClient({ compression })
    // The broker has to decompress and recompress what comes in another codec: a peer for both directions.
    for (const target of codecs) {
      const topic = await testTopic(kafka, 1, {
        'compression.type': target === 'none' ? 'uncompressed' : target,
      })
      await (await kafka.producer()).send(numbered(topic, 0, 0, 3_000))
      expect(valuesOf(await readAll(kafka, topic))).toEqual(range(0, 3_000))
    }
  },
)

test('a record too large for its topic is refused, those beside it are not', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1, { 'max.message.bytes': '100000' })
  const producer = await kafka.producer()
  const large = { topic, partition: 0, key: null, value: Buffer.alloc(200_000), timestampMs: 0 }
  const [before, refused, after] = await Promise.allSettled([
    producer.send(numbered(topic, 0, 0, 5)),
    producer.send([large]),
    producer.send(numbered(topic, 0, 5, 10)),
  ])
  expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'RECORD_TOO_LARGE' } })
  expect([before.status, after.status]).toEqual(['fulfilled', 'fulfilled'])
  expect(valuesOf(await readAll(kafka, topic))).toEqual(range(0, 10))
})

test('a topic that does not exist is refused and holds nothing else up for long', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const producer = await kafka.producer()
  const missing = producer.send(numbered(randomName('absent'), 0, 0, 1))
  const present = producer.send(numbered(topic, 0, 0, 1))
  await expect(missing).rejects.toMatchObject({ code: 'TOPIC_INVALID' })
  await present
  expect(await readAll(kafka, topic)).toHaveLength(1)
})

test('a topic deleted after its first use is refused, and what goes to others does not wait for it', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const other = await testTopic(kafka, 1)
  const doomed = await testTopic(kafka, 1)
  const producer = await kafka.producer()
  await producer.send([...numbered(topic, 0, 0, 1), ...numbered(doomed, 0, 0, 1)])
  const admin = peer().admin()
  await admin.connect()
  await admin.deleteTopics({ topics: [doomed] })
  // The controller answers for the deletion; the broker takes records until it has heard of it.
  await eventually(async () => !(await admin.listTopics()).includes(doomed), 'the broker forgets')
  await admin.disconnect()
  const [refused, known, unknown] = await Promise.allSettled([
    producer.send(numbered(doomed, 0, 1, 2)),
    producer.send(numbered(topic, 0, 1, 2)),
    // Its metadata is asked for together with that of the deleted one.
    producer.send(numbered(other, 0, 0, 1)),
  ])
  expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'TOPIC_INVALID' } })
  expect([known.status, unknown.status]).toEqual(['fulfilled', 'fulfilled'])
  await expect(producer.send(numbered(doomed, 0, 2, 3))).rejects.toMatchObject({
    code: 'TOPIC_INVALID',
  })
  await kafka.createTopics([{ topic: doomed, partitions: 1, config: {} }])
  await producer.send(numbered(doomed, 0, 7, 8))
  expect(valuesOf(await readAll(kafka, doomed))).toEqual(['7'])
  expect(valuesOf(await readAll(kafka, topic))).toEqual(range(0, 2))
}, 30_000)

test('a second producer with the same id fences the first and ends its transaction', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const id = randomName('fenced')
  const first = await kafka.transactionalProducer(id)
  await first.transact(numbered(topic, 0, 0, 2))
  const second = await kafka.transactionalProducer(id)
  await expect(first.transact(numbered(topic, 0, 90, 92))).rejects.toMatchObject({
    code: 'PRODUCER_FENCED',
  })
  // Once failed it stays unusable.
  await expect(first.transact([])).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
  await second.transact(numbered(topic, 0, 2, 4))
  // Committed is what the coordinator has decided; readers are told by the marker that it writes next.
  const committed = async () => valuesOf(await readAll(kafka, topic))
  await expect.poll(committed, { timeout: 20_000 }).toEqual(range(0, 4))
})

test('offsets and their metadata travel with the transaction, whole or not at all', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 2, { 'max.message.bytes': '100000' })
  const groupId = randomName('group')
  const producer = await kafka.transactionalProducer(randomName('offsets'))
  for (let i = 1; i <= 20; i++) {
    await producer.transact(numbered(topic, 0, i, i + 1), {
      groupId,
      offsets: [{ topic, partition: 1, offset: i * 10, metadata: JSON.stringify({ v: 1, at: i }) }],
    })
  }
  const committed = await kafka.committed(groupId, topic)
  expect(committed.get(1)).toEqual({ offset: 200, metadata: '{"v":1,"at":20}' })
  expect(committed.get(0)).toEqual({ offset: null, metadata: '' })

  const large = { topic, partition: 0, key: null, value: Buffer.alloc(200_000), timestampMs: 0 }
  const offsets = [{ topic, partition: 1, offset: 999, metadata: '' }]
  await expect(producer.transact([large], { groupId, offsets })).rejects.toMatchObject({
    code: 'RECORD_TOO_LARGE',
  })
  expect((await kafka.committed(groupId, topic)).get(1)!.offset).toBe(200)
})

test('a transaction without records commits offsets alone', async () => {
  const kafka = testClient()
  const topic = await testTopic(kafka, 1)
  const groupId = randomName('group')
  const producer = await kafka.transactionalProducer(randomName('alone'))
  await producer.transact([], {
    groupId,
    offsets: [{ topic, partition: 0, offset: 4, metadata: 'm' }],
  })
  expect((await kafka.committed(groupId, topic)).get(0)).toEqual({ offset: 4, metadata: 'm' })
})
