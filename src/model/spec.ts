/** What a model is made of. Towers have the form of `TowerParameters` below, or are graphs that are run as they are. */

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
  /** Widths of the hidden layers, one or more; none where the tower is opaque. */
  readonly hidden: readonly number[]
  /** There is a shortcut matrix also where o = d, as in a tower of other origin that passes over none of its layers. */
  readonly shortcut?: 'matrix' | undefined
  /** The tower is an ONNX graph of other origin, run as it is: its ID rows learn through a supplied gradient graph, or are frozen. */
  readonly opaque?: 'learning' | 'frozen' | undefined
}

export interface ModelSpec {
  /** Width d of ID rows. */
  readonly dim: number
  /** Width o of the vectors of both towers. */
  readonly outputDim: number
  /** Cosines are divided by this before the softmax. */
  readonly temperature: number
  /** Of the computed feature `recentClicks`, see computed-features.ts; 24 by default. */
  readonly popularityHalfLifeHours?: number | undefined
  readonly user: TowerSpec
  readonly item: TowerSpec
}

export type Side = 'user' | 'item'

export const sides: readonly Side[] = ['user', 'item']

/** Where one tower is opaque, nothing but ID rows trains. */
export function isOpaque(model: Pick<ModelSpec, Side>): boolean {
  return sides.some((side) => model[side].opaque !== undefined)
}

/** Those whose ID rows have no gradient. */
export function frozenSides(model: Pick<ModelSpec, Side>): Side[] {
  return sides.filter((side) => model[side].opaque === 'frozen')
}

/** Width F of a tower's encoded features. A numeric feature takes two floats: the value, and 1 where it is missing. */
export function featureWidth(tower: Pick<TowerSpec, 'features'>): number {
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

/** One hidden layer is one number where a person writes it, and in what was written before there could be several. */
export function layerWidths(hidden: number | readonly number[]): readonly number[] {
  return typeof hidden === 'number' ? [hidden] : hidden
}

export interface NamedShape {
  readonly name: string
  readonly shape: readonly number[]
}

/** Matrices and biases of one tower, in the order in which they are drawn and written; without features the projection has no rows. An opaque tower has none. */
export function towerTensors(model: ModelSpec, side: Side): NamedShape[] {
  const { dim, outputDim } = model
  const { hidden, shortcut, opaque } = model[side]
  if (opaque !== undefined) return []
  const width = featureWidth(model[side])
  const layers = hidden.flatMap((size, layer) => [
    { name: weightsOf(layer), shape: [layer === 0 ? dim + width : hidden[layer - 1]!, size] },
    { name: biasOf(layer), shape: [size] },
  ])
  return [
    { name: 'projection', shape: [width, outputDim] },
    ...layers,
    { name: 'output_weights', shape: [hidden.at(-1)!, outputDim] },
    { name: 'output_bias', shape: [outputDim] },
    ...(outputDim === dim && shortcut === undefined
      ? []
      : [{ name: 'shortcut', shape: [dim, outputDim] }]),
  ]
}

/** Those that a step gives gradients of: all but the projection of a tower without features. */
export function trainedTensors(model: ModelSpec, side: Side): NamedShape[] {
  return towerTensors(model, side).filter(({ shape }) => !shape.includes(0))
}

/** Name of the matrix into a hidden layer, counted from 0. */
export function weightsOf(layer: number): string {
  return layer === 0 ? 'hidden_weights' : `hidden_weights_${layer + 1}`
}

export function biasOf(layer: number): string {
  return layer === 0 ? 'hidden_bias' : `hidden_bias_${layer + 1}`
}

/**
 * Dense parameters of one tower, frozen online:
 *   h_0 = [e ; f]                      e: ID row (d), f: encoded features (F)
 *   h_l = relu(h_(l-1) W_l + b_l)      hidden_weights, hidden_bias; of layer 2 hidden_weights_2, hidden_bias_2, ...
 *   y = e S + f P + h_L W + b          shortcut, projection, output_weights, output_bias; S is the identity where o = d, unless `shortcut` says otherwise
 *   output = y / |y|
 * All matrices are row-major.
 */
export interface TowerParameters extends TrainedTower {
  /** Of an opaque tower. */
  readonly graphs?: TowerGraphs | undefined
  /** Name of a numeric feature without a mean of its own -> its statistics, see running-statistics.ts. */
  readonly statistics: Readonly<Record<string, Float64Array>>
}

/** ONNX files, in the place of matrices. */
export interface TowerGraphs {
  /** `rows` [n x d] and `features` [n x F], where there are any -> `vectors` [n x o] of length 1 */
  readonly forward: Uint8Array
  /** These and `vectors_gradient` [n x o] -> `rows_gradient` [n x d]; null: rows are frozen, or nothing here learns */
  readonly gradient: Uint8Array | null
}

/** What gradients and moments have the shapes of. */
export interface TrainedTower {
  /** Those of `towerTensors`, by name. */
  readonly tensors: Readonly<Record<string, Float32Array>>
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
