import { expect, onTestFinished, test } from 'vitest'
import { configSchema, type Config } from '../../src/config/schema.ts'
import { createMetrics, type Metrics } from '../../src/metrics/metrics.ts'
import { decodeDeadLetter, decodeEvent } from '../../src/records/codec.ts'
import { partitionOf } from '../../src/records/partition.ts'
import { runIngest } from '../../src/runtime/ingest.ts'
import { topicDefinitions } from '../../src/runtime/kafka/topics.ts'
import { topicNames } from '../../src/records/topics.ts'
import type { KafkaClient, Producer } from '../../src/runtime/ports.ts'
import type { SourceRecord } from '../../src/streams/stage.ts'
import { silentLog } from '../support/own-servers.ts'
import {
  eventually,
  peer,
  peerProducer,
  randomName,
  readAll,
  testClient,
  testTopic,
} from './kafka/support.ts'

const partitions = 2

/** freshet's own topics under a prefix of the test's own, as they are made for a new user. */
async function setUp(kafka: KafkaClient) {
  const topicPrefix = randomName('test')
  const config = configSchema.parse({ kafka: { topicPrefix, partitions } })
  const topics = topicNames(topicPrefix)
  const mine: string[] = [topics.impressions, topics.clicks, topics.events, topics.deadLetters]
  await kafka.createTopics(topicDefinitions(config).filter((d) => mine.includes(d.topic)))
  onTestFinished(async () => {
    const admin = peer().admin()
    await admin.connect()
    await admin.deleteTopics({ topics: mine })
    await admin.disconnect()
  })
  return { topics, groupId: randomName('ingest') }
}

type Setup = Awaited<ReturnType<typeof setUp>>

function run(
  kafka: KafkaClient,
  setup: Setup,
  overrides: Partial<Config['ingest']> = {},
  sources: Config['sources'] = {},
): { metrics: Metrics; stop(): Promise<void>; done: Promise<void> } {
  const ending = new AbortController()
  const metrics = createMetrics()
  const done = runIngest({
    ...{ kafka, ...setup, sources, partitions, metrics, log: silentLog },
    config: { ...configSchema.parse({}).ingest, ...overrides },
    clock: { nowMs: () => Date.now() },
    signal: ending.signal,
  })
  const stop = async () => {
    ending.abort()
    await done
  }
  onTestFinished(() => stop().catch(() => undefined))
  return { metrics, stop, done }
}

/** An outside producer: plain JSON from another client. */
async function sendJson(
  topic: string,
  values: readonly (object | string | Buffer)[],
): Promise<void> {
  const producer = await peerProducer(topic)
  const messages = values.map((value) => ({
    value: typeof value === 'object' && !Buffer.isBuffer(value) ? JSON.stringify(value) : value,
  }))
  await producer.send({ topic, messages })
  await producer.disconnect()
}

async function eventsIn(kafka: KafkaClient, topic: string): Promise<SourceRecord[]> {
  return (await readAll(kafka, topic)).filter((record) => record.key !== null)
}

const now = Date.now()
const impression = (i: number, eventTime = now) => ({
  ...{ request_id: `r${i}`, user_id: `u${i % 7}`, event_time: eventTime, items: [`i${i}`, 'j'] },
})
const click = (i: number, eventTime = now) => ({
  ...{ request_id: `r${i}`, user_id: `u${i % 7}`, item_id: `i${i}`, event_time: eventTime },
})
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

