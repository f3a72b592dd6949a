import { hash32 } from '../model/hash.ts'

/** Where the most variance of some vectors lies. */
export interface Plane {
  /** [d] */
  readonly mean: Float64Array
  /** Two axes [d], orthonormal. */
  readonly axes: readonly [Float64Array, Float64Array]
  /** Share of the variance on each. */
  readonly shares: readonly [number, number]
}

const sliceRows = 256
const iterationsMax = 200
const tolerance = 1e-10

/**
 * Principal component analysis: the two largest eigenvectors of the covariance, by power iteration with deflation (Golub and Van Loan,
 * Matrix Computations, 7.3). The same vectors give the same plane: it starts from fixed vectors, and the largest component of an axis is
 * positive. Yields between slices of some milliseconds.
 * @param vectors [n x dim]
 */
export function* principalPlane(vectors: Float32Array, dim: number): Generator<void, Plane> {
  const rows = vectors.length / dim
  const mean = new Float64Array(dim)
  for (let i = 0; i < vectors.length; i++) mean[i % dim]! += vectors[i]! / rows
  yield
  const covariance = new Float64Array(dim * dim)
  const centred = new Float64Array(dim)
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < dim; i++) centred[i] = vectors[row * dim + i]! - mean[i]!
    for (let i = 0; i < dim; i++) {
      for (let j = 0; j < dim; j++) covariance[i * dim + j]! += (centred[i]! * centred[j]!) / rows
    }
    if (row % sliceRows === sliceRows - 1) yield
  }
  let total = 0
  for (let i = 0; i < dim; i++) total += covariance[i * dim + i]!
  const first = largest(covariance, dim, [])
  yield
  const second = largest(covariance, dim, [first.axis])
  const share = (value: number): number => (total > 0 ? value / total : 0)
  return {
    mean,
    axes: [first.axis, second.axis],
    shares: [share(first.value), share(second.value)],
  }
}

/** Coordinates of a vector [d] in the plane. */
export function project({ mean, axes }: Plane, vector: ArrayLike<number>): [number, number] {
  const along = (axis: Float64Array): number => {
    let sum = 0
    for (let i = 0; i < axis.length; i++) sum += (vector[i]! - mean[i]!) * axis[i]!
    return sum
  }
  return [along(axes[0]), along(axes[1])]
}

/** The same items whatever else there is: those whose ids have the smallest hashes. */
export function sampleIds(ids: readonly string[], max: number): string[] {
  return ids
    .map((id) => ({ id, hash: hash32(id) }))
    .sort((a, b) => a.hash - b.hash || (a.id < b.id ? -1 : 1))
    .slice(0, max)
    .map(({ id }) => id)
}

interface Eigen {
  readonly axis: Float64Array
  readonly value: number
}

/** @param found axes that it has to be orthogonal to */
function largest(matrix: Float64Array, dim: number, found: readonly Float64Array[]): Eigen {
  // Components that are all different, so that no eigenvector of simple form is missed.
  let axis = Float64Array.from({ length: dim }, (_, i) => 1 / (i + 1 + found.length / 2))
  orthonormalise(axis, found)
  let value = 0
  for (let iteration = 0; iteration < iterationsMax; iteration++) {
    const next = new Float64Array(dim)
    for (let i = 0; i < dim; i++) {
      for (let j = 0; j < dim; j++) next[i]! += matrix[i * dim + j]! * axis[j]!
    }
    const norm = orthonormalise(next, found)
    if (norm <= Number.EPSILON) break
    const isSteady = Math.abs(norm - value) <= tolerance * norm
    value = norm
    axis = next
    if (isSteady) break
  }
  const extreme = axis.reduce((most, x) => (Math.abs(x) > Math.abs(most) ? x : most), 0)
  return { axis: extreme < 0 ? axis.map((x) => -x) : axis, value }
}

/** In place. @returns the norm before */
function orthonormalise(vector: Float64Array, found: readonly Float64Array[]): number {
  for (const other of found) {
    const along = vector.reduce((sum, x, i) => sum + x * other[i]!, 0)
    for (let i = 0; i < vector.length; i++) vector[i]! -= along * other[i]!
  }
  const norm = Math.hypot(...vector)
  if (norm > 0) for (let i = 0; i < vector.length; i++) vector[i]! /= norm
  return norm
}
