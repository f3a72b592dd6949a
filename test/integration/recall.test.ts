import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { serveOperators } from '../../src/console/server.ts'
import { featureWidth } from '../../src/model/spec.ts'
import { decodeRecallReply, encodeRecallRequest } from '../../src/records/codec.ts'
import { noFeatures } from '../../src/records/types.ts'
import type { RecallReply, RecallRequest } from '../../src/records/types.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'
import { Health } from '../../src/runtime/health.ts'
import type { SinkRecord } from '../../src/streams/stage.ts'
import { dim, eventually, randomGeneration, recallRig } from '../support/recall-rig.ts'
import type { RecallRig } from '../support/recall-rig.ts'
import { randomFrom, unitVector } from '../support/vectors.ts'

const cleanUps: (() => Promise<void>)[] = []
const row = unitVector(dim, randomFrom(8))
let rig: RecallRig

beforeAll(async () => {
  rig = await recallRig((cleanUp) => cleanUps.push(cleanUp))
  await rig.publish(randomGeneration('g1', 'item-', 20))
  await rig.item('item-0', 'The Zeroth', ['drama'])
  await rig.item('item-1', 'The First', ['drama', 'war'])
  await rig.item('item-2', 'The Second', ['comedy'])
  await rig.control({ live: 'g1' })
  await rig.sentinels('g1')
  await rig.user('g1', 'known', { row, offset: 7, eventTimeMs: 1_700_000_000_000 })
  await rig.startPod()
}, 60_000)

afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp()
})

function idsOf({ items }: { readonly items: readonly { readonly itemId: string }[] }): string[] {
  return items.map(({ itemId }) => itemId)
}

describe('a reply', () => {
  test('to a known user has items with titles, best first, and says how fresh it is', async () => {
    const reply = await rig.client.recall({ userId: 'known', k: 10 })
    expect(reply).toMatchObject({ status: 'OK', message: '', generation: 'g1' })
    expect(reply.userEventTime).toEqual(new Date(1_700_000_000_000))
    expect(reply.learnedThrough).toEqual(new Date(1_700_000_000_000))
    expect(reply.items).toHaveLength(10)
    expect(new Set(idsOf(reply)).size).toBe(10)
    const scores = reply.items.map(({ score }) => score)
    expect(scores).toEqual([...scores].sort((a, b) => b - a))
    for (const score of scores) expect(Math.abs(score)).toBeLessThanOrEqual(1.000_001)
    const all = await rig.client.recall({ userId: 'known', k: 20 })
    expect(all.items.find(({ itemId }) => itemId === 'item-0')?.title).toBe('The Zeroth')
  })

  test('changes with the row and with the features of the request', async () => {
    const before = await rig.client.recall({ userId: 'mover', k: 20 })
    await rig.user('g1', 'mover', { row: row.map((value) => -value), offset: 8 })
    const after = await rig.client.recall({ userId: 'mover', k: 20 })
    expect([before.status, after.status]).toEqual(['COLD_USER', 'OK'])
    expect(idsOf(after)).not.toEqual(idsOf(before))
    const features = { categorical: { device: 'phone' } }
    const onPhone = await rig.client.recall({ userId: 'mover', k: 20, features })
    expect(onPhone.items[0]?.score).not.toBe(after.items[0]?.score)
  })

  test('to a stranger is COLD_USER and comes from the default row', async () => {
    const [a, b] = await Promise.all(
      [1234, 'nobody'].map((userId) => rig.client.recall({ userId, k: 5 })),
    )
    expect(a).toMatchObject({ status: 'COLD_USER', userEventTime: null })
    expect(a?.items).toEqual(b?.items)
  })

  test('has all there is for a k beyond the catalogue', async () => {
    expect((await rig.client.recall({ userId: 'known', k: 900 })).items).toHaveLength(20)
  })

  test('is INVALID with the reason for a k beyond kMax', async () => {
    const reply = await rig.client.recall({ userId: 'known', k: 1_001 })
    expect(reply).toMatchObject({ status: 'INVALID', items: [], generation: 'g1' })
    expect(reply.message).toContain('k is 1001; it must be between 1 and 1000')
  })

  test('leaves out what the request excludes and what the user clicked recently', async () => {
    const all = idsOf(await rig.client.recall({ userId: 'known', k: 20 }))
    const [first, second, third] = all as [string, string, string]
    await rig.user('g1', 'clicker', { row, offset: 1, recentItems: [second] })
    const reply = await rig.client.recall({ userId: 'clicker', k: 2, exclude: [first] })
    expect(idsOf(reply)).toEqual([third, all[3]])
  })

  test('keeps to a category', async () => {
    const ask = async (...values: string[]) =>
      idsOf(
        await rig.client.recall({ userId: 'known', k: 20, filter: { feature: 'genre', values } }),
      ).sort()
    expect(await ask('drama')).toEqual(['item-0', 'item-1'])
    expect(await ask('comedy', 'war')).toEqual(['item-1', 'item-2'])
    expect(await ask('western')).toEqual([])
  })
})

