import type { StepInput, StepOutput, TensorEngine, TensorModel } from './engine.ts'
import { softmaxCrossEntropy } from './loss.ts'
import type { DenseParameters, ModelSpec, Side, TowerParameters } from './spec.ts'
import { featureWidth } from './spec.ts'

/** A vector shorter than this is divided by this instead of by its length. */
export const lengthMin = 1e-6

/** The tensor engine written out in plain loops and double precision: slow, and what the others are held against. */
export const oracleEngine: TensorEngine = {
  name: 'typescript',
  open: (model, dense) => Promise.resolve(oracleModel(model, dense)),
}

function oracleModel(model: ModelSpec, dense: DenseParameters): TensorModel {
  const user = new OracleTower(dense.user, model.dim, featureWidth(model.user), model.user.hidden)
  const item = new OracleTower(dense.item, model.dim, featureWidth(model.item), model.item.hidden)
  const towers: Record<Side, OracleTower> = { user, item }
  return {
    vectors: (side, rows, features, count) =>
      Promise.resolve(Float32Array.from(towers[side].forward(rows, features, count).vectors)),
    scores: (queries, queryCount, vectors, count) =>
      Promise.resolve(Float32Array.from(dot(queries, queryCount, vectors, count, model.dim))),
    step: (input) => Promise.resolve(step(model, user, item, input)),
    close: () => Promise.resolve(),
  }
}

function step(
  model: ModelSpec,
  user: OracleTower,
  item: OracleTower,
  input: StepInput,
): StepOutput {
  const { batch, negatives } = input
  const { dim, temperature } = model
  const users = user.forward(input.userRows, input.userFeatures, batch)
  const positives = item.forward(input.positiveRows, input.positiveFeatures, batch)
  const others = item.forward(input.negativeRows, input.negativeFeatures, negatives)
  const cosines = dot(users.vectors, batch, others.vectors, negatives, dim)
  const logits = new Float64Array(negatives + 1)
  const losses = new Float32Array(batch)
  const positiveScores = new Float32Array(batch)
  const userGradients = new Float64Array(batch * dim)
  const positiveGradients = new Float64Array(batch * dim)
  const negativeGradients = new Float64Array(negatives * dim)

  for (let b = 0; b < batch; b++) {
    const cosine = dotAt(users.vectors, b * dim, positives.vectors, b * dim, dim)
    logits[0] = cosine / temperature + input.positiveBias[b]!
    for (let m = 0; m < negatives; m++) {
      logits[m + 1] =
        cosines[b * negatives + m]! / temperature + input.negativeBias[b * negatives + m]!
    }
    const weight = input.weights[b]!
    losses[b] = weight * softmaxCrossEntropy(logits, 0, negatives + 1)
    positiveScores[b] = cosine
    const scale = weight / temperature
    addScaled(userGradients, b * dim, positives.vectors, b * dim, dim, scale * logits[0])
    addScaled(positiveGradients, b * dim, users.vectors, b * dim, dim, scale * logits[0])
    for (let m = 0; m < negatives; m++) {
      addScaled(userGradients, b * dim, others.vectors, m * dim, dim, scale * logits[m + 1]!)
      addScaled(negativeGradients, m * dim, users.vectors, b * dim, dim, scale * logits[m + 1]!)
    }
  }
  return {
    losses,
    positiveScores,
    userGradients: user.backward(users, userGradients, batch),
    positiveGradients: item.backward(positives, positiveGradients, batch),
    negativeGradients: item.backward(others, negativeGradients, negatives),
  }
}

interface Activations {
  /** [count x hidden], before relu */
  readonly hidden: Float64Array
  /** [count] */
  readonly lengths: Float64Array
  /** [count x d] */
  readonly vectors: Float64Array
}

class OracleTower {
  readonly #parameters: TowerParameters
  readonly #dim: number
  readonly #features: number
  readonly #hidden: number