test('JSON of an outside producer becomes events of the partition of their user, with the time they arrived', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  const { metrics, stop } = run(kafka, setup)
  const beforeMs = Date.now()
  await sendJson(
    setup.topics.impressions,
    numbers(0, 50).map((i) => impression(i)),
  )
  await sendJson(
    setup.topics.clicks,
    numbers(0, 50).map((i) => click(i)),
  )
  await eventually(
    async () => (await eventsIn(kafka, setup.topics.events)).length === 100,
    'all events',
  )
  for (const record of await eventsIn(kafka, setup.topics.events)) {
    const event = decodeEvent(record.value!)
    if (event.kind === 'heartbeat') throw new Error('a heartbeat has no key')
    expect(record.partition).toBe(partitionOf(event.userId, partitions))
    expect(String(record.key)).toBe(event.userId)
    expect(record.timestampMs).toBeGreaterThanOrEqual(beforeMs - 1_000)
    expect(record.timestampMs).toBeLessThanOrEqual(Date.now())
  }
  await stop()
  const { values } = await metrics.events.get()
  expect(Object.fromEntries(values.map((v) => [v.labels.kind, v.value]))).toEqual({
    impression: 50,
    click: 50,
  })
  const committed = await kafka.committed(setup.groupId, setup.topics.clicks)
  expect([...committed.values()].reduce((sum, c) => sum + (c.offset ?? 0), 0)).toBe(50)
})

test('bad JSON, a 5 MB event and a clock years ahead are dead letters with their bytes, and the rest goes on', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  const { metrics, stop } = run(kafka, setup)
  const large = { ...impression(1), padding: 'x'.repeat(5_000_000) }
  const bad = Buffer.from([0x7b, 0xff, 0xfe, 0x00])
  await sendJson(setup.topics.impressions, [impression(0), '{"request_id": "r', impression(2)])
  await sendJson(setup.topics.impressions, [large])
  await sendJson(setup.topics.impressions, [bad, { request_id: 'r', user_id: 3 }, impression(3)])
  await sendJson(setup.topics.clicks, [click(4, now + 10 * 365 * 86_400_000), click(5)])
  await eventually(
    async () => (await readAll(kafka, setup.topics.deadLetters)).length === 5,
    'five dead letters',
  )
  await eventually(
    async () => (await eventsIn(kafka, setup.topics.events)).length === 4,
    'four events',
  )
  const letters = (await readAll(kafka, setup.topics.deadLetters)).map((r) =>
    decodeDeadLetter(r.value!),
  )
  const codes = letters.map((letter) => letter.code).sort()
  expect(codes).toEqual([
    'EVENT_TIME_IN_FUTURE',
    'RECORD_INVALID',
    'RECORD_TOO_LARGE',
    'RECORD_UNDECODABLE',
    'RECORD_UNDECODABLE',
  ])
  const source = await readAll(kafka, setup.topics.impressions)
  for (const letter of letters.filter((l) => l.sourceTopic === setup.topics.impressions)) {
    const original = source.find(
      (r) => r.partition === letter.partition && r.offset === letter.offset,
    )!
    expect(letter.original.equals(original.value!)).toBe(true)
    expect(letter.role).toBe('ingest')
    expect(letter.message).not.toBe('')
  }
  await stop()
  const counted = (await metrics.deadLetters.get()).values.reduce((sum, v) => sum + v.value, 0)
  expect(counted).toBe(5)
})

test('restarted between batches it loses nothing and repeats nothing that was committed', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  for (let round = 0; round < 3; round++) {
    const running = run(kafka, setup)
    await sendJson(
      setup.topics.clicks,
      numbers(round * 100, round * 100 + 100).map((i) => click(i)),
    )
    await eventually(
      async () => (await eventsIn(kafka, setup.topics.events)).length === round * 100 + 100,
      'events',
    )
    await running.stop()
  }
  const ids = (await eventsIn(kafka, setup.topics.events)).map((r) => {
    const event = decodeEvent(r.value!)
    return event.kind === 'heartbeat' ? '' : event.requestId
  })
  expect(ids.sort()).toEqual(
    numbers(0, 300)
      .map((i) => `r${i}`)
      .sort(),
  )
})

test('no offset is committed before its events are acknowledged', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  let release = () => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  let isHolding = false
  const holding = (producer: Producer): Producer => ({
    close: () => producer.close(),
    send: async (records) => {
      isHolding = true
      await held
      await producer.send(records)
    },
  })
  run({ ...kafka, producer: async () => holding(await kafka.producer()) }, setup)
  await sendJson(
    setup.topics.clicks,
    numbers(0, 20).map((i) => click(i)),
  )
  await eventually(() => isHolding, 'it is about to send')
  const committed = async () => {
    const offsets = await kafka.committed(setup.groupId, setup.topics.clicks)
    return [...offsets.values()].reduce((sum, c) => sum + (c.offset ?? 0), 0)
  }
  // Long enough for several commits, had there been anything to commit.
  await new Promise((resolve) => setTimeout(resolve, 500))
  expect(await committed()).toBe(0)
  release()
  await eventually(async () => (await committed()) === 20, 'committed')
})

