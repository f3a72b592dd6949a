import { describe, expect, test } from 'vitest'
import { isBetter } from '../../src/index/vector-index.ts'
import type { Neighbours, VectorIndex } from '../../src/index/vector-index.ts'
import { finish } from './hnsw.ts'
import { randomFrom, unitVector } from './vectors.ts'

export interface IndexUnderTest {
  readonly name: string
  readonly build: (dim: number, vectors: ReadonlyMap<string, Float32Array>) => VectorIndex
  /** Least acceptable share of the true neighbours found; 1 for an exact index. */
  readonly recallMin: number
}

/** What every VectorIndex has to do. The truth is a sort of all scores. */
export function indexConformance({ name, build, recallMin }: IndexUnderTest): void {
  describe(`${name} as a vector index`, () => {
    const dim = 17
    const random = randomFrom(5)
    const vectors = new Map(
      Array.from({ length: 700 }, (_, i) => [`item-${i}`, unitVector(dim, random)]),
    )
    const index = build(dim, vectors)
    const queries = Array.from({ length: 40 }, () => unitVector(dim, random))

    test('finds the nearest, best first, with their scores', () => {
      expect(index.size).toBe(vectors.size)
      for (const query of queries) expectNeighbours(index.search(query, 20), query, vectors, 20)
    })

    test('gives all there is when k is larger, and nothing for k = 0', () => {
      const few = new Map([...vectors].slice(0, 5))
      const found = build(dim, few).search(queries[0]!, 50)
      expect([...found.ids].sort()).toEqual([...few.keys()].sort())
      expect(build(dim, few).search(queries[0]!, 0).ids).toEqual([])
      expect(build(dim, new Map()).search(queries[0]!, 10).ids).toEqual([])
    })

    test('fills k although the nearest are skipped', () => {
      const query = queries[1]!
      const dropped = new Set(truth(query, vectors).slice(0, 30))
      const left = new Map([...vectors].filter(([id]) => !dropped.has(id)))
      const found = index.search(query, 10, (id) => dropped.has(id))
      expectNeighbours(found, query, left, 10)
    })

    test('searches exactly among given ids, each once, passing over unknown ones', () => {
      const query = queries[2]!
      const ids = [...vectors.keys()].filter((_, i) => i % 7 === 0)
      const among = new Map(ids.map((id) => [id, vectors.get(id)!]))
      const expected = truth(query, among)
      const twice = [...ids, ...ids, 'unknown']
      expect(index.searchAmong(query, 1_000, twice).ids).toEqual(expected)
      expect(index.searchAmong(query, 10, ids, (id) => id === expected[0]).ids).toEqual(
        expected.slice(1, 11),
      )
      expect(index.searchAmong(query, 3, []).ids).toEqual([])
    })

    test('searches exactly for what it otherwise approximates', () => {
      for (const query of queries.slice(0, 10)) {
        const expected = truth(query, vectors)
        const skip = (id: string) => expected.indexOf(id) % 2 === 1
        expect(finish(index.searchExactly(query, 20)).ids).toEqual(expected.slice(0, 20))
        const { ids, scores } = finish(index.searchExactly(query, 20, skip))
        expect(ids).toEqual(expected.slice(0, 40).filter((id) => !skip(id)))
        expect(index.searchAmong(query, 20, ids)).toEqual({ ids, scores })
      }
      expect(finish(index.searchExactly(queries[0]!, 10_000)).ids).toHaveLength(vectors.size)
      expect(finish(build(dim, new Map()).searchExactly(queries[0]!, 10)).ids).toEqual([])
    })

    test('orders equal scores by id', () => {
      const same = unitVector(dim, random)
      const ids = ['b', 'c', 'a', 'aa', 'Z', 'é', '10', '9']
      const found = build(dim, new Map(ids.map((id) => [id, same]))).search(same, 5)
      expect(found.ids).toEqual([...ids].sort().slice(0, 5))
    })

    test('refuses vectors and queries that are not finite or of another width', () => {
      for (const bad of [NaN, Infinity, -Infinity]) {
        const vector = unitVector(dim, random)
        vector[3] = bad
        const refused = { code: 'RECORD_INVALID' }
        expectCode(() => build(dim, new Map([['a', vector]])), refused.code)
        expectCode(() => index.search(vector, 3), refused.code)
        expectCode(() => index.searchAmong(vector, 3, ['item-1']), refused.code)
        expectCode(() => finish(index.searchExactly(vector, 3)), refused.code)
      }
      expectCode(() => index.search(new Float32Array(dim + 1), 3), 'RECORD_INVALID')
      expectCode(() => build(dim, new Map([['a', new Float32Array(3)]])), 'RECORD_INVALID')
    })

    test('knows which ids it holds', () => {
      expect(index.has('item-3')).toBe(true)
      expect(index.has('nobody')).toBe(false)
    })
  })

  function expectNeighbours(
    found: Neighbours,
    query: Float32Array,
    vectors: ReadonlyMap<string, Float32Array>,
    k: number,
  ): void {
    const expected = truth(query, vectors).slice(0, k)
    expect(found.ids).toHaveLength(k)
    expect(new Set(found.ids).size).toBe(k)
    const hits = found.ids.filter((id) => expected.includes(id)).length
    expect(hits / k).toBeGreaterThanOrEqual(recallMin)
    if (recallMin === 1) expect(found.ids).toEqual(expected)
    found.ids.forEach((id, i) =>
      expect(found.scores[i]).toBeCloseTo(dot(query, vectors.get(id)!), 5),
    )
    for (let i = 1; i < k; i++) expect(found.scores[i]!).toBeLessThanOrEqual(found.scores[i - 1]!)
  }
}

function truth(query: Float32Array, vectors: ReadonlyMap<string, Float32Array>): string[] {
  return [...vectors]
    .map(([id, vector]) => ({ id, score: Math.fround(dot(query, vector)) }))
    .sort((a, b) => (isBetter(a.score, a.id, b.score, b.id) ? -1 : 1))
    .map(({ id }) => id)
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0)
}

function expectCode(run: () => unknown, code: string): void {
  expect(run).toThrow(expect.objectContaining({ code }))
}
