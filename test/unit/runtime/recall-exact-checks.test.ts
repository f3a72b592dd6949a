import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { configSchema } from '../../../src/config/schema.ts'
import { BruteForceIndex } from '../../../src/index/brute-force.ts'
import { LayeredIndex } from '../../../src/index/layered-index.ts'
import type { VectorIndex } from '../../../src/index/vector-index.ts'
import { createMetrics } from '../../../src/metrics/metrics.ts'
import { decodeRecallReply, encodeRecallRequest } from '../../../src/records/codec.ts'
import { topicNames } from '../../../src/records/topics.ts'
import { noFeatures } from '../../../src/records/types.ts'
import type { RecallRequest } from '../../../src/records/types.ts'
import { RecallDesk } from '../../../src/runtime/recall-desk.ts'
import type { RecallDeskOptions } from '../../../src/runtime/recall-desk.ts'
import { ExactChecks } from '../../../src/runtime/recall-exact-checks.ts'
import { Catalogue } from '../../../src/streams/catalogue.ts'
import { answer, queryOf } from '../../../src/streams/recall.ts'
import type { SinkRecord } from '../../../src/streams/stage.ts'
import { finish, flat, hnswIndex } from '../../support/hnsw.ts'
import { silentLog } from '../../support/own-servers.ts'
import { randomFrom, unitVector } from '../../support/vectors.ts'

const dim = 16
const random = randomFrom(3)
/** More than two slices of an exact search. */
const vectors = vectorsOf(20_000)
const { recall } = configSchema.parse({})
const resolved = { status: 'COLD_USER', message: '', user: null, learnedThroughMs: 0 } as const

function vectorsOf(count: number): Map<string, Float32Array> {
  return new Map(Array.from({ length: count }, (_, i) => [`item-${i}`, unitVector(dim, random)]))
}

function bruteForce(all: ReadonlyMap<string, Float32Array>): BruteForceIndex {
  return finish(BruteForceIndex.over(dim, [...all.keys()], flat(all.values(), dim)))
}

function request(changes: Partial<RecallRequest> = {}): RecallRequest {
  return {
    ...{ correlationId: 'c', userId: 'u', features: noFeatures, k: 20, scenario: '' },
    ...{ exclude: [], filter: null, timeoutMs: 1_000, withTitles: false },
    ...{ replyTopic: 'replies', replyPartition: 0, ...changes },
  }
}

/** Checks over a generation that a test may change, and a clock that it sets. */
function rig(base: VectorIndex, perSecondMax = 1) {
  const catalogue = new Catalogue()
  const serving = {
    ...{ generation: 'g1', overrideSequence: 1, isRetired: false, catalogue, uses: 0 },
    index: new LayeredIndex(base),
    use: () => {
      serving.uses++
      return () => void serving.uses--
    },
  }
  const metrics = createMetrics()
  const clock = { now: 0, nowMs: () => clock.now }
  const checks = new ExactChecks({ perSecondMax, metrics, clock, log: silentLog })
  const serve = (vector: Float32Array, changes: Partial<RecallRequest> = {}) => {
    const query = queryOf(serving, request(changes), resolved, vector, recall)
    const reply = answer(serving, request(changes), resolved, query)
    checks.offer(serving, query, reply)
    return reply.items.map(({ itemId }) => itemId)
  }
  return { serving, metrics, clock, checks, serve, ...readersOf(metrics, serving) }
}

function readersOf(metrics: ReturnType<typeof createMetrics>, serving: { readonly uses: number }) {
  const outcomes = async () => {
    const { values } = await metrics.exactChecks.get()
    return Object.fromEntries(values.map(({ labels, value }) => [labels.outcome, value]))
  }
  return {
    outcomes,
    /** When the check under way is done. */
    settled: async () => {
      while (serving.uses > 0) await sleep(1)
      return outcomes()
    },
    sumOf: async (name: 'annRecall' | 'annScoreLoss') => {
      const { values } = await metrics[name].get()
      return values.find(({ metricName }) => metricName?.endsWith('_sum'))?.value
    },
  }
}