describe('an override set', () => {
  test('is applied whole: half of it is invisible, then all of it shows at once', async () => {
    const best = (await rig.client.recall({ userId: 'known', k: 1 })).items[0]!
    const near = await vectorOfKnown()
    await rig.overrides({ generation: 'g1', sequence: 1, vectors: { fresh: near }, isWhole: false })
    // A later set of another generation passes through the same partition: when it is through, the half set is too.
    await rig.overrides({ generation: 'other', sequence: 1, vectors: {} })
    await rig.item('marker', 'seen')
    for (let i = 0; i < 10; i++) {
      const reply = await rig.client.recall({ userId: 'known', k: 1 })
      expect(reply).toMatchObject({ overrideSequence: 0, items: [best] })
    }
    await rig.overrides({
      generation: 'g1',
      sequence: 2,
      vectors: { fresh: near, fresher: near.map((value) => -value), 'item-9': null },
    })
    const replies: { readonly overrideSequence: number; readonly ids: string[] }[] = []
    await eventually(
      async () => {
        const reply = await rig.client.recall({ userId: 'known', k: 30 })
        replies.push({ overrideSequence: reply.overrideSequence, ids: idsOf(reply) })
        return reply.overrideSequence
      },
      (sequence) => sequence === 2,
    )
    for (const { overrideSequence, ids } of replies) {
      const hasNew = [ids.includes('fresh'), ids.includes('fresher'), !ids.includes('item-9')]
      expect(hasNew).toEqual(Array(3).fill(overrideSequence === 2))
    }
    expect(replies.at(-1)).toMatchObject({ overrideSequence: 2 })
    expect(replies.at(-1)?.ids[0]).toBe('fresh')
    const text = await rig.metrics.registry.metrics()
    expect(text).toContain('freshet_visible_delay_seconds_count{side="item"} 4')
  })

  test('of another generation changes nothing', async () => {
    const before = await rig.client.recall({ userId: 'known', k: 30 })
    await rig.overrides({
      generation: 'g0',
      sequence: 9,
      vectors: { alien: await vectorOfKnown() },
    })
    await rig.overrides({ generation: 'g1', sequence: 3, vectors: {} })
    const after = await eventually(
      () => rig.client.recall({ userId: 'known', k: 30 }),
      ({ overrideSequence }) => overrideSequence === 3,
    )
    expect(after.overrideSequence).toBe(3)
    expect(after.items).toEqual(before.items)
  })

  test('an item withdrawn from the catalogue disappears, and is back when it returns', async () => {
    const ask = async () => idsOf(await rig.client.recall({ userId: 'known', k: 30 }))
    expect(await ask()).toContain('item-5')
    await rig.item('item-5', null)
    expect(await eventually(ask, (ids) => !ids.includes('item-5'))).not.toContain('item-5')
    await rig.item('item-5', 'Back again')
    expect(await eventually(ask, (ids) => ids.includes('item-5'))).toContain('item-5')
  })
})

