import type { Features } from '../records/types.ts'
import { fnv1a } from './hash.ts'
import type { TowerParameters, TowerSpec } from './spec.ts'

/** Beyond this a value is taken for garbage: it could overflow a float on its way through a tower. */
const magnitudeMax = 1e6

/**
 * Writes the F encoded features of one user or item to `out` from `offset` on, in the order of the spec:
 * - categorical: mean of the embedding rows of its values (bucket = FNV-1a of the UTF-8 value % buckets), zeros without values;
 * - numeric: [(transform(x) - mean) / deviation, 0], or [0, 1] where it is missing;
 * - dense: as it is, zeros where it is missing.
 * Values that are not finite, out of range or of the wrong length count as missing.
 * @returns how many features were unusable in that way
 */
export function encodeFeatures(
  tower: TowerSpec,
  parameters: TowerParameters,
  features: Features,
  out: Float32Array,
  offset: number,
): number {
  const unusable = encodePlain(tower, features, out, offset)
  let at = offset
  for (const spec of tower.features) {
    if (spec.kind === 'categorical') {
      const values = features.categorical.get(spec.name) ?? []
      addEmbeddings(values, spec.buckets, parameters.embeddings[spec.name]!, out, at, spec.dim)
    }
    at += spec.kind === 'numeric' ? 2 : spec.dim
  }
  return unusable
}

/** The same with zeros for categorical features: what does not depend on parameters. */
export function encodePlain(
  tower: TowerSpec,
  features: Features,
  out: Float32Array,
  offset: number,
): number {
  let unusable = 0
  let at = offset
  for (const spec of tower.features) {
    switch (spec.kind) {
      case 'categorical':
        out.fill(0, at, at + spec.dim)
        at += spec.dim
        break
      case 'numeric': {
        const raw = features.numeric.get(spec.name)
        const value = spec.transform === 'log1p' && raw !== undefined ? Math.log1p(raw) : raw
        const standardised = value === undefined ? NaN : (value - spec.mean) / spec.deviation
        const isUsable = Math.abs(standardised) <= magnitudeMax
        if (raw !== undefined && !isUsable) unusable++
        out[at++] = isUsable ? standardised : 0
        out[at++] = isUsable ? 0 : 1
        break
      }
      case 'dense': {
        const values = features.dense.get(spec.name)
        const isUsable =
          values?.length === spec.dim && values.every((value) => Math.abs(value) <= magnitudeMax)
        if (values !== undefined && !isUsable) unusable++
        for (let i = 0; i < spec.dim; i++) out[at++] = isUsable ? values[i]! : 0
        break
      }
    }
  }
  return unusable
}

function addEmbeddings(
  values: readonly string[],
  buckets: number,
  embeddings: Float32Array,
  out: Float32Array,
  at: number,
  dim: number,
): void {
  for (const value of values) {
    const row = (fnv1a(value) % buckets) * dim
    for (let i = 0; i < dim; i++) out[at + i]! += embeddings[row + i]! / values.length
  }
}
