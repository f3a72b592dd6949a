import type { Features } from '../records/types.ts'
import { fnv1a } from './hash.ts'
import type { FeatureSpec, TowerSpec } from './spec.ts'
import { placesOf } from './spec.ts'

type EmbeddedSpec = Extract<FeatureSpec, { kind: 'categorical' | 'vocabulary' | 'bucketised' }>

/** A feature that is the mean of rows of an embedding table, which trains. */
export interface EmbeddedFeature {
  readonly name: string
  /** Where its `dim` floats begin among the encoded features. */
  readonly at: number
  readonly dim: number
  /** Rows whose mean it is; none where nothing is known. */
  rowsIn(features: Features): readonly number[]
}

const ofTower = new WeakMap<TowerSpec, readonly EmbeddedFeature[]>()

/** The embedded features of a tower, in their order. */
export function embeddedFeatures(tower: TowerSpec): readonly EmbeddedFeature[] {
  const known = ofTower.get(tower)
  if (known !== undefined) return known
  const embedded = placesOf(tower).flatMap(({ spec, at }) =>
    isEmbedded(spec) ? [{ name: spec.name, at, dim: spec.dim, rowsIn: rowsIn(spec) }] : [],
  )
  ofTower.set(tower, embedded)
  return embedded
}

export function isEmbedded(spec: FeatureSpec): spec is EmbeddedSpec {
  return spec.kind === 'categorical' || spec.kind === 'vocabulary' || spec.kind === 'bucketised'
}

/** Rows of the table of an embedded feature. */
export function tableRows(spec: EmbeddedSpec): number {
  switch (spec.kind) {
    case 'categorical':
      return spec.buckets
    case 'vocabulary':
      return spec.values.length + 1
    case 'bucketised':
      return spec.boundaries.length + 2
  }
}

function rowsIn(spec: EmbeddedSpec): (features: Features) => readonly number[] {
  const { name } = spec
  switch (spec.kind) {
    case 'categorical': {
      const { buckets } = spec
      return ({ categorical }) =>
        (categorical.get(name) ?? []).map((value) => fnv1a(value) % buckets)
    }
    case 'vocabulary': {
      const rows = new Map(spec.values.map((value, i) => [value, i + 1]))
      return ({ categorical }) => (categorical.get(name) ?? []).map((value) => rows.get(value) ?? 0)
    }
    case 'bucketised': {
      const { boundaries } = spec
      return ({ numeric }) => {
        const value = numeric.get(name) ?? NaN
        if (Number.isNaN(value)) return [0]
        let bucket = 0
        while (bucket < boundaries.length && value >= boundaries[bucket]!) bucket++
        return [bucket + 1]
      }
    }
  }
}