test('a backlog is replayed as it happened: impressions and clicks in step', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  const hourMs = 3_600_000
  const at = (i: number) => now - 400 * hourMs + i * hourMs
  await sendJson(
    setup.topics.impressions,
    numbers(0, 300).map((i) => impression(i, at(i))),
  )
  await sendJson(
    setup.topics.clicks,
    numbers(0, 300).map((i) => click(i, at(i))),
  )
  const { stop } = run(kafka, setup)
  await eventually(
    async () => (await eventsIn(kafka, setup.topics.events)).length === 600,
    'all events',
  )
  await stop()
  for (const partition of [0, 1]) {
    let highestMs = 0
    for (const record of (await readAll(kafka, setup.topics.events)).filter(
      (r) => r.partition === partition,
    )) {
      const { eventTimeMs } = decodeEvent(record.value!)
      expect(eventTimeMs).toBeGreaterThanOrEqual(highestMs - 60_000)
      highestMs = Math.max(highestMs, eventTimeMs)
    }
  }
})

test('heartbeats tell every partition how far event time is, behind the events', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  const { stop } = run(kafka, setup, { heartbeatMs: 50 })
  // All of one user: the other partition hears of it by heartbeats alone.
  await sendJson(setup.topics.clicks, [click(7), click(14)])
  const silent = 1 - partitionOf('u0', partitions)
  await eventually(
    async () =>
      (await readAll(kafka, setup.topics.events)).some(
        (r) => r.partition === silent && decodeEvent(r.value!).eventTimeMs >= now,
      ),
    'a heartbeat in the silent partition',
  )
  await stop()
})

/** A word of the source about event time, in partitions of its topics. */
async function say(
  topics: readonly string[],
  eventTime: number | string,
  inPartitions = [0, 1],
): Promise<void> {
  const headers = { 'freshet-heartbeat': String(eventTime) }
  const messages = inPartitions.map((partition) => ({ partition, value: null, headers }))
  for (const topic of topics) {
    const producer = await peerProducer(topic)
    await producer.send({ topic, messages })
    await producer.disconnect()
  }
}

test('sources that send heartbeats are merged by time, topic and partition, in whatever order they come', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  const { impressions, clicks, events } = setup.topics
  const { stop } = run(kafka, setup, { heartbeatMs: 20 })
  await say([impressions, clicks], now - 100_000)
  // The later ones come first, and wait, although they are live.
  await sendJson(
    clicks,
    numbers(0, 40).map((i) => click(i, now - 1_000 + i)),
  )
  const first = numbers(0, 40).map((i) => impression(i, now - 2_000 + i))
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(await eventsIn(kafka, events)).toEqual([])
  await sendJson(impressions, first)
  await say([impressions, clicks], now)
  await eventually(async () => (await eventsIn(kafka, events)).length === 80, 'all events')
  await say([clicks], now + 1_000)
  await say([impressions], now + 500)
  await eventually(
    async () =>
      new Set(
        (await readAll(kafka, events))
          .filter((r) => decodeEvent(r.value!).eventTimeMs === now + 500)
          .map(({ partition }) => partition),
      ).size === partitions,
    'the lowest heartbeat in every partition',
  )
  await stop()
  for (const partition of [0, 1]) {
    const log = (await readAll(kafka, events)).filter((r) => r.partition === partition)
    const times = log.map((r) => decodeEvent(r.value!).eventTimeMs)
    expect(times).toEqual([...times].sort((a, b) => a - b))
    expect(times.at(0)).toBe(now - 100_000)
    expect(times.at(-1)).toBe(now + 500)
  }
  // Also what is behind the last event has been read, and is not read again.
  const committed = await kafka.committed(setup.groupId, clicks)
  const ends = await kafka.offsets(clicks)
  expect(ends.map(({ partition }) => committed.get(partition)?.offset)).toEqual(
    ends.map(({ high }) => high),
  )
})

