import { randomUUID } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { decodeItem } from '../../src/records/codec.ts'
import { clickOf, impressionOf, type Unchecked } from '../../src/records/json.ts'
import { topicNames, type TopicNames } from '../../src/records/topics.ts'
import type { KafkaClient } from '../../src/runtime/ports.ts'
import { openGenerator } from '../../src/runtime/replay/generator-source.ts'
import { openFiles } from '../../src/runtime/replay/open-files.ts'
import { openPositions } from '../../src/runtime/replay/positions.ts'
import {
  replay,
  type ReplayOptions,
  type ReplayProgress,
} from '../../src/runtime/replay/replayer.ts'
import { createGenerator } from '../../src/streams/generator/generator.ts'
import type { SourceRecord } from '../../src/streams/stage.ts'
import { ownBroker, temporaryDir } from '../support/own-servers.ts'
import { testClient } from './kafka/support.ts'

const fixtures = join(import.meta.dirname, '../fixtures/replay')
const arrivalTime = { 'message.timestamp.type': 'LogAppendTime' }
const clock = { nowMs: () => Date.now() }

interface Rig {
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly start: (
    options: Pick<ReplayOptions, 'source'> & Partial<ReplayOptions>,
  ) => Promise<ReplayProgress>
}

/** Topics and positions of the test's own. */
async function rig(kafka = testClient()): Promise<Rig> {
  const topics = topicNames(`replay-${randomUUID()}`)
  const names = [topics.impressions, topics.clicks, topics.items]
  await kafka.createTopics(names.map((topic) => ({ topic, partitions: 2, config: arrivalTime })))
  const dir = await temporaryDir(onTestFinished)
  const { signal } = new AbortController()
  const start: Rig['start'] = (options) =>
    replay({
      kafka,
      topics,
      speed: 'max',
      positions: openPositions(dir),
      clock,
      signal,
      ...options,
    })
  return { kafka, topics, start }
}

async function recordsOf(kafka: KafkaClient, topic: string): Promise<SourceRecord[]> {
  const records: SourceRecord[] = []
  for (const { partition, low, high } of await kafka.offsets(topic)) {
    await kafka.readRange({ topic, partition }, low, high, (batch) => {
      records.push(...batch.records.map((r) => ({ ...r, value: r.value && Buffer.from(r.value) })))
    })
  }
  return records
}

/** Without the heartbeats. */
async function eventsOf(kafka: KafkaClient, topic: string): Promise<SourceRecord[]> {
  return (await recordsOf(kafka, topic)).filter(({ value }) => value !== null)
}

function jsonIn(record: SourceRecord): Unchecked {
  return JSON.parse(String(record.value)) as Unchecked
}

/** A MovieTweetings copy of made-up ratings, half a minute apart. */
async function ratingsFolder(count: number, everySeconds = 30): Promise<string> {
  const dir = await temporaryDir(onTestFinished)
  const films = Array.from({ length: 50 }, (_, film) => `f${film}::Film ${film} (2001)::Drama\n`)
  const ratings = Array.from(
    { length: count },
    (_, i) => `u${i % 97}::f${(i * 7) % 50}::8::${1_600_000_000 + i * everySeconds}\n`,
  )
  await writeFile(join(dir, 'movies.dat'), films.join(''))
  await writeFile(join(dir, 'ratings.dat'), ratings.join(''))
  return dir
}

test('JSON pages and clicks by user and Avro items by id arrive as the file has them', async () => {
  const { kafka, topics, start } = await rig()
  const progress = await start({ source: await openFiles(join(fixtures, 'jsonl'), 1) })
  expect(progress).toMatchObject({
    impressions: 2,
    clicks: 2,
    items: 3,
    isComplete: true,
    share: 1,
  })

  const pages = await eventsOf(kafka, topics.impressions)
  expect(pages.map((record) => String(record.key))).toEqual(['7', '7'])
  expect(pages.map((record) => impressionOf(jsonIn(record)))).toMatchObject([
    { requestId: 'r1', scenario: 'home', items: ['tea', 'cake'] },
    { requestId: 'r2', items: ['cake', 'tea'], eliminated: ['ice'] },
  ])
  const clicks = await eventsOf(kafka, topics.clicks)
  expect(clicks.map((record) => clickOf(jsonIn(record)))).toMatchObject([
    { requestId: 'r1', itemId: 'cake', action: 'click' },
    { requestId: 'r2', itemId: 'tea', action: 'purchase', weight: 2 },
  ])
  const items = await recordsOf(kafka, topics.items)
  const tea = items.filter((record) => String(record.key) === 'tea').map((record) => record.value)
  expect(decodeItem(tea[0]!)).toMatchObject({ itemId: 'tea', title: 'Green tea' })
  expect(tea[1]).toBeNull()
})

