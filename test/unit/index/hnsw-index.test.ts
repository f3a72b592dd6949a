import { describe, expect, test } from 'vitest'
import { BruteForceIndex } from '../../../src/index/brute-force.ts'
import { LayeredIndex } from '../../../src/index/layered-index.ts'
import { measureRecall } from '../../../src/index/recall-sample.ts'
import { finish, flat, hnswIndex } from '../../support/hnsw.ts'
import { indexConformance } from '../../support/index-conformance.ts'
import { randomFrom, unitVector } from '../../support/vectors.ts'

indexConformance({ name: 'HnswIndex', build: hnswIndex, recallMin: 0.9 })

indexConformance({
  name: 'LayeredIndex over HNSW with every third vector overridden',
  build: (dim, vectors) => {
    const random = randomFrom(3)
    const stale = new Map(
      [...vectors].map(([id, vector], i) => [id, i % 3 === 0 ? unitVector(dim, random) : vector]),
    )
    const index = new LayeredIndex(hnswIndex(dim, stale))
    for (const [id, vector] of vectors) if (stale.get(id) !== vector) index.set(id, vector)
    return index
  },
  recallMin: 0.9,
})

const dim = 16
const random = randomFrom(11)
const vectors = new Map(
  Array.from({ length: 20_000 }, (_, i) => [`item-${i}`, unitVector(dim, random)] as const),
)
const exact = finish(BruteForceIndex.over(dim, [...vectors.keys()], flat(vectors.values(), dim)))
const index = hnswIndex(dim, vectors, 200)
const queries = Array.from({ length: 30 }, () => unitVector(dim, random))

describe('an HNSW index of 20,000', () => {
  test('finds most of what there is to find, with the scores of the exact index', () => {
    expect(
      recallOf(
        (query) => index.search(query, 100),
        (query) => exact.search(query, 100),
      ),
    ).toBeGreaterThan(0.97)
    for (const query of queries) {
      const { ids, scores } = index.search(query, 50)
      expect(exact.searchAmong(query, 50, ids)).toEqual({ ids, scores })
    }
  })

  test.each([10, 300, 3_000, 12_000, 19_990])(
    'fills k although the nearest %i are skipped',
    (count) => {
      for (const query of queries.slice(0, 5)) {
        const dropped = new Set(exact.search(query, count).ids)
        const skip = (id: string) => dropped.has(id)
        const truth = exact.search(query, 10, skip)
        const found = index.search(query, 10, skip)
        expect(found.ids).toHaveLength(10)
        expect(found.ids.some(skip)).toBe(false)
        const hits = found.ids.filter((id) => truth.ids.includes(id)).length
        expect(hits).toBeGreaterThanOrEqual(8)
      }
    },
  )

  test('measures its own recall, and a search that is too narrow as less', () => {
    const all = flat(vectors.values(), dim)
    const sample = { k: 100, queries: 40, seed: 1 }
    const wide = finish(measureRecall(index, exact, all, sample))
    const narrow = finish(measureRecall(hnswIndex(dim, vectors, 1), exact, all, sample))
    expect(wide).toBeGreaterThan(0.97)
    expect(narrow).toBeLessThan(wide - 0.01)
    expect(finish(measureRecall(exact, exact, all, sample))).toBe(1)
  })
})

test('of many items that are equal, whichever comes back counts as found', () => {
  const kinds = Array.from({ length: 40 }, () => unitVector(dim, random))
  const equal = new Map(
    Array.from({ length: 8_000 }, (_, i) => [`i${i}`, kinds[i % kinds.length]!] as const),
  )
  const all = flat(equal.values(), dim)
  const truth = finish(BruteForceIndex.over(dim, [...equal.keys()], all))
  const sample = { k: 100, queries: 40, seed: 1 }
  const recall = finish(measureRecall(hnswIndex(dim, equal, 256), truth, all, sample))
  expect(recall).toBeGreaterThan(0.95)
})

function recallOf(
  search: (query: Float32Array) => { readonly ids: readonly string[] },
  truth: (query: Float32Array) => { readonly ids: readonly string[] },
): number {
  const shares = queries.map((query) => {
    const wanted = new Set(truth(query).ids)
    return search(query).ids.filter((id) => wanted.has(id)).length / wanted.size
  })
  return shares.reduce((sum, share) => sum + share, 0) / shares.length
}