test('an event of now in a replay of last year holds nothing up and closes nothing: it is a dead letter', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  const { impressions, clicks, events, deadLetters } = setup.topics
  const then = now - 365 * 86_400_000
  // It lies before the first word of its partition, as after a restart, and behind it.
  for (const beginMs of [then, then + 10_000]) {
    await sendJson(impressions, [impression(0, now)])
    await say([impressions, clicks], beginMs)
    await sendJson(
      impressions,
      numbers(0, 20).map((i) => impression(i, beginMs + i)),
    )
  }
  await say([impressions, clicks], then + 20_000)
  run(kafka, setup, { heartbeatMs: 20 })
  await eventually(async () => (await eventsIn(kafka, events)).length === 40, 'all others')
  await eventually(
    async () =>
      (await readAll(kafka, events)).filter(
        (r) => decodeEvent(r.value!).eventTimeMs === then + 20_000,
      ).length === partitions,
    'the last heartbeat in every partition',
  )
  const times = (await readAll(kafka, events)).map((r) => decodeEvent(r.value!).eventTimeMs)
  expect(Math.max(...times)).toBe(then + 20_000)
  const letters = (await readAll(kafka, deadLetters)).map((r) => decodeDeadLetter(r.value!))
  expect(letters.map(({ code, message }) => [code, message])).toEqual(
    [1, 2].map(() => [
      'EVENT_TIME_AHEAD',
      expect.stringMatching(
        /than its source, which has come to .*, by more than ingest.aheadMaxMs/,
      ),
    ]),
  )
})

test('a heartbeat that says no time, or one to come, is a dead letter; so is a record without a value and a header', async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  run(kafka, setup)
  const { clicks, deadLetters } = setup.topics
  await say([clicks], 'noon', [0])
  await say([clicks], now + 365 * 86_400_000, [0])
  const producer = peer().producer()
  await producer.connect()
  await producer.send({ topic: clicks, messages: [{ partition: 0, value: null }] })
  await producer.disconnect()
  await eventually(async () => (await readAll(kafka, deadLetters)).length === 3, 'dead letters')
  const letters = (await readAll(kafka, deadLetters)).map((r) => decodeDeadLetter(r.value!))
  expect(letters.map(({ code, message }) => [code, message])).toEqual([
    ['RECORD_INVALID', expect.stringMatching(/freshet-heartbeat: found "noon", expected milli/)],
    ['EVENT_TIME_IN_FUTURE', expect.stringMatching(/freshet-heartbeat: .* later than its record/)],
    ['RECORD_INVALID', 'the value: found null, expected a record'],
  ])
})

test("a team's own topic is read through its mapping; a mapping that is wrong ends ingest with its name", async () => {
  const kafka = testClient()
  const setup = await setUp(kafka)
  const topic = await testTopic(kafka, 3, { 'message.timestamp.type': 'LogAppendTime' })
  const source: Config['sources'] = {
    ours: {
      ...{ topic, record: 'click', format: 'json' },
      fields: {
        request_id: 'page.id',
        user_id: 'who',
        item_id: 'what',
        event_time: { path: 'seconds', unit: 's' },
      },
    },
  }
  const { stop } = run(kafka, setup, {}, source)
  await sendJson(topic, [
    { page: { id: 'p1' }, who: 'u1', what: 'x', seconds: Math.floor(now / 1_000) },
  ])
  await eventually(
    async () => (await eventsIn(kafka, setup.topics.events)).length === 1,
    'the event',
  )
  const [record] = await eventsIn(kafka, setup.topics.events)
  expect(decodeEvent(record!.value!)).toMatchObject({ kind: 'click', requestId: 'p1', itemId: 'x' })
  await stop()

  const missing = { ours: { ...source['ours']!, schemaFile: '/does/not/exist.avsc' } }
  await expect(run(kafka, setup, {}, missing).done).rejects.toMatchObject({ code: 'FILE_MISSING' })
})