test('a replay that is stopped goes on where it was: every event once, and then there is nothing left', async () => {
  const { kafka, topics, start } = await rig()
  const source = await openFiles(await ratingsFolder(3_000), 1)
  let runs = 0
  let progress: ReplayProgress
  do {
    const stop = new AbortController()
    const before = await eventsOf(kafka, topics.clicks)
    const stopAt = before.length + 700
    const onProgress = ({ clicks, share }: ReplayProgress): void => {
      expect(share).toBeGreaterThan(0)
      if (clicks >= stopAt) stop.abort()
    }
    progress = await start({ source, signal: stop.signal, onProgress })
    runs++
  } while (!progress.isComplete && runs < 20)
  expect(runs).toBeGreaterThan(2)
  expect(progress).toMatchObject({ impressions: 3_000, clicks: 3_000, items: 50, isComplete: true })
  for (const topic of [topics.impressions, topics.clicks]) {
    const ids = (await eventsOf(kafka, topic)).map((record) => jsonIn(record)['request_id'])
    expect(ids).toHaveLength(3_000)
    expect(new Set(ids).size).toBe(3_000)
  }
  await start({ source })
  expect(await eventsOf(kafka, topics.clicks)).toHaveLength(3_000)
})

test('pages and clicks of a slice go out together, after the films they show', async () => {
  const { kafka, topics, start } = await rig()
  const source = await openFiles(await ratingsFolder(2_000), 1)
  const gaps: number[] = []
  await start({
    source,
    onProgress: ({ impressions, clicks }) => gaps.push(Math.abs(impressions - clicks)),
  })
  expect(gaps.length).toBeGreaterThanOrEqual(8)
  expect(Math.max(...gaps)).toBeLessThanOrEqual(1)

  const items = await recordsOf(kafka, topics.items)
  const arrivedMs = new Map(items.map((record) => [String(record.key), record.timestampMs]))
  const tooEarly = (await eventsOf(kafka, topics.impressions)).filter((record) =>
    impressionOf(jsonIn(record)).items.some((item) => arrivedMs.get(item)! > record.timestampMs),
  )
  expect(tooEarly).toEqual([])
})

test('heartbeats in every partition say how far it is: first where the replay begins, last the end of its last window', async () => {
  const { kafka, topics, start } = await rig()
  await start({ source: await openFiles(await ratingsFolder(1_200), 1), windowMs: 1_000_000 })
  const firstMs = 1_600_000_000_000
  for (const topic of [topics.impressions, topics.clicks]) {
    const records = await recordsOf(kafka, topic)
    for (const partition of [0, 1]) {
      const log = records.filter((record) => record.partition === partition)
      let saidMs = 0
      for (const { value, key, headers } of log) {
        if (value === null) {
          expect(key).toBeNull()
          saidMs = Number(headers?.['freshet-heartbeat'])
        } else {
          expect(saidMs).toBeGreaterThan(0)
          const json = JSON.parse(String(value)) as { event_time: number }
          expect(json.event_time).toBeGreaterThanOrEqual(saidMs)
        }
      }
      const said = log.flatMap((record) => record.headers?.['freshet-heartbeat'] ?? [])
      expect(said[0]).toBe(String(firstMs - 1_000))
      expect(said.length).toBeGreaterThan(4)
      expect(said.at(-1)).toBe(String(firstMs + 36_000_000))
    }
  }
})

test('a replay waits at the end of each day, having sent that day and nothing after it', async () => {
  const { kafka, topics, start } = await rig()
  // 2020-09-13T12:26:40Z, then every five hours: a day of three, four days of five or four, and no stop at the end of the last.
  const source = await openFiles(await ratingsFolder(20, 18_000), 1)
  const seen: unknown[] = []
  await start({
    source,
    onDayEnd: async (day) => {
      const clicks = (await eventsOf(kafka, topics.clicks)).map((record) => clickOf(jsonIn(record)))
      const said = (await recordsOf(kafka, topics.impressions))
        .filter(({ value }) => value === null)
        .map(({ headers }) => Number(headers!['freshet-heartbeat']))
      seen.push([day, clicks.length, new Date(Math.max(...said)).toISOString()])
      const films = await recordsOf(kafka, topics.items)
      const changedMs = films.map(({ headers }) => Number(headers!['freshet-event-time']))
      expect(Math.max(...changedMs)).toBeLessThan(Math.max(...said))
    },
  })
  expect(seen).toEqual([
    ['2020-09-13', 3, '2020-09-14T00:00:00.000Z'],
    ['2020-09-14', 8, '2020-09-15T00:00:00.000Z'],
    ['2020-09-15', 12, '2020-09-16T00:00:00.000Z'],
    ['2020-09-16', 17, '2020-09-17T00:00:00.000Z'],
  ])
})

test('days without events are passed over', async () => {
  const { start } = await rig()
  const days: string[] = []
  const source = await openFiles(await ratingsFolder(3, 300_000), 1)
  await start({ source, onDayEnd: (day) => Promise.resolve(void days.push(day)) })
  expect(days).toEqual(['2020-09-13', '2020-09-16'])
})