describe('a request that cannot be answered', () => {
  test('k = 0 from another client is INVALID', async () => {
    const reply = await rawReply({ correlationId: 'raw-1', k: 0 })
    expect(reply).toMatchObject({ status: 'INVALID' })
    expect(reply?.message).toContain('k is 0')
  })

  test('an empty user id from another client is INVALID', async () => {
    const reply = await rawReply({ correlationId: 'raw-2', userId: '' })
    expect(reply).toMatchObject({ status: 'INVALID', message: 'userId is empty' })
  })

  test('past its deadline is dropped and counted', async () => {
    const before = await rig.counter('recallsDropped', { reason: 'late' })
    await sendRaw({ correlationId: 'late', timeoutMs: 100 }, Date.now() - 5_000)
    const dropped = () => rig.counter('recallsDropped', { reason: 'late' })
    expect(await eventually(dropped, (count) => count > before)).toBe(before + 1)
    expect(await repliesTo('late')).toEqual([])
  })

  test('to an unknown reply topic becomes a dead letter while others are answered', async () => {
    const strange = Array.from({ length: 20 }, (_, i) => `nowhere-${i}`)
    const unknown = [
      ...strange.map((replyTopic) => ({ replyTopic })),
      { replyTopic: 'not a topic name' },
      { replyTopic: rig.topics.control },
      { replyTopic: rig.topics.recallReplies, replyPartition: 77 },
    ]
    const sent = unknown.map((reply, i) => sendRaw({ correlationId: `lost-${i}`, ...reply }))
    const answered = Promise.all(
      Array.from({ length: 20 }, () => rig.client.recall({ userId: 'known', k: 1 })),
    )
    // Answered at all within their second: a look-up of an unknown topic takes longer than that.
    expect((await answered).map(({ items }) => items.length)).toEqual(Array(20).fill(1))
    await Promise.all(sent)
    const letters = await eventually(
      async () => (await rig.deadLetters()).filter(({ code }) => code === 'REPLY_TOPIC_UNKNOWN'),
      (found) => found.length >= unknown.length,
    )
    expect(letters).toHaveLength(unknown.length)
    expect(letters[0]).toMatchObject({ role: 'recall', sourceTopic: rig.topics.recallRequests })
  })

  test('that is no request becomes a dead letter with its bytes', async () => {
    const value = Buffer.from('{"user": 1}')
    const { recallRequests: topic } = rig.topics
    await rig.producer.send([{ topic, key: null, value, timestampMs: Date.now(), partition: 0 }])
    const letters = await eventually(
      async () => (await rig.deadLetters()).filter(({ code }) => code === 'RECORD_UNDECODABLE'),
      (found) => found.length > 0,
    )
    expect(letters).toHaveLength(1)
    expect(letters[0]?.original).toEqual(value)
    expect((await rig.client.recall({ userId: 'known', k: 1 })).status).toBe('OK')
  })
})

describe('a generation', () => {
  test('switches between two requests; what cannot be loaded replaces nothing', async () => {
    const own = await recallRig(onTestFinished)
    await own.publish(randomGeneration('a', 'a-', 30))
    await own.publish(randomGeneration('b', 'b-', 40))
    await own.startPod()
    expect(await own.client.recall({ userId: 'u', k: 3 })).toMatchObject({
      status: 'NO_GENERATION',
      items: [],
      generation: '',
    })
    const served = () => own.client.recall({ userId: 'u', k: 50 })
    const switchTo = async (live: string, previous: string | null) => {
      await own.control({ live, previous })
      const replies = []
      do replies.push(await served())
      while (replies.at(-1)?.generation !== live && replies.length < 500)
      return replies
    }
    const replies = [
      ...(await switchTo('a', null)),
      ...(await switchTo('b', 'a')),
      ...(await switchTo('a', 'b')),
    ]
    expect(replies.at(-1)?.generation).toBe('a')
    for (const { generation, items } of replies.filter((reply) => reply.generation !== '')) {
      expect(items).toHaveLength(generation === 'a' ? 30 : 40)
      expect(items.filter(({ itemId }) => itemId.startsWith(`${generation}-`))).toEqual(items)
    }
    const broken = randomGeneration('broken', 'c-', 10)
    await own.publish(broken, { damage: flipped('item-vectors') })
    await own.control({ live: 'broken', previous: 'a', epoch: 9 })
    const isRefused = () =>
      own.errors.some((each) => each.startsWith('cannot load generation broken'))
    expect(await eventually(isRefused, Boolean)).toBe(true)
    for (let i = 0; i < 20; i++) expect((await served()).generation).toBe('a')
    // A later revision that is whole is taken at once.
    await own.publish(broken, { revision: 2 })
    const healed = await eventually(served, ({ generation }) => generation === 'broken')
    expect(healed.items).toHaveLength(10)
  })

  test('brings all overrides that were sent before it was loaded', async () => {
    const own = await recallRig(onTestFinished)
    await own.publish(randomGeneration('a', 'a-', 2))
    const near = unitVector(dim, randomFrom(4))
    await own.overrides({ generation: 'a', sequence: 1, vectors: { x: near, 'a-0': near } })
    await own.overrides({ generation: 'a', sequence: 2, vectors: { 'a-1': null, y: near } })
    await own.control({ live: 'a' })
    await own.startPod()
    const reply = await own.client.recall({ userId: 'u', k: 10 })
    expect(reply.overrideSequence).toBe(2)
    expect(idsOf(reply)).toEqual(['a-0', 'x', 'y'])
  })
})

test('too many at once are refused as OVERLOADED, the others answered', async () => {
  const own = await recallRig(onTestFinished, { recall: { inFlightMax: 4 } })
  await own.publish(randomGeneration('a', 'a-', 10))
  await own.control({ live: 'a' })
  await own.sentinels('a')
  await own.startPod()
  const replies = await Promise.all(
    Array.from({ length: 300 }, () => own.client.recall({ userId: 'u', k: 3, timeoutMs: 20_000 })),
  )
  const statuses = new Set(replies.map(({ status }) => status))
  expect([...statuses].sort()).toEqual(['COLD_USER', 'OVERLOADED'])
  expect((await own.client.recall({ userId: 'u', k: 3 })).status).toBe('COLD_USER')
})

