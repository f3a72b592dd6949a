/**
 * Exact top-k of 100,000 vectors of 64 floats: BruteForceIndex against the loop one would write first (an array of
 * vectors, scores sorted), alternating in one process, so that a busy machine slows both.
 */
import { performance } from 'node:perf_hooks'
import { BruteForceIndex } from '../src/index/brute-force.ts'
import { randomFrom, unitVector } from '../test/support/vectors.ts'

const count = 100_000
const dim = 64
const k = 100
const rounds = 15

const random = randomFrom(42)
const vectors = Array.from({ length: count }, () => unitVector(dim, random))
const ids = vectors.map((_, i) => `${i}`)
const index = new BruteForceIndex(dim)
vectors.forEach((vector, i) => index.set(ids[i]!, vector))

const indexMs: number[] = []
const naiveMs: number[] = []
for (let round = 0; round < rounds; round++) {
  const query = unitVector(dim, random)
  const found = timed(naiveMs, () => naiveSearch(query))
  const same = timed(indexMs, () => index.search(query, k).ids)
  const differing = same.filter((id, i) => id !== found[i]).length
  if (differing > 0) console.error(`round ${round}: ${differing} of ${k} differ`)
}
const result = {
  count,
  dim,
  k,
  bruteForceP50Ms: median(indexMs),
  naiveP50Ms: median(naiveMs),
  timesFaster: median(naiveMs) / median(indexMs),
}
console.log(JSON.stringify(result))

function naiveSearch(query: Float32Array): string[] {
  const scored = vectors.map((vector, i) => ({
    id: ids[i]!,
    score: vector.reduce((sum, value, j) => sum + value * query[j]!, 0),
  }))
  scored.sort((a, b) => b.score - a.score)
  return scored.slice(0, k).map(({ id }) => id)
}

function timed<T>(into: number[], run: () => T): T {
  const start = performance.now()
  const value = run()
  into.push(performance.now() - start)
  return value
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}
