import type { Loss } from './loss.ts'
import type { DenseParameters, ModelSpec, Side, TrainedParameters } from './spec.ts'

/**
 * One tensor engine: forward of a tower, and gradients of one step. Optimisers, gather and scatter are outside, in typed
 * arrays. `onnx` and `tfjs` live in runtime/engines, the plain TypeScript oracle in model/oracle.ts; all pass
 * test/support/engine-conformance.ts. The dense parameters are constants here: this is the incremental mode. Opaque towers are onnxruntime's with every
 * engine but the oracle, which runs none.
 */
export interface TensorEngine {
  readonly name: string
  open(model: ModelSpec, dense: DenseParameters): Promise<TensorModel>
  /**
   * The full mode: everything trains. `dense` is read anew at every step, so its arrays are changed in place. Where a tower is opaque, ID rows train, and
   * no other gradients are given.
   */
  openFull(model: ModelSpec, dense: DenseParameters): Promise<FullTensorModel>
}

export interface FullTensorModel {
  step(input: FullStepInput): Promise<FullStepOutput>
  close(): Promise<void>
}

/**
 * Step over candidates that are items of the batch and sampled ones, each once: for each of B examples the loss of its own among N items,
 *   logit = cosine / temperature + (item is the example's own ? positiveBias[b] : itemBias[n])
 */
export interface FullStepInput {
  readonly loss: Loss
  readonly batch: number
  readonly items: number
  /** [B x d] */
  readonly userRows: Float32Array
  /** [B x F_user] */
  readonly userFeatures: Float32Array
  /** [N x d] */
  readonly itemRows: Float32Array
  /** [N x F_item] */
  readonly itemFeatures: Float32Array
  /** [B] place of the example's own item among the N */
  readonly targets: Int32Array
  /** [B] */
  readonly positiveBias: Float32Array
  /** [N] */
  readonly itemBias: Float32Array
  /** [N], not for `listwise`: as another one than the own item n weighs rowWeights[b] * itemWeights[n] */
  readonly itemWeights: Float32Array
  /** [B], likewise */
  readonly rowWeights: Float32Array
  /** [B] of the examples */
  readonly weights: Float32Array
}

/** Gradients of the SUM of the losses. The same input gives the same bytes. */
export interface FullStepOutput {
  /** [B], each already multiplied by its weight. */
  readonly losses: Float32Array
  /** [B x o] of length 1, before the update */
  readonly userVectors: Float32Array
  /** [N x o] of length 1, before the update */
  readonly itemVectors: Float32Array
  /** [B x d] */
  readonly userRowGradients: Float32Array
  /** [B x F_user] */
  readonly userFeatureGradients: Float32Array
  /** [N x d] */
  readonly itemRowGradients: Float32Array
  /** [N x F_item] */
  readonly itemFeatureGradients: Float32Array
  /** In the shapes of the parameters; without embeddings, whose gradients follow from those of the features. */
  readonly dense: TrainedParameters
}

export interface TensorModel {
  /**
   * Bit-equal for any cut into batches, down to one row: a pod computes what the learner computed.
   * @param rows ID rows [count x d]
   * @param features encoded features [count x F] of that side
   * @returns L2-normalised vectors [count x o]; a fresh array
   */
  vectors(
    side: Side,
    rows: Float32Array,
    features: Float32Array,
    count: number,
  ): Promise<Float32Array>
  /**
   * Dot products, for ranking many users against all items.
   * @param queries [queryCount x o]
   * @param vectors [count x o]
   * @returns [queryCount x count]; a fresh array
   */
  scores(
    queries: Float32Array,
    queryCount: number,
    vectors: Float32Array,
    count: number,
  ): Promise<Float32Array>
  step(input: StepInput): Promise<StepOutput>
  close(): Promise<void>
}

/**
 * Step with sampled negatives: for each of B examples the loss of its own positive among M shared negatives,
 *   logit = cosine / temperature + bias
 * where bias is -log(expected count) (logQ correction), and -1e9 for a negative that is the example's own positive.
 */
export interface StepInput {
  readonly loss: Loss
  readonly batch: number
  readonly negatives: number
  /** [B x d] */
  readonly userRows: Float32Array
  /** [B x F_user] */
  readonly userFeatures: Float32Array
  /** [B x d] */
  readonly positiveRows: Float32Array
  /** [B x F_item] */
  readonly positiveFeatures: Float32Array
  /** [M x d] */
  readonly negativeRows: Float32Array
  /** [M x F_item] */
  readonly negativeFeatures: Float32Array
  /** [B] */
  readonly positiveBias: Float32Array
  /** [B x M] */
  readonly negativeBias: Float32Array
  /** [B x M], not for `listwise` */
  readonly negativeWeights: Float32Array
  /** [B] */
  readonly weights: Float32Array
}

/**
 * Gradients of the SUM of the losses with respect to the ID rows, zeros for those of a frozen side. The same input gives the same bytes. What belongs to one example
 * is with `listwise` also bit-equal for any cut into batches of two or more; a batch of one may differ in the last bit (matrix times vector).
 * `tfjs` keeps it to 1e-5 for any cut.
 */
export interface StepOutput {
  /** [B], each already multiplied by its weight. */
  readonly losses: Float32Array
  /** Cosine of user and positive [B], before the update. */
  readonly positiveScores: Float32Array
  /** [B x d] */
  readonly userGradients: Float32Array
  /** [B x d] */
  readonly positiveGradients: Float32Array
  /** [M x d] */
  readonly negativeGradients: Float32Array
}
