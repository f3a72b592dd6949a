import { invariant } from '../errors.ts'
import type { BruteForceIndex } from './brute-force.ts'
import { TopK } from './top-k.ts'
import { checkVector } from './vector-index.ts'
import type { Neighbours, Skip, VectorIndex } from './vector-index.ts'

/** What is used of a graph of hnswlib-node in inner product space. Labels are slots of the exact index beside it. */
export interface HnswGraph {
  searchKnn(query: number[], k: number): { readonly neighbors: readonly number[] }
  /** Breadth of a search; one for more than this many takes that number. */
  setEf(ef: number): void
}

/** From this share of the index on, walking the graph costs about as much as looking at every vector. */
const exactShare = 1 / 16
/** How many more are fetched when too many of those found are skipped. */
const widening = 4

/**
 * Approximate search through a graph (Malkov and Yashunin 2018), with the vectors beside it: scores are computed from them, so they are
 * the same numbers as those of every other index, and what the graph is bad at is answered exactly.
 */
export class HnswIndex implements VectorIndex {
  readonly dim: number
  readonly #graph: HnswGraph
  readonly #exact: BruteForceIndex
  readonly #efSearch: number

  /** @param exact the same vectors; its slot i is label i of the graph, and it does not change any more */
  constructor(graph: HnswGraph, exact: BruteForceIndex, efSearch: number) {
    invariant(efSearch > 0, `efSearch ${efSearch}`)
    this.dim = exact.dim
    this.#graph = graph
    this.#exact = exact
    this.#efSearch = efSearch
    graph.setEf(efSearch)
  }

  get size(): number {
    return this.#exact.size
  }

  has(id: string): boolean {
    return this.#exact.has(id)
  }

  search(query: Float32Array, k: number, skip?: Skip): Neighbours {
    // The native side takes what is not finite without a word.
    checkVector(query, this.dim, 'the query')
    const plain = Array.from(query)
    const exactFrom = this.size * exactShare
    // Results within the breadth of the search cost nothing more, so they make up for those that are skipped.
    let fetched = skip === undefined ? k : Math.max(2 * k, this.#efSearch)
    for (; fetched < exactFrom; fetched *= widening) {
      const { neighbors } = this.#graph.searchKnn(plain, fetched)
      const kept = skip === undefined ? neighbors : this.#without(neighbors, skip)
      if (kept.length >= k) return this.#best(query, k, kept)
    }
    return this.#exact.search(query, k, skip)
  }

  searchAmong(query: Float32Array, k: number, ids: Iterable<string>, skip?: Skip): Neighbours {
    return this.#exact.searchAmong(query, k, ids, skip)
  }

  searchExactly(query: Float32Array, k: number, skip?: Skip): Generator<void, Neighbours> {
    return this.#exact.searchExactly(query, k, skip)
  }

  /** A filter inside the native search costs thirty times as much, and one that throws ends the process. */
  #without(labels: readonly number[], skip: Skip): readonly number[] {
    return labels.filter((label) => !skip(this.#exact.idAt(label)))
  }

  #best(query: Float32Array, k: number, labels: readonly number[]): Neighbours {
    const best = new TopK(k)
    for (const label of labels) {
      best.offer(this.#exact.idAt(label), this.#exact.scoreAt(query, label))
    }
    return best.take()
  }
}
