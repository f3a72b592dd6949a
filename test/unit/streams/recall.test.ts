import { describe, expect, test } from 'vitest'
import { BruteForceIndex } from '../../../src/index/brute-force.ts'
import { noFeatures } from '../../../src/records/types.ts'
import type { RecallRequest } from '../../../src/records/types.ts'
import { Catalogue } from '../../../src/streams/catalogue.ts'
import {
  answer,
  deadlineOf,
  emptyReply,
  queryOf,
  refusalOf,
  resolveUser,
} from '../../../src/streams/recall.ts'
import type {
  OnlineUser,
  RecallOptions,
  ResolvedUser,
  ServedGeneration,
} from '../../../src/streams/recall.ts'

const options = { kMax: 100, defaultTimeoutMs: 1_000, excludeRecentClicks: true }
/** Of rows; vectors have 2 components. */
const dim = 3

function request(changes: Partial<RecallRequest> = {}): RecallRequest {
  return {
    correlationId: 'c1',
    userId: 'u1',
    features: noFeatures,
    k: 10,
    scenario: '',
    exclude: [],
    filter: null,
    timeoutMs: 0,
    replyTopic: 'replies',
    replyPartition: 0,
    withTitles: true,
    ...changes,
  }
}

function user(changes: Partial<OnlineUser> = {}): OnlineUser {
  return { offset: 5, eventTimeMs: 700, row: Float32Array.of(1, 0, 0), recentItems: [], ...changes }
}

/** Items a0..a4, a0 nearest to [1, 0]. */
function served(): ServedGeneration {
  const index = new BruteForceIndex(2)
  const catalogue = new Catalogue()
  for (let i = 0; i < 5; i++) {
    const id = `a${i}`
    index.set(id, Float32Array.of(Math.cos(i / 3), Math.sin(i / 3)))
    catalogue.apply(id, {
      itemId: id,
      title: `Film ${i}`,
      createdAtMs: 0,
      features: {
        ...noFeatures,
        categorical: new Map([['parity', [i % 2 === 0 ? 'even' : 'odd']]]),
      },
    })
  }
  return { generation: 'g1', overrideSequence: 3, index, catalogue }
}

describe('a request', () => {
  test.each([
    [{ k: 0 }, 'k is 0; it must be between 1 and 100'],
    [{ k: -1 }, 'k is -1'],
    [{ k: 101 }, 'k is 101'],
    [{ userId: '' }, 'userId is empty'],
    [{ filter: { feature: '', values: ['x'] } }, 'filter.feature is empty'],
    [{ filter: { feature: 'genre', values: [] } }, 'filter.values is empty'],
  ])('%o is refused: %s', (changes, message) => {
    expect(refusalOf(request(changes), options)).toContain(message)
  })

  test('that is fine is not', () => {
    expect(refusalOf(request({ k: 1 }), options)).toBeNull()
    expect(refusalOf(request({ k: 100 }), options)).toBeNull()
  })

  test('has a deadline counted from its record', () => {
    expect(deadlineOf(request({ timeoutMs: 50 }), 10_000, options)).toBe(10_050)
    expect(deadlineOf(request({ timeoutMs: 0 }), 10_000, options)).toBe(11_000)
    expect(deadlineOf(request({ timeoutMs: -7 }), 10_000, options)).toBe(11_000)
  })
})