  constructor(parameters: TowerParameters, dim: number, features: number, hidden: number) {
    this.#parameters = parameters
    this.#dim = dim
    this.#features = features
    this.#hidden = hidden
  }

  forward(rows: Float32Array, features: Float32Array, count: number): Activations {
    const { projection, hiddenWeights, hiddenBias, outputWeights, outputBias } = this.#parameters
    const dim = this.#dim
    const width = this.#features
    const hidden = new Float64Array(count * this.#hidden)
    const vectors = new Float64Array(count * dim)
    const lengths = new Float64Array(count)
    for (let n = 0; n < count; n++) {
      const h = n * this.#hidden
      const y = n * dim
      addScaled(hidden, h, hiddenBias, 0, this.#hidden, 1)
      addScaled(vectors, y, outputBias, 0, dim, 1)
      addScaled(vectors, y, rows, n * dim, dim, 1)
      for (let i = 0; i < dim; i++) {
        addScaled(hidden, h, hiddenWeights, i * this.#hidden, this.#hidden, rows[n * dim + i]!)
      }
      for (let i = 0; i < width; i++) {
        const value = features[n * width + i]!
        addScaled(vectors, y, projection, i * dim, dim, value)
        addScaled(hidden, h, hiddenWeights, (dim + i) * this.#hidden, this.#hidden, value)
      }
      for (let j = 0; j < this.#hidden; j++) {
        addScaled(vectors, y, outputWeights, j * dim, dim, Math.max(0, hidden[h + j]!))
      }
      lengths[n] = Math.max(lengthMin, Math.sqrt(dotAt(vectors, y, vectors, y, dim)))
      for (let i = 0; i < dim; i++) vectors[y + i]! /= lengths[n]!
    }
    return { hidden, lengths, vectors }
  }

  /** @param gradients of the loss by the vectors [count x d] @returns by the ID rows [count x d] */
  backward(forward: Activations, gradients: Float64Array, count: number): Float32Array {
    const { hiddenWeights, outputWeights } = this.#parameters
    const dim = this.#dim
    const byRow = new Float64Array(count * dim)
    const bySum = new Float64Array(dim)
    for (let n = 0; n < count; n++) {
      const along = dotAt(forward.vectors, n * dim, gradients, n * dim, dim)
      for (let i = 0; i < dim; i++) {
        const across = gradients[n * dim + i]! - along * forward.vectors[n * dim + i]!
        bySum[i] = across / forward.lengths[n]!
      }
      addScaled(byRow, n * dim, bySum, 0, dim, 1)
      for (let j = 0; j < this.#hidden; j++) {
        if (forward.hidden[n * this.#hidden + j]! <= 0) continue
        const byHidden = dotAt(outputWeights, j * dim, bySum, 0, dim)
        for (let i = 0; i < dim; i++) {
          byRow[n * dim + i]! += byHidden * hiddenWeights[i * this.#hidden + j]!
        }
      }
    }
    return Float32Array.from(byRow)
  }
}

type Floats = Float32Array | Float64Array

function dot(a: Floats, aCount: number, b: Floats, bCount: number, dim: number): Float64Array {
  const products = new Float64Array(aCount * bCount)
  for (let i = 0; i < aCount; i++) {
    for (let j = 0; j < bCount; j++) products[i * bCount + j] = dotAt(a, i * dim, b, j * dim, dim)
  }
  return products
}

function dotAt(a: Floats, aStart: number, b: Floats, bStart: number, dim: number): number {
  let sum = 0
  for (let i = 0; i < dim; i++) sum += a[aStart + i]! * b[bStart + i]!
  return sum
}

function addScaled(
  to: Float64Array,
  toStart: number,
  from: Floats,
  fromStart: number,
  count: number,
  scale: number,
): void {
  for (let i = 0; i < count; i++) to[toStart + i]! += scale * from[fromStart + i]!
}