describe('a reply from an exact index', () => {
  const base = bruteForce(vectors)

  test('has all of the exact top k and loses no cosine', async () => {
    const { checks, serve, settled, sumOf } = rig(base)
    expect(checks.annRecall).toBeNull()
    serve(unitVector(dim, random))
    expect(await settled()).toEqual({ compared: 1 })
    expect(checks.annRecall).toBe(1)
    expect([await sumOf('annRecall'), await sumOf('annScoreLoss')]).toEqual([1, 0])
  })

  test('is compared under its overrides, exclusions, withdrawals and filter', async () => {
    const { serving, serve, clock, settled, sumOf } = rig(base)
    const vector = unitVector(dim, random)
    const best = base.search(vector, 40).ids
    // Each of these is in the top k of an index that ignores what was done to it.
    serving.index.set(best[0]!, unitVector(dim, random))
    serving.index.set('new', vector)
    serving.index.remove(best[1]!)
    serving.catalogue.apply(best[2]!, null)
    const exclude = [best[3]!]
    const served = serve(vector, { exclude })
    expect(served).toEqual(['new', ...best.slice(4, 23)])
    expect(await settled()).toEqual({ compared: 1 })
    const categorical = new Map([['genre', ['war']]])
    for (const itemId of best.slice(3)) {
      const item = { itemId, title: '', createdAtMs: 0, features: { ...noFeatures, categorical } }
      serving.catalogue.apply(itemId, item)
    }
    clock.now += 1_000
    const filtered = serve(vector, { exclude, filter: { feature: 'genre', values: ['war'] } })
    expect(filtered).toEqual(best.slice(4, 24))
    expect(await settled()).toEqual({ compared: 2 })
    expect([await sumOf('annRecall'), await sumOf('annScoreLoss')]).toEqual([2, 0])
  })

  test('is compared with the vectors that it was computed from, whatever is overridden meanwhile', async () => {
    const { serving, serve, settled, sumOf } = rig(base)
    const vector = unitVector(dim, random)
    const served = serve(vector)
    await nextTurn()
    expect(serving.uses).toBe(1)
    for (const id of served) serving.index.remove(id)
    for (let i = 0; i < 20; i++) serving.index.set(`new-${i}`, vector)
    serving.overrideSequence++
    expect(await settled()).toEqual({ compared: 1 })
    expect([await sumOf('annRecall'), await sumOf('annScoreLoss')]).toEqual([1, 0])
  })

  test('without anything to find is no comparison', async () => {
    const { serve, settled, sumOf } = rig(base)
    serve(unitVector(dim, random), { filter: { feature: 'genre', values: ['none'] } })
    expect(await settled()).toEqual({ empty: 1 })
    expect(await sumOf('annRecall')).toBe(0)
  })
})

describe('a reply from an HNSW index that searches too narrowly', () => {
  const few = vectorsOf(6_000)
  let narrow: VectorIndex

  beforeAll(() => {
    narrow = hnswIndex(dim, few, 1)
  })

  test('is measured as what a sort of all scores says', async () => {
    const { serve, clock, settled, sumOf } = rig(narrow)
    const k = 3
    let recallSum = 0
    let lossSum = 0
    for (let i = 0; i < 30; i++) {
      const query = unitVector(dim, random)
      const scores = new Map([...few].map(([id, vector]) => [id, dot(query, vector)]))
      const truth = [...scores.keys()].sort((a, b) => scores.get(b)! - scores.get(a)!).slice(0, k)
      clock.now += 1_000
      const served = serve(query, { k })
      recallSum += served.filter((id) => truth.includes(id)).length / k
      const sum = (ids: readonly string[]) => ids.reduce((all, id) => all + scores.get(id)!, 0)
      lossSum += (sum(truth) - sum(served)) / k
      await settled()
    }
    expect(recallSum).toBeLessThan(29)
    expect(await sumOf('annRecall')).toBeCloseTo(recallSum, 6)
    expect(await sumOf('annScoreLoss')).toBeCloseTo(lossSum, 5)
  })
})

