/** What a model is made of. Both towers have the same form; see `forward` below for the arithmetic. */

export type FeatureSpec =
  | {
      /** Strings, hashed into rows of an embedding table. */
      readonly kind: 'categorical'
      readonly name: string
      readonly buckets: number
      readonly dim: number
    }
  | {
      /** Strings that are known by name: row i + 1 for value i, row 0 for any other. */
      readonly kind: 'vocabulary'
      readonly name: string
      readonly values: readonly string[]
      readonly dim: number
    }
  | {
      /** A number by the interval that it lies in: row 1 below the first boundary, row n + 1 from boundary n on; row 0 where it is missing. */
      readonly kind: 'bucketised'
      readonly name: string
      /** Ascending. */
      readonly boundaries: readonly number[]
      readonly dim: number
    }
  | NumericSpec
  | { readonly kind: 'dense'; readonly name: string; readonly dim: number }

/** A number, transformed, less its mean, over its standard deviation: of running statistics where the two are null. */
export interface NumericSpec {
  readonly kind: 'numeric'
  readonly name: string
  readonly transform: 'none' | 'log1p'
  readonly mean: number | null
  readonly deviation: number | null
}

export interface TowerSpec {
  readonly features: readonly FeatureSpec[]
  readonly hidden: number
}

export interface ModelSpec {
  /** Width d of ID rows and of both output vectors. */
  readonly dim: number
  /** Cosines are divided by this before the softmax. */
  readonly temperature: number
  /** Of the computed feature `recentClicks`, see computed-features.ts; 24 by default. */
  readonly popularityHalfLifeHours?: number | undefined
  readonly user: TowerSpec
  readonly item: TowerSpec
}

export type Side = 'user' | 'item'

/** Width F of a tower's encoded features. A numeric feature takes two floats: the value, and 1 where it is missing. */
export function featureWidth(tower: TowerSpec): number {
  return tower.features.reduce((sum, feature) => sum + widthOf(feature), 0)
}

/** The features of a tower, with the place at which each one begins among the F. */
export function placesOf(
  tower: TowerSpec,
): readonly { readonly spec: FeatureSpec; readonly at: number }[] {
  let end = 0
  return tower.features.map((spec) => {
    const at = end
    end += widthOf(spec)
    return { spec, at }
  })
}

/** Floats that one feature takes among the encoded ones. */
export function widthOf(feature: FeatureSpec): number {
  return feature.kind === 'numeric' ? 2 : feature.dim
}

/**
 * Dense parameters of one tower, frozen online:
 *   x = [e ; f]                       e: ID row (d), f: encoded features (F)
 *   y = e + f P + relu(x W1 + b1) W2 + b2
 *   output = y / |y|
 * All matrices are row-major.
 */
export interface TowerParameters extends TrainedTower {
  /** Name of a numeric feature without a mean of its own -> its statistics, see running-statistics.ts. */
  readonly statistics: Readonly<Record<string, Float64Array>>
}

/** What gradients and moments have the shapes of. */
export interface TrainedTower {
  /** [F x d] */
  readonly projection: Float32Array
  /** [(d + F) x hidden] */
  readonly hiddenWeights: Float32Array
  /** [hidden] */
  readonly hiddenBias: Float32Array
  /** [hidden x d] */
  readonly outputWeights: Float32Array
  /** [d] */
  readonly outputBias: Float32Array
  /** Name of an embedded feature -> [rows x dim] embedding table, gathered (mean over values) outside the graph. */
  readonly embeddings: Readonly<Record<string, Float32Array>>
}

export interface DenseParameters {
  readonly user: TowerParameters
  readonly item: TowerParameters
}

export interface TrainedParameters {
  readonly user: TrainedTower
  readonly item: TrainedTower
}