describe('the user of a reply', () => {
  const learnedThrough = { eventTimeMs: 900 }
  const known = { user: user({ offset: 4 }), learnedThroughMs: 800 }

  test('is OK with a row', () => {
    const read = { isLoaded: true, row: user(), learnedThrough }
    expect(resolveUser(read, undefined, dim)).toEqual({
      status: 'OK',
      message: '',
      user: user(),
      learnedThroughMs: 900,
    })
  })

  test('is cold only where the store is known to be complete', () => {
    const absent = { row: null, learnedThrough }
    const cold = resolveUser({ ...absent, isLoaded: true }, known, dim)
    expect(cold).toMatchObject({ status: 'COLD_USER', user: null, learnedThroughMs: 900 })
    const lost = resolveUser({ ...absent, isLoaded: false }, undefined, dim)
    expect(lost).toMatchObject({ status: 'DEGRADED', user: null, learnedThroughMs: 0 })
  })

  test('is the last known one while the store is away or empty', () => {
    const expected = { status: 'DEGRADED', user: known.user, learnedThroughMs: 800 }
    expect(resolveUser({ failure: 'Redis does not answer' }, known, dim)).toMatchObject(expected)
    const empty = { isLoaded: false, row: null, learnedThrough: null }
    expect(resolveUser(empty, known, dim)).toMatchObject(expected)
  })

  test('is the default one where nothing is known', () => {
    const resolved = resolveUser({ failure: 'Redis does not answer' }, undefined, dim)
    expect(resolved).toMatchObject({ status: 'DEGRADED', user: null })
    expect(resolved.message).toBe('Redis does not answer; served with the default row')
  })

  test('is the newer of the stored and the known row while the store is being loaded', () => {
    const stored = (offset: number) => ({ isLoaded: false, row: user({ offset }), learnedThrough })
    expect(resolveUser(stored(3), known, dim).user?.offset).toBe(4)
    expect(resolveUser(stored(9), known, dim).user?.offset).toBe(9)
  })

  test.each([
    ['NaN', Float32Array.of(NaN, 0, 0)],
    ['infinite', Float32Array.of(0, -Infinity, 0)],
    ['of absurd size', Float32Array.of(3e30, 0, 0)],
    ['as wide as a vector', Float32Array.of(1, 0)],
  ])('is not one whose row is %s', (_, row) => {
    const read = { isLoaded: true, row: user({ row }), learnedThrough }
    expect(resolveUser(read, known, dim)).toMatchObject({ status: 'DEGRADED', user: known.user })
  })
})

describe('an answer', () => {
  const vector = Float32Array.of(1, 0)
  const resolved = { status: 'OK', message: '', user: user(), learnedThroughMs: 900 } as const
  const answerTo = (
    current: ServedGeneration,
    asked: RecallRequest,
    who: ResolvedUser,
    chosen: RecallOptions,
  ) => answer(current, asked, who, queryOf(current, asked, who, vector, chosen))
  const idsFor = (changes: Partial<RecallRequest>, recentItems: string[] = []) =>
    answerTo(
      served(),
      request(changes),
      { ...resolved, user: user({ recentItems }) },
      options,
    ).items.map(({ itemId }) => itemId)

  test('carries items, titles, scores and the freshness facts', () => {
    expect(answerTo(served(), request({ k: 2 }), resolved, options)).toEqual({
      correlationId: 'c1',
      status: 'OK',
      message: '',
      items: [
        { itemId: 'a0', score: 1, title: 'Film 0' },
        { itemId: 'a1', score: Math.fround(Math.cos(1 / 3)), title: 'Film 1' },
      ],
      generation: 'g1',
      overrideSequence: 3,
      userEventTimeMs: 700,
      userOffset: 5,
      learnedThroughMs: 900,
    })
  })

  test('leaves titles out when they are not asked for', () => {
    const { items } = answerTo(served(), request({ k: 1, withTitles: false }), resolved, options)
    expect(items[0]?.title).toBe('')
  })

  test('has all there is for a k beyond the catalogue', () => {
    expect(idsFor({ k: 100 })).toEqual(['a0', 'a1', 'a2', 'a3', 'a4'])
  })

  test('excludes what the request names and what the user just clicked, and still fills k', () => {
    expect(idsFor({ k: 2, exclude: ['a0', 'unknown'] }, ['a2'])).toEqual(['a1', 'a3'])
  })

  test('keeps recent clicks where that is configured', () => {
    const keeping = { ...options, excludeRecentClicks: false }
    const withClicks = { ...resolved, user: user({ recentItems: ['a0'] }) }
    const { items } = answerTo(served(), request({ k: 1 }), withClicks, keeping)
    expect(items[0]?.itemId).toBe('a0')
  })

  test('filters by category', () => {
    expect(idsFor({ filter: { feature: 'parity', values: ['odd'] } })).toEqual(['a1', 'a3'])
    expect(idsFor({ filter: { feature: 'parity', values: ['neither'] } })).toEqual([])
    expect(idsFor({ filter: { feature: 'parity', values: ['odd'] }, exclude: ['a1'] })).toEqual([
      'a3',
    ])
  })

  test('never holds an item that the catalogue took back', () => {
    const current = served()
    current.catalogue.apply('a0', null)
    const { items } = answerTo(current, request({ k: 1 }), resolved, options)
    expect(items.map(({ itemId }) => itemId)).toEqual(['a1'])
  })
})

test('a reply without items still says which generation refused', () => {
  expect(emptyReply(request(), 'INVALID', 'k is 0', served())).toMatchObject({
    status: 'INVALID',
    message: 'k is 0',
    generation: 'g1',
    overrideSequence: 3,
    items: [],
  })
  expect(emptyReply(request(), 'NO_GENERATION', '', null).generation).toBe('')
})