test('after days with catalogue changes alone, the next event is announced before it is sent', async () => {
  const { kafka, topics, start } = await rig()
  const dayMs = 86_400_000
  const at = (days: number) => 1_600_000_000_000 + days * dayMs
  const dir = await temporaryDir(onTestFinished)
  const page = (days: number) => ({
    ...{ request_id: `r${days}`, user_id: 'u', items: ['a'], event_time: at(days) },
  })
  const lines = (values: readonly object[]) => values.map((each) => JSON.stringify(each)).join('\n')
  await writeFile(join(dir, 'impressions.jsonl'), lines([page(0), page(9)]))
  await writeFile(join(dir, 'clicks.jsonl'), '')
  await writeFile(join(dir, 'items.jsonl'), lines([{ item_id: 'a', created_at: at(5) }]))
  await start({ source: await openFiles(dir, 1) })
  const said = new Map<number, number>()
  let events = 0
  for (const { partition, value, headers } of await recordsOf(kafka, topics.impressions)) {
    if (value === null) said.set(partition, Number(headers!['freshet-heartbeat']))
    else {
      const { event_time } = JSON.parse(String(value)) as { event_time: number }
      expect(event_time - said.get(partition)!).toBeLessThan(dayMs)
      events++
    }
  }
  expect(events).toBe(2)
})

test('a replay that ends at the end of a day waits there again, and what it waits for is told again', async () => {
  const { kafka, topics, start } = await rig()
  const source = await openFiles(await ratingsFolder(20, 18_000), 1)
  await expect(
    start({ source, onDayEnd: () => Promise.reject(new Error('as if it had crashed')) }),
  ).rejects.toThrow('as if it had crashed')
  const stop = new AbortController()
  const days: string[] = []
  const stopped = await start({
    source,
    signal: stop.signal,
    onDayEnd: async (day) => {
      days.push(day)
      const before = (await recordsOf(kafka, topics.clicks)).length
      await expect
        .poll(async () => (await recordsOf(kafka, topics.clicks)).length, { timeout: 10_000 })
        .toBeGreaterThan(before)
      stop.abort()
      await new Promise(() => undefined)
    },
  })
  expect(stopped).toMatchObject({ clicks: 3, isComplete: false })
  const progress = await start({ source, onDayEnd: (day) => Promise.resolve(void days.push(day)) })
  expect(days).toEqual(['2020-09-13', '2020-09-13', '2020-09-14', '2020-09-15', '2020-09-16'])
  expect(progress).toMatchObject({ clicks: 20, isComplete: true })
  expect(await eventsOf(kafka, topics.clicks)).toHaveLength(20)
})

test('speed N takes an Nth of the time between the events', async () => {
  const { start } = await rig()
  const startedMs = performance.now()
  // The fixture's clicks and pages span 15 s, its last item 50 s; a catalogue entry from long before does not count.
  await start({ source: await openFiles(join(fixtures, 'jsonl'), 1), speed: 50 })
  const tookMs = performance.now() - startedMs
  expect(tookMs).toBeGreaterThan(1_000)
  expect(tookMs).toBeLessThan(10_000)
})

test('the live generator sends what happens now, and ends at once when it is told to', async () => {
  const { kafka, topics, start } = await rig()
  const generator = createGenerator({ users: 100, items: 100, eventsPerSecond: 200 })
  const source = openGenerator({ generator, clock, isLive: true })
  const stop = new AbortController()
  let stoppedMs = 0
  const startedMs = Date.now()
  const progress = await start({
    source,
    speed: 1,
    signal: stop.signal,
    onProgress: ({ impressions }) => {
      if (impressions < 300 || stop.signal.aborted) return
      stoppedMs = performance.now()
      stop.abort()
    },
  })
  expect(performance.now() - stoppedMs).toBeLessThan(3_000)
  expect(progress.isComplete).toBe(false)
  expect(progress.items).toBeGreaterThan(50)
  const pages = (await eventsOf(kafka, topics.impressions)).map((r) => impressionOf(jsonIn(r)))
  expect(pages).toHaveLength(progress.impressions)
  const times = pages.map((page) => page.eventTimeMs)
  expect(Math.min(...times)).toBeGreaterThanOrEqual(startedMs)
  // The first page is sent at once, so the pace may be ahead by the time that it was still to come.
  expect(Math.max(...times)).toBeLessThanOrEqual(Date.now() + 1_000)
  // 200 events a second are about 110 pages a second.
  expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(1_500)
})

test('a stop ends a replay that waits for a broker, and what it could not send is sent by the next', async () => {
  const broker = await ownBroker(onTestFinished)
  const kafka = testClient({ brokers: [broker.address] })
  const { topics, start } = await rig(kafka)
  const source = await openFiles(await ratingsFolder(1_500), 1)
  const stop = new AbortController()
  let killed: Promise<void> | null = null
  const first = start({
    source,
    signal: stop.signal,
    onProgress: ({ clicks }) => {
      if (clicks >= 500)
        killed ??= broker.kill().then(() => void setTimeout(() => stop.abort(), 500))
    },
  })
  const stopped = await first
  expect(stopped.isComplete).toBe(false)
  expect(stopped.clicks).toBeLessThan(1_500)
  await broker.restart()
  const progress = await start({ source })
  expect(progress).toMatchObject({ impressions: 1_500, clicks: 1_500, items: 50 })
  const ids = (await eventsOf(kafka, topics.clicks)).map((record) => jsonIn(record)['request_id'])
  expect(new Set(ids).size).toBe(1_500)
})
