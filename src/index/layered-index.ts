import { BruteForceIndex } from './brute-force.ts'
import { TopK } from './top-k.ts'
import { checkVector } from './vector-index.ts'
import type { MutableVectorIndex, Neighbours, Skip, VectorIndex } from './vector-index.ts'

/**
 * An index that is built once, below the vectors that have changed since: overridden ids are dropped from the base and
 * found by exact search among the overrides. The base is never written.
 */
export class LayeredIndex implements MutableVectorIndex {
  readonly dim: number
  readonly #base: VectorIndex
  readonly #overrides: BruteForceIndex
  /** Ids of the base that it must not answer with, replaced or withdrawn -> how many there were before. */
  readonly #hidden = new Map<string, number>()

  constructor(base: VectorIndex) {
    this.dim = base.dim
    this.#base = base
    this.#overrides = new BruteForceIndex(base.dim)
  }

  get size(): number {
    return this.#base.size - this.#hidden.size + this.#overrides.size
  }

  has(id: string): boolean {
    return this.#overrides.has(id) || (this.#base.has(id) && !this.#hidden.has(id))
  }

  search(query: Float32Array, k: number, skip?: Skip): Neighbours {
    checkVector(query, this.dim, 'the query')
    if (this.#overrides.size === 0 && this.#hidden.size === 0)
      return this.#base.search(query, k, skip)
    return merge(
      k,
      this.#base.search(query, k, (id) => this.#hidden.has(id) || skip?.(id) === true),
      this.#overrides.search(query, k, skip),
    )
  }

  searchAmong(query: Float32Array, k: number, ids: Iterable<string>, skip?: Skip): Neighbours {
    const among = new Set(ids)
    return merge(
      k,
      this.#base.searchAmong(query, k, among, (id) => this.#hidden.has(id) || skip?.(id) === true),
      this.#overrides.searchAmong(query, k, among, skip),
    )
  }

  /** What changes afterwards is passed over: the overrides are searched at once, and the base hides what it hides now. */
  searchExactly(query: Float32Array, k: number, skip?: Skip): Generator<void, Neighbours> {
    const hidden = this.#hidden.size
    const isSkipped = (id: string) =>
      (this.#hidden.get(id) ?? hidden) < hidden || skip?.(id) === true
    const overrides = this.#overrides.search(query, k, skip)
    return mergeWith(overrides, k, this.#base.searchExactly(query, k, isSkipped))
  }

  set(id: string, vector: Float32Array): void {
    this.#overrides.set(id, vector)
    this.#hide(id)
  }

  remove(id: string): boolean {
    const wasThere = this.has(id)
    this.#overrides.remove(id)
    this.#hide(id)
    return wasThere
  }

  #hide(id: string): void {
    if (this.#base.has(id) && !this.#hidden.has(id)) this.#hidden.set(id, this.#hidden.size)
  }
}

function* mergeWith(
  overrides: Neighbours,
  k: number,
  base: Generator<void, Neighbours>,
): Generator<void, Neighbours> {
  return merge(k, yield* base, overrides)
}

function merge(k: number, ...parts: readonly Neighbours[]): Neighbours {
  const best = new TopK(
    Math.min(
      k,
      parts.reduce((sum, part) => sum + part.ids.length, 0),
    ),
  )
  for (const part of parts) part.ids.forEach((id, i) => best.offer(id, part.scores[i]!))
  return best.take()
}
