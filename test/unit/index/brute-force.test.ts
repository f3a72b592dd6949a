import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BruteForceIndex } from '../../../src/index/brute-force.ts'
import { LayeredIndex } from '../../../src/index/layered-index.ts'
import type { MutableVectorIndex } from '../../../src/index/vector-index.ts'
import { finish } from '../../support/hnsw.ts'
import { indexConformance } from '../../support/index-conformance.ts'
import { randomFrom, unitVector } from '../../support/vectors.ts'

function fill<Index extends MutableVectorIndex>(
  index: Index,
  vectors: ReadonlyMap<string, Float32Array>,
): Index {
  for (const [id, vector] of vectors) index.set(id, vector)
  return index
}

function bruteForce(dim: number, vectors: ReadonlyMap<string, Float32Array>): BruteForceIndex {
  return fill(new BruteForceIndex(dim), vectors)
}

indexConformance({ name: 'BruteForceIndex', build: bruteForce, recallMin: 1 })

indexConformance({
  name: 'LayeredIndex without overrides',
  build: (dim, vectors) => new LayeredIndex(bruteForce(dim, vectors)),
  recallMin: 1,
})

indexConformance({
  name: 'LayeredIndex with every second vector overridden',
  build: (dim, vectors) => {
    const random = randomFrom(3)
    const stale = new Map([...vectors].filter((_, i) => i % 3 !== 0))
    for (const id of stale.keys()) if (random() < 0.5) stale.set(id, unitVector(dim, random))
    const index = new LayeredIndex(bruteForce(dim, stale))
    for (const [id, vector] of vectors) {
      if (stale.get(id) !== vector) index.set(id, vector)
    }
    return index
  },
  recallMin: 1,
})

describe.each([
  ['BruteForceIndex', (dim: number) => new BruteForceIndex(dim)],
  ['LayeredIndex', (dim: number) => new LayeredIndex(bruteForce(dim, new Map()))],
  [
    'LayeredIndex over other vectors of the same ids',
    (dim: number) => {
      const random = randomFrom(9)
      const base = new Map(['a', 'b', 'c', 'd'].map((id) => [id, unitVector(dim, random)]))
      const index = new LayeredIndex(bruteForce(dim, base))
      for (const id of base.keys()) index.remove(id)
      return index
    },
  ],
])('%s that changes', (_, create) => {
  test('is what a map of the same operations is', () => {
    const id = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')
    const operation = fc.record({ id, seed: fc.nat(1_000), isRemoval: fc.boolean() })
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const index = create(5)
        const model = new Map<string, Float32Array>()
        for (const { id, seed, isRemoval } of operations) {
          if (isRemoval) {
            expect(index.remove(id)).toBe(model.delete(id))
          } else {
            const vector = unitVector(5, randomFrom(seed + 1))
            index.set(id, vector)
            model.set(id, vector)
          }
        }
        const query = unitVector(5, randomFrom(77))
        const expected = bruteForce(5, model).search(query, 10)
        expect(index.size).toBe(model.size)
        expect(index.search(query, 10)).toEqual(expected)
        expect(index.searchAmong(query, 10, ['a', 'b', 'c', 'd', 'e', 'f'])).toEqual(expected)
      }),
    )
  })
})

test('grows past its first allocation and keeps every vector', () => {
  const random = randomFrom(1)
  const vectors = new Map(
    Array.from({ length: 3_000 }, (_, i) => [`${i}`, unitVector(4, random)] as const),
  )
  const index = bruteForce(4, vectors)
  for (const [id, vector] of [...vectors].filter((_, i) => i % 500 === 0)) {
    expect(index.search(vector, 1).ids).toEqual([id])
  }
})

test('searches slice by slice for what a whole search finds', () => {
  const random = randomFrom(2)
  const count = 20_000
  const ids = Array.from({ length: count }, (_, i) => `${i}`)
  const vectors = Float32Array.from({ length: count * 2 }, random)
  const index = finish(BruteForceIndex.over(2, ids, vectors))
  const query = Float32Array.of(0.6, 0.8)
  const steps = index.searchExactly(query, count)
  expect([steps.next().done, steps.next().done, steps.next().done]).toEqual([false, false, false])
  expect(finish(steps)).toEqual(index.search(query, count))
})

test('copies what it is given', () => {
  const vector = Float32Array.of(1, 0)
  const index = new BruteForceIndex(2)
  index.set('a', vector)
  vector[0] = 0
  expect(index.search(Float32Array.of(1, 0), 1).scores[0]).toBe(1)
})
