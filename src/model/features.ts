import type { Features } from '../records/types.ts'
import { embeddedFeatures } from './embedded.ts'
import { standardiseNumbers } from './running-statistics.ts'
import type { NumericSpec, TowerParameters, TowerSpec } from './spec.ts'
import { featureWidth } from './spec.ts'

/** Beyond this a value is taken for garbage: it could overflow a float on its way through a tower. */
const magnitudeMax = 1e6
/** Likewise, before it is standardised by running statistics, which limit it. */
const rawMax = 1e15

/**
 * Writes the F encoded features of one user or item to `out` from `offset` on, in the order of the spec:
 * - categorical, vocabulary, bucketised: mean of the embedding rows of its values, zeros without any;
 * - numeric: [(transform(x) - mean) / deviation, 0], or [0, 1] where it is missing or nothing is known of its mean;
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
  for (const { name, at, dim, rowsIn } of embeddedFeatures(tower)) {
    const table = parameters.embeddings[name]!
    const rows = rowsIn(features)
    for (const row of rows) {
      for (let i = 0; i < dim; i++) out[offset + at + i]! += table[row * dim + i]! / rows.length
    }
  }
  standardiseNumbers(tower, parameters, out, offset, 1, featureWidth(tower))
  return unusable
}

/**
 * The same as far as it does not depend on parameters: with zeros for embedded features, and [transform(x), 0] for numbers that running statistics
 * standardise.
 */
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
      case 'bucketised':
      case 'categorical':
      case 'vocabulary':
        if (spec.kind === 'bucketised' && Number.isNaN(features.numeric.get(spec.name))) unusable++
        out.fill(0, at, at + spec.dim)
        at += spec.dim
        break
      case 'numeric':
        if (!writeNumber(spec, features.numeric.get(spec.name), out, at)) unusable++
        at += 2
        break
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

/** Writes what `encodePlain` writes of a number. @returns false where there is one and it is unusable */
export function writeNumber(
  { transform, mean, deviation }: NumericSpec,
  raw: number | undefined,
  out: Float32Array,
  at: number,
): boolean {
  const value = transform === 'log1p' && raw !== undefined ? Math.log1p(raw) : (raw ?? NaN)
  const scaled = mean === null ? value : (value - mean) / deviation!
  const isUsable = Math.abs(scaled) <= (mean === null ? rawMax : magnitudeMax)
  out[at] = isUsable ? scaled : 0
  out[at + 1] = isUsable ? 0 : 1
  return isUsable || raw === undefined
}
