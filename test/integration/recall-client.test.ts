import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { decodeRecallRequest, encodeRecallReply } from '../../src/records/codec.ts'
import type { RecallRequest } from '../../src/records/types.ts'
import { RecallClient } from '../../src/runtime/recall-client.ts'
import type { RecallClientOptions } from '../../src/runtime/recall-client.ts'
import { eventually, randomGeneration, recallRig } from '../support/recall-rig.ts'
import type { RecallRig } from '../support/recall-rig.ts'

const cleanUps: (() => Promise<void>)[] = []
/** Has a pod. */
let served: RecallRig
/** Has none: requests stay where they are. */
let silent: RecallRig

beforeAll(async () => {
  const onEnd = (cleanUp: () => Promise<void>) => cleanUps.push(cleanUp)
  served = await recallRig(onEnd)
  await served.publish(randomGeneration('g1', 'item-', 20))
  await served.control({ live: 'g1' })
  await served.sentinels('g1')
  await served.startPod()
  silent = await recallRig(onEnd)
}, 60_000)

afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp()
})

async function clientOf(
  rig: RecallRig,
  options: Partial<RecallClientOptions> = {},
): Promise<RecallClient> {
  const { brokers, topicPrefix } = rig.config.kafka
  const client = await RecallClient.connect({ brokers, topicPrefix, timeoutMs: 5_000, ...options })
  onTestFinished(() => client.close())
  return client
}

async function requestsOf(rig: RecallRig): Promise<RecallRequest[]> {
  const topic = rig.topics.recallRequests
  const requests: RecallRequest[] = []
  for (const { partition, low, high } of await rig.kafka.offsets(topic)) {
    await rig.kafka.readRange({ topic, partition }, low, high, ({ records }) => {
      for (const { value } of records) if (value !== null) requests.push(decodeRecallRequest(value))
    })
  }
  return requests
}

