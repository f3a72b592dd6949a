import { FreshetError } from '../errors.ts'

/** Best first: highest score, and of equal scores the id that sorts first by code unit. */
export interface Neighbours {
  readonly ids: readonly string[]
  /** Dot products, one per id; cosines, as every vector of freshet has unit length. */
  readonly scores: Float32Array
}

/** True for an id that must not be among the results. */
export type Skip = (id: string) => boolean

/**
 * Finds the vectors with the highest dot product. Every implementation passes test/support/index-conformance.ts.
 * Non-finite queries and vectors, and those of another width, are refused with RECORD_INVALID.
 */
export interface VectorIndex {
  readonly dim: number
  readonly size: number
  has(id: string): boolean
  /**
   * @param query [dim]
   * @param k how many; all there are where there are fewer
   */
  search(query: Float32Array, k: number, skip?: Skip): Neighbours
  /** Exact search among `ids` only; those that are not in the index are passed over, and each counts once. */
  searchAmong(query: Float32Array, k: number, ids: Iterable<string>, skip?: Skip): Neighbours
  /** What an exact search finds in the index as it is at the call. Yields between slices. */
  searchExactly(query: Float32Array, k: number, skip?: Skip): Generator<void, Neighbours>
}

/** An index whose vectors change one by one. */
export interface MutableVectorIndex extends VectorIndex {
  /** Adds the vector [dim], or replaces the one that has this id. The values are copied. */
  set(id: string, vector: Float32Array): void
  /** Says whether it was there. */
  remove(id: string): boolean
}

/** @throws FreshetError RECORD_INVALID; `what` names the vector. */
export function checkVector(vector: Float32Array, dim: number, what: string): void {
  if (vector.length !== dim) {
    throw new FreshetError(
      'RECORD_INVALID',
      `${what} has ${vector.length} components, the index has ${dim}: was it made by another model?`,
    )
  }
  for (let i = 0; i < dim; i++) {
    if (!Number.isFinite(vector[i])) {
      throw new FreshetError('RECORD_INVALID', `${what} is not finite at component ${i}`)
    }
  }
}

/** `a` comes before `b` among equals: code units, so the same in every locale. */
export function isBetter(scoreA: number, idA: string, scoreB: number, idB: string): boolean {
  return scoreA > scoreB || (scoreA === scoreB && idA < idB)
}
