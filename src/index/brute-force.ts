import { FreshetError, invariant } from '../errors.ts'
import { TopK } from './top-k.ts'
import { checkVector } from './vector-index.ts'
import type { MutableVectorIndex, Neighbours, Skip } from './vector-index.ts'

const slotsAtStart = 1_024
/** Some milliseconds of work. */
const sliceSlots = 8_192

/** Exact search over one growing array of vectors: the oracle of every other index, and fast enough up to some 100 k. */
export class BruteForceIndex implements MutableVectorIndex {
  readonly dim: number
  #vectors: Float32Array
  readonly #ids: string[] = []
  readonly #slots = new Map<string, number>()

  constructor(dim: number) {
    invariant(Number.isInteger(dim) && dim > 0, `an index of dimension ${dim}`)
    this.dim = dim
    this.#vectors = new Float32Array(slotsAtStart * dim)
  }

  /**
   * An index over vectors that are there already: they are taken over, not copied. Yields between slices, so that a caller with other
   * work is not held up by millions of them. Slot i is the vector of id i.
   * @param vectors [ids.length x dim]
   */
  static *over(
    dim: number,
    ids: readonly string[],
    vectors: Float32Array,
  ): Generator<void, BruteForceIndex> {
    const index = new BruteForceIndex(dim)
    invariant(vectors.length === ids.length * dim, `${vectors.length} floats for ${ids.length} ids`)
    for (let slot = 0; slot < ids.length; slot++) {
      const id = ids[slot]!
      const vector = vectors.subarray(slot * dim, (slot + 1) * dim)
      checkVector(vector, dim, `the vector of item ${JSON.stringify(id)}`)
      index.#ids.push(id)
      index.#slots.set(id, slot)
      if (slot % sliceSlots === sliceSlots - 1) yield
    }
    if (index.#slots.size < ids.length) {
      throw new FreshetError('RECORD_INVALID', 'an index was given the same id twice')
    }
    index.#vectors = vectors
    return index
  }

  get size(): number {
    return this.#ids.length
  }

  has(id: string): boolean {
    return this.#slots.has(id)
  }

  /** The id in a slot; slots change only when an id is removed. */
  idAt(slot: number): string {
    return this.#ids[slot]!
  }

  /** The dot product of the query with the vector in a slot. */
  scoreAt(query: Float32Array, slot: number): number {
    return Math.fround(dot(query, this.#vectors, slot * this.dim))
  }

  search(query: Float32Array, k: number, skip?: Skip): Neighbours {
    checkVector(query, this.dim, 'the query')
    const best = new TopK(Math.min(k, this.size))
    this.#offer(best, query, 0, this.size, skip)
    return best.take()
  }

  /** The index must not change before it is done. */
  *searchExactly(query: Float32Array, k: number, skip?: Skip): Generator<void, Neighbours> {
    checkVector(query, this.dim, 'the query')
    const best = new TopK(Math.min(k, this.size))
    for (let from = 0; from < this.size; from += sliceSlots) {
      this.#offer(best, query, from, Math.min(from + sliceSlots, this.size), skip)
      yield
    }
    return best.take()
  }

  searchAmong(query: Float32Array, k: number, ids: Iterable<string>, skip?: Skip): Neighbours {
    checkVector(query, this.dim, 'the query')
    const best = new TopK(Math.min(k, this.size))
    for (const id of new Set(ids)) {
      const slot = this.#slots.get(id)
      if (slot === undefined || skip?.(id) === true) continue
      best.offer(id, Math.fround(dot(query, this.#vectors, slot * this.dim)))
    }
    return best.take()
  }

  set(id: string, vector: Float32Array): void {
    checkVector(vector, this.dim, `the vector of item ${JSON.stringify(id)}`)
    let slot = this.#slots.get(id)
    if (slot === undefined) {
      slot = this.#ids.length
      this.#growTo(slot + 1)
      this.#ids.push(id)
      this.#slots.set(id, slot)
    }
    this.#vectors.set(vector, slot * this.dim)
  }

  remove(id: string): boolean {
    const slot = this.#slots.get(id)
    if (slot === undefined) return false
    // The last vector moves into the hole: no gaps to step over in a search.
    const last = this.#ids.length - 1
    const lastId = this.#ids[last]!
    this.#vectors.copyWithin(slot * this.dim, last * this.dim, (last + 1) * this.dim)
    this.#ids[slot] = lastId
    this.#slots.set(lastId, slot)
    this.#ids.pop()
    this.#slots.delete(id)
    return true
  }

  #offer(best: TopK, query: Float32Array, from: number, to: number, skip?: Skip): void {
    for (let slot = from; slot < to; slot++) {
      const score = Math.fround(dot(query, this.#vectors, slot * this.dim))
      // Skipping costs a call and most slots are no candidates: ask only for those that are.
      if (score < best.threshold) continue
      const id = this.#ids[slot]!
      if (skip === undefined || !skip(id)) best.offer(id, score)
    }
  }

  #growTo(slots: number): void {
    if (slots * this.dim <= this.#vectors.length) return
    const grown = new Float32Array(Math.max(this.#vectors.length * 2, slotsAtStart * this.dim))
    grown.set(this.#vectors)
    this.#vectors = grown
  }
}

/** Four running sums: the additions do not wait for each other, and their order is fixed. */
function dot(query: Float32Array, vectors: Float32Array, start: number): number {
  const dim = query.length
  const whole = dim & ~3
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  for (let i = 0, j = start; i < whole; i += 4, j += 4) {
    a += query[i]! * vectors[j]!
    b += query[i + 1]! * vectors[j + 1]!
    c += query[i + 2]! * vectors[j + 2]!
    d += query[i + 3]! * vectors[j + 3]!
  }
  for (let i = whole; i < dim; i++) a += query[i]! * vectors[start + i]!
  return a + b + (c + d)
}