describe('a check', () => {
  const base = bruteForce(vectors)

  test.each([
    ['a rebase', ({ serving }: Rig) => (serving.index = new LayeredIndex(base))],
    ['a withdrawal', ({ serving }: Rig) => serving.catalogue.apply('item-7', null)],
    ['the end of its generation', ({ serving }: Rig) => (serving.isRetired = true)],
  ])('that %s overtakes is given up and lets go of the generation', async (_, overtake) => {
    const own = rig(base)
    own.serve(unitVector(dim, random))
    await nextTurn()
    expect(own.serving.uses).toBe(1)
    overtake(own)
    expect(await own.settled()).toEqual({ overtaken: 1 })
    expect(await own.sumOf('annRecall')).toBe(0)
  })

  test('that an override set overtakes before it begins is given up', async () => {
    const { serving, serve, settled } = rig(base)
    serve(unitVector(dim, random))
    serving.overrideSequence++
    expect(await settled()).toEqual({ overtaken: 1 })
  })

  test('is made at most so often, and never beside another', async () => {
    const { serving, serve, clock, outcomes, settled } = rig(base)
    const vector = unitVector(dim, random)
    serve(vector)
    clock.now = 999
    serve(vector)
    expect(await outcomes()).toEqual({})
    clock.now = 1_000
    serve(vector)
    clock.now = 1_500
    serve(vector)
    expect(await outcomes()).toEqual({ skipped: 1 })
    expect(serving.uses).toBe(1)
    expect(await settled()).toEqual({ skipped: 1, compared: 1 })
    clock.now = 2_000
    serve(vector)
    expect(await settled()).toEqual({ skipped: 1, compared: 2 })
    // A clock that was set back.
    clock.now = -5_000
    serve(vector)
    expect(await settled()).toEqual({ skipped: 1, compared: 3 })
  })

  test('is not made at a rate of 0', async () => {
    const { serving, serve, outcomes } = rig(base, 0)
    serve(unitVector(dim, random))
    expect(serving.uses).toBe(0)
    expect(await outcomes()).toEqual({})
  })

  test('neither holds up its reply nor breaks it when it fails, and the next one is made', async () => {
    const { serving, clock, checks, metrics, outcomes, settled } = rig(base)
    const sent: SinkRecord[] = []
    const topics = topicNames('t')
    const tower = { vector: () => Promise.resolve(unitVector(dim, random)) }
    const options = {
      ...{ recall, topics, metrics, clock, log: silentLog, exactChecks: checks },
      generations: { current: { ...serving, tower, defaultRow: new Float32Array(dim) } },
      users: { resolve: () => Promise.resolve(resolved) },
      replyTopics: { has: () => Promise.resolve(true) },
      producer: { send: (records: SinkRecord[]) => Promise.resolve(sent.push(...records)) },
    }
    const desk = new RecallDesk(options as unknown as RecallDeskOptions)
    const ask = () => {
      const value = encodeRecallRequest(request())
      const place = { topic: topics.recallRequests, partition: 0, offset: 0, headers: {} }
      return desk.handle({ ...place, key: null, value, timestampMs: clock.now })
    }
    options.generations.current.index.searchExactly = () => {
      throw new Error('broken')
    }
    await ask()
    expect(await outcomes()).toEqual({})
    expect(sent.map(({ value }) => decodeRecallReply(value!).items.length)).toEqual([20])
    expect(await settled()).toEqual({ failed: 1 })
    Reflect.deleteProperty(serving.index, 'searchExactly')
    clock.now += 1_000
    await ask()
    expect(sent).toHaveLength(2)
    expect(await settled()).toEqual({ failed: 1, compared: 1 })
  })
})

type Rig = ReturnType<typeof rig>

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0)
}