describe('a recall', () => {
  test('sent right after connect gets its reply, every time', async () => {
    for (let i = 0; i < 5; i++) {
      const client = await clientOf(served)
      expect(await client.recall({ userId: i, k: 3 })).toMatchObject({ status: 'COLD_USER' })
    }
  })

  test('gets its own reply among many', async () => {
    const client = await clientOf(served, { concurrency: 50 })
    const wanted = Array.from({ length: 200 }, (_, i) => 1 + (i % 20))
    const replies = await Promise.all(wanted.map((k) => client.recall({ userId: 'u', k })))
    expect(replies.map(({ items }) => items.length)).toEqual(wanted)
  })

  test('without a pod ends with TIMEOUT, in time', async () => {
    const client = await clientOf(silent)
    const startedAt = performance.now()
    const recall = client.recall({ userId: 'u', k: 3, timeoutMs: 200 })
    await expect(recall).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(performance.now() - startedAt).toBeLessThan(1_500)
  })

  test('ends with ABORTED by its signal, before and while it waits', async () => {
    const client = await clientOf(silent)
    const aborting = new AbortController()
    const recall = client.recall({ userId: 'u', k: 3, signal: aborting.signal })
    const rejected = expect(recall).rejects.toMatchObject({
      code: 'ABORTED',
      cause: 'changed my mind',
    })
    aborting.abort('changed my mind')
    await rejected
    const late = client.recall({ userId: 'u', k: 3, signal: aborting.signal })
    await expect(late).rejects.toMatchObject({ code: 'ABORTED' })
  })

  test('ends with ABORTED when the client closes', async () => {
    const client = await clientOf(silent)
    const recall = client.recall({ userId: 'u', k: 3 })
    const rejected = expect(recall).rejects.toMatchObject({ code: 'ABORTED' })
    await client.close()
    await rejected
    await expect(client.recall({ userId: 'u', k: 3 })).rejects.toMatchObject({ code: 'ABORTED' })
  })

  test('waits its turn beyond the concurrency limit, and what ends waiting is never sent', async () => {
    const client = await clientOf(silent, { concurrency: 3 })
    const users = Array.from({ length: 9 }, (_, i) => `limited-${i}`)
    // Those that wait give up long before a place is free.
    const recalls = users.map((userId, i) =>
      client.recall({ userId, k: 1, timeoutMs: i < 3 ? 600 : 200 }),
    )
    const outcomes = await Promise.allSettled(recalls)
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true)
    const sent = async () =>
      (await requestsOf(silent)).map((r) => r.userId).filter((id) => id.startsWith('limited-'))
    const arrived = await eventually(sent, (ids) => ids.length >= 3)
    expect(arrived.sort()).toEqual(users.slice(0, 3))
    // The places are free again.
    const next = client.recall({ userId: 'limited-next', k: 1, timeoutMs: 100 })
    await expect(next).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(await eventually(sent, (ids) => ids.length >= 4)).toContain('limited-next')
  })

  test('ignores replies that come too late or twice', async () => {
    const client = await clientOf(silent)
    await expect(client.recall({ userId: 'slow', k: 1, timeoutMs: 100 })).rejects.toThrow(
      'within 100 ms',
    )
    const [request] = await eventually(
      async () => (await requestsOf(silent)).filter(({ userId }) => userId === 'slow'),
      (found) => found.length > 0,
    )
    const pending = client.recall({ userId: 'prompt', k: 1 })
    const [prompt] = await eventually(
      async () => (await requestsOf(silent)).filter(({ userId }) => userId === 'prompt'),
      (found) => found.length > 0,
    )
    for (const each of [request!, prompt!, prompt!]) await replyTo(each)
    expect((await pending).message).toBe(`for ${prompt!.userId}`)
  })

  test.each([
    [{ userId: '', k: 3 }, 'userId must be a string or a whole number, not an empty string'],
    [{ userId: 1.5, k: 3 }, 'userId must be a string or a whole number, not number 1.5'],
    [{ userId: 'u', k: 0 }, 'k must be a whole number of at least 1, not 0'],
    [{ userId: 'u', k: 2.5 }, 'k must be a whole number'],
    [{ userId: 'u', k: 3, timeoutMs: 0 }, 'timeoutMs must be a number above 0'],
    [{ userId: 'u', k: 3, exclude: ['a', ''] }, 'exclude[1] must be'],
    [{ userId: 'u', k: 3, filter: { feature: 'genre', values: [] } }, 'filter.values must be'],
    [{ userId: 'u', k: 3, features: { numeric: { age: NaN } } }, 'features.numeric.age must be'],
  ])('%o is refused before anything is sent', async (query, message) => {
    const recall = served.client.recall(query)
    await expect(recall).rejects.toMatchObject({ code: 'USAGE_INVALID' })
    await expect(served.client.recall(query)).rejects.toThrow(message)
  })
})

describe('connect', () => {
  const brokers = inject('kafkaBrokers')

  test('says when freshet is not there', async () => {
    const connecting = RecallClient.connect({ brokers, topicPrefix: 'nobody-here' })
    await expect(connecting).rejects.toMatchObject({ code: 'TOPIC_INVALID' })
  })

  test('says when no broker answers, in time', async () => {
    const connecting = RecallClient.connect({ brokers: ['127.0.0.1:1'], connectTimeoutMs: 300 })
    await expect(connecting).rejects.toMatchObject({
      code: 'BROKER_UNAVAILABLE',
      message: 'no broker answered at 127.0.0.1:1 within 300 ms',
    })
  })

  test.each([
    [{ brokers: [] }, 'kafka.brokers'],
    [{ brokers, topicPrefix: 'has space' }, 'kafka.topicPrefix'],
    [{ brokers, concurrency: 0 }, 'concurrency'],
    [{ brokers, timeoutMs: -1 }, 'timeoutMs'],
  ])('refuses %o', async (options, message) => {
    const connecting = RecallClient.connect(options)
    await expect(connecting).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    await expect(RecallClient.connect(options)).rejects.toThrow(message)
  })
})

async function replyTo({ correlationId, userId, replyTopic, replyPartition }: RecallRequest) {
  const value = encodeRecallReply({
    ...{ correlationId, status: 'OK', message: `for ${userId}`, items: [], generation: 'g' },
    ...{ overrideSequence: 0, userEventTimeMs: 0, userOffset: null, learnedThroughMs: 0 },
  })
  await silent.producer.send([
    {
      topic: replyTopic,
      partition: replyPartition,
      key: correlationId,
      value,
      timestampMs: Date.now(),
    },
  ])
}