test('/metrics says which share of the exact top k was served', async () => {
  const own = await recallRig(onTestFinished, { recall: { exactChecksPerSecondMax: 1_000 } })
  await own.publish(randomGeneration('a', 'a-', 300))
  await own.overrides({ generation: 'a', sequence: 1, vectors: { 'a-7': null, fresh: row } })
  await own.control({ live: 'a' })
  await own.sentinels('a')
  const stop = await own.startPod()
  const operators = await serveOperators(own.metrics, new Health(own.metrics), '127.0.0.1', 0)
  onTestFinished(() => operators.close())
  const read = async () => {
    const lines = (await (await fetch(`${operators.url}/metrics`)).text()).split('\n')
    const valueOf = (series: string) =>
      Number(lines.find((line) => line.startsWith(`${series} `))?.split(' ')[1] ?? 0)
    return {
      compared: valueOf('freshet_exact_checks_total{outcome="compared"}'),
      failed: valueOf('freshet_exact_checks_total{outcome="failed"}'),
      recalls: valueOf('freshet_ann_recall_ratio_count'),
      recallSum: valueOf('freshet_ann_recall_ratio_sum'),
      scoreLossSum: valueOf('freshet_ann_score_loss_sum'),
    }
  }
  const compared = async () => {
    await own.client.recall({ userId: 'u', k: 20, exclude: ['a-1', 'a-2'] })
    return (await read()).compared
  }
  expect(await eventually(compared, (count) => count >= 5)).toBeGreaterThanOrEqual(5)
  await stop()
  const found = await read()
  // The index of so few items is exact.
  const recalls = found.compared
  expect(found).toMatchObject({ recalls, recallSum: recalls, scoreLossSum: 0, failed: 0 })
})

test('a restarted pod goes on after the requests it has dealt with', async () => {
  const own = await recallRig(onTestFinished)
  await own.publish(randomGeneration('a', 'a-', 10))
  await own.control({ live: 'a' })
  const stop = await own.startPod()
  const ask = () => own.client.recall({ userId: 'u', k: 3, timeoutMs: 30_000 })
  await Promise.all(Array.from({ length: 10 }, ask))
  await stop()
  const waiting = ask()
  await own.startPod()
  expect((await waiting).generation).toBe('a')
  // Long enough for what might be answered a second time.
  for (let i = 0; i < 20; i++) await ask()
  const answered = () => own.counter('recalls', {})
  expect(await eventually(answered, (count) => count >= 31)).toBe(31)
})

/** One bit of the first chunk of a part is another on the way. */
function flipped(part: string): (record: SinkRecord) => SinkRecord {
  return (record) => {
    if (!String(record.key).includes(`/${part}/0`)) return record
    const value = Buffer.from(record.value!)
    value[value.length - 9]! ^= 1
    return { ...record, value }
  }
}

/** The vector that the pod computes for user `known`. */
async function vectorOfKnown(): Promise<Float32Array> {
  const { model, dense } = randomGeneration('g1', 'item-', 20)
  const tensors = await openEngine('onnx').open(model, dense)
  const vector = await tensors.vectors('user', row, new Float32Array(featureWidth(model.user)), 1)
  await tensors.close()
  return vector
}

async function sendRaw(changes: Partial<RecallRequest>, timestampMs = Date.now()): Promise<void> {
  const request: RecallRequest = {
    ...{ correlationId: '', userId: 'known', features: noFeatures, k: 1, scenario: '' },
    ...{ exclude: [], filter: null, timeoutMs: 5_000, withTitles: false },
    ...{ replyTopic: rig.topics.recallReplies, replyPartition: 0, ...changes },
  }
  const value = encodeRecallRequest(request)
  const { recallRequests: topic } = rig.topics
  await rig.producer.send([{ topic, key: request.correlationId, value, timestampMs }])
}

async function rawReply(changes: Partial<RecallRequest>): Promise<RecallReply | undefined> {
  await sendRaw(changes)
  const found = await eventually(
    () => repliesTo(changes.correlationId!),
    (replies) => replies.length > 0,
  )
  return found[0]
}

async function repliesTo(correlationId: string): Promise<RecallReply[]> {
  const { recallReplies: topic } = rig.topics
  const replies: RecallReply[] = []
  for (const { partition, low, high } of await rig.kafka.offsets(topic)) {
    await rig.kafka.readRange({ topic, partition }, low, high, ({ records }) => {
      for (const { value } of records) if (value !== null) replies.push(decodeRecallReply(value))
    })
  }
  return replies.filter((reply) => reply.correlationId === correlationId)
}
