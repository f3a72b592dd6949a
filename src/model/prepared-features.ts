import { encodeFeatures } from './features.ts'
import { fnv1a } from './hash.ts'
import type { Features } from '../records/types.ts'
import type { TowerParameters, TowerSpec } from './spec.ts'

/** Features with everything done that does not depend on what trains. */
export interface PreparedFeatures {
  /** Buckets of the values of each categorical feature, in the order of the spec. */
  readonly buckets: readonly Int32Array[]
  /** [F] encoded, with zeros where the embeddings go */
  readonly floats: Float32Array
}

export function prepareFeatures(
  tower: TowerSpec,
  parameters: TowerParameters,
  features: Features,
  width: number,
): PreparedFeatures {
  const floats = new Float32Array(width)
  encodeFeatures(tower, parameters, features, floats, 0)
  const buckets: Int32Array[] = []
  forCategorical(tower, (name, count, at, dim) => {
    floats.fill(0, at, at + dim)
    const values = features.categorical.get(name) ?? []
    buckets.push(Int32Array.from(values, (value) => fnv1a(value) % count))
  })
  return { buckets, floats }
}

/** Writes the F encoded features to `out`, with the embeddings as they are now. */
export function writePrepared(
  tower: TowerSpec,
  parameters: TowerParameters,
  { buckets, floats }: PreparedFeatures,
  out: Float32Array,
  offset: number,
): void {
  out.set(floats, offset)
  let feature = 0
  forCategorical(tower, (name, _count, at, dim) => {
    const table = parameters.embeddings[name]!
    const rows = buckets[feature++]!
    const share = 1 / rows.length
    for (const row of rows) {
      for (let i = 0; i < dim; i++) out[offset + at + i]! += share * table[row * dim + i]!
    }
  })
}

/**
 * Gradients of embedding rows, summed over a batch. The mean passes a gradient on to each of its rows in equal shares.
 * `apply` hands them over row by row, in the order in which they came.
 */
export class EmbeddingGradients {
  readonly #tower: TowerSpec
  /** By name of the feature. */
  readonly #sums = new Map<string, Map<number, Float32Array>>()

  constructor(tower: TowerSpec) {
    this.#tower = tower
  }

  /** @param gradients by the F encoded features, from `offset` on */
  add({ buckets }: PreparedFeatures, gradients: Float32Array, offset: number): void {
    let feature = 0
    forCategorical(this.#tower, (name, _count, at, dim) => {
      const rows = buckets[feature++]!
      const sums = this.#sums.get(name) ?? new Map<number, Float32Array>()
      this.#sums.set(name, sums)
      for (const row of rows) {
        const sum = sums.get(row) ?? new Float32Array(dim)
        sums.set(row, sum)
        for (let i = 0; i < dim; i++) sum[i]! += gradients[offset + at + i]! / rows.length
      }
    })
  }

  apply(update: (name: string, row: number, gradient: Float32Array) => void): void {
    for (const [name, sums] of this.#sums) {
      for (const [row, gradient] of sums) update(name, row, gradient)
      sums.clear()
    }
  }
}

function forCategorical(
  tower: TowerSpec,
  each: (name: string, buckets: number, at: number, dim: number) => void,
): void {
  let at = 0
  for (const spec of tower.features) {
    if (spec.kind === 'categorical') each(spec.name, spec.buckets, at, spec.dim)
    at += spec.kind === 'numeric' ? 2 : spec.dim
  }
}
