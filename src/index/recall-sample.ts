import { Random } from '../model/hash.ts'
import type { VectorIndex } from './vector-index.ts'

export interface RecallSample {
  /** Neighbours a query. */
  readonly k: number
  readonly queries: number
  readonly seed: number
}

const itemsPerTaste = 3
/** Length of the noise beside a vector of length 1. */
const noiseLength = 0.5

/**
 * Recall@k of an index against the exact one. Half of the queries are vectors of items with noise, half the directions of the sum of
 * three items, as users like several things: a graph finds what lies between its clusters less well. Yields after each query.
 * @param vectors [n x dim] those of the index
 */
export function* measureRecall(
  index: VectorIndex,
  exact: VectorIndex,
  vectors: Float32Array,
  { k, queries, seed }: RecallSample,
): Generator<void, number> {
  const wanted = Math.min(k, exact.size)
  if (wanted === 0) return 1
  const random = new Random(seed, 0)
  let found = 0
  for (let i = 0; i < queries; i++) {
    const query = queryOf(vectors, exact.dim, i % 2 === 0 ? 1 : itemsPerTaste, random)
    found += countFound(index.search(query, wanted).scores, exact.search(query, wanted).scores)
    yield
  }
  return found / (wanted * queries)
}

/**
 * How many of the true neighbours were found. An item that scores as high as the last of them counts: among equals an approximate
 * search may choose others.
 * @param found scores, of as many at most
 * @param truth scores, best first
 */
export function countFound(found: Float32Array, truth: Float32Array): number {
  const least = truth.at(-1) ?? Infinity
  return found.reduce((count, score) => count + (score >= least ? 1 : 0), 0)
}

function queryOf(vectors: Float32Array, dim: number, items: number, random: Random): Float32Array {
  const query = new Float32Array(dim)
  const count = vectors.length / dim
  for (let i = 0; i < items; i++) {
    const from = Math.floor(random.nextFloat() * count) * dim
    for (let j = 0; j < dim; j++) query[j]! += vectors[from + j]!
  }
  if (items === 1) {
    const noise = Float32Array.from({ length: dim }, () => random.nextNormal())
    const scale = noiseLength / norm(noise)
    for (let j = 0; j < dim; j++) query[j]! += noise[j]! * scale
  }
  const length = norm(query)
  // Items that cancel each other out leave no direction: any is as good.
  if (length === 0) query[0] = 1
  else for (let j = 0; j < dim; j++) query[j]! /= length
  return query
}

function norm(vector: Float32Array): number {
  return Math.hypot(...vector)
}
