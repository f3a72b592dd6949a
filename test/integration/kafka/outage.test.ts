import { expect, onTestFinished, test } from 'vitest'
import type { Logger } from '../../../src/runtime/ports.ts'
import { ownBroker, silentLog } from '../../support/own-servers.ts'
import { eventually, member, numbered, randomName, range, testClient, valuesOf } from './support.ts'

test('a broker that dies and comes back loses nothing, repeats nothing and keeps the order', async () => {
  const broker = await ownBroker(onTestFinished)
  const kafka = testClient({ brokers: [broker.address] })
  const topic = randomName('topic')
  await kafka.createTopics([{ topic, partitions: 1, config: {} }])
  const reader = await member(kafka, randomName('group'), [topic])
  const producer = await kafka.producer()

  const sends: Promise<void>[] = []
  const sending = setInterval(() => {
    const i = sends.length * 10
    sends.push(producer.send(numbered(topic, 0, i, i + 10)))
  }, 5)
  onTestFinished(() => clearInterval(sending))
  await eventually(() => reader.records.length > 200, 'records flow')
  await broker.kill()
  const beforeOutage = sends.length
  await eventually(() => sends.length > beforeOutage + 50, 'sends pile up')
  await broker.restart()
  await eventually(
    () => reader.records.length > beforeOutage * 10 + 500,
    'records flow again',
    40_000,
  )
  clearInterval(sending)
  await Promise.all(sends)
  // Nothing was committed, so after a lost session everything comes again: by offset it is the same record.
  const byOffset = () => new Map(reader.records.map((r) => [r.offset, r]))
  await eventually(() => byOffset().size >= sends.length * 10, 'everything has arrived')
  expect(valuesOf([...byOffset().values()])).toEqual(range(0, sends.length * 10))
}, 90_000)

test('a broker that is away, at the start or later, is waited for and said so', async () => {
  const broker = await ownBroker(onTestFinished)
  await broker.stop()
  const said: string[] = []
  const log: Logger = {
    ...silentLog,
    warn: (_, message) => void said.push(message),
    info: (_, message) => void said.push(message),
    child: () => log,
  }
  const kafka = testClient({ brokers: [broker.address] }, log)
  const reachable = kafka.waitUntilReachable(new AbortController().signal)
  const waits = () => said.includes(`waiting for Kafka at ${broker.address}`)
  await eventually(waits, 'it says what it waits for')
  await broker.restart()
  await reachable
  expect(await kafka.topicExists(randomName('absent'))).toBe(false)
  expect(said.splice(0).at(-1)).toBe('Kafka answers')

  await broker.kill()
  const exists = kafka.topicExists(randomName('absent'))
  await eventually(waits, 'it says that the broker is gone')
  await broker.restart()
  expect(await exists).toBe(false)
  expect(said.at(-1)).toBe('Kafka answers')
}, 60_000)

test('a topic that is met for the first time while the broker is gone is there when it is back', async () => {
  const broker = await ownBroker(onTestFinished)
  const kafka = testClient({ brokers: [broker.address] })
  const [topic, other] = [randomName('topic'), randomName('topic')]
  const ofTwo = { partitions: 2, config: {} }
  await kafka.createTopics([
    { topic, ...ofTwo },
    { topic: other, ...ofTwo },
  ])
  const producer = await kafka.producer()
  await producer.send(numbered(other, 0, 0, 1))
  await broker.kill()
  const sent = producer.send([{ topic, key: 'k', value: Buffer.from('0'), timestampMs: 1 }])
  sent.catch(() => undefined)
  const fails = sent.then(
    () => 'sent',
    (error: unknown) => error,
  )
  // Attempts go by.
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  await broker.restart()
  expect(await fails).toBe('sent')
  expect(await kafka.offsets(topic)).toHaveLength(2)
}, 90_000)

test('waiting for a broker ends with the signal', async () => {
  const kafka = testClient({ brokers: ['127.0.0.1:9'] })
  await kafka.waitUntilReachable(AbortSignal.timeout(200))
})

test.each(['SIGKILL', 'SIGSTOP'] as const)(
  'closing takes at most 3 s when the broker got %s',
  async (signal) => {
    const broker = await ownBroker(onTestFinished)
    const kafka = testClient({ brokers: [broker.address] })
    const topic = randomName('topic')
    await kafka.createTopics([{ topic, partitions: 2, config: {} }])
    const reader = await member(kafka, randomName('group'), [topic])
    await eventually(() => reader.owned.size === 2, 'joined')
    const producer = await kafka.producer()
    const transactional = await kafka.transactionalProducer(randomName('closing'))
    const tail = await kafka.tail({ topics: [topic], from: 'earliest', onBatch: () => {} })
    await tail.caughtUp
    process.kill(broker.pid(), signal)
    if (signal === 'SIGSTOP') onTestFinished(() => void process.kill(broker.pid(), 'SIGCONT'))
    const unsent = Promise.allSettled([
      producer.send(numbered(topic, 0, 0, 5)),
      transactional.transact(numbered(topic, 1, 0, 5)),
    ])
    const startedAt = performance.now()
    await kafka.close()
    expect(performance.now() - startedAt).toBeLessThan(3_000)
    expect((await unsent).map((one) => one.status)).toEqual(['rejected', 'rejected'])
  },
  60_000,
)

test('a group closes in time while its handler waits for a broker that is gone', async () => {
  const broker = await ownBroker(onTestFinished)
  const kafka = testClient({ brokers: [broker.address] })
  const topic = randomName('topic')
  await kafka.createTopics([{ topic, partitions: 1, config: {} }])
  const reader = await member(kafka, randomName('group'), [topic], {
    assigned: async () => {
      await broker.kill()
      await kafka.transactionalProducer(randomName('never'))
      return new Map()
    },
  })
  await eventually(() => reader.calls.length === 1, '`assigned` was called')
  const startedAt = performance.now()
  await reader.consumer.close()
  expect(performance.now() - startedAt).toBeLessThan(3_000)
}, 60_000)
