import type { TowerParameters, TrainedTower } from './spec.ts'

/** A vector shorter than this is divided by this instead of by its length. */
export const lengthMin = 1e-6

export interface Activations {
  /** [count x hidden], before relu */
  readonly hidden: Float64Array
  /** [count] */
  readonly lengths: Float64Array
  /** [count x d] */
  readonly vectors: Float64Array
}

/** One tower in plain loops and double precision. */
export class OracleTower {
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
      this.#throughLength(forward, gradients, n, bySum)
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

  /** The same down to features and parameters. @param rows and `features` as they went into `forward` */
  fullBackward(
    forward: Activations,
    gradients: Float64Array,
    rows: Float32Array,
    features: Float32Array,
    count: number,
  ): FullGradients {
    const { projection, hiddenWeights, outputWeights } = this.#parameters
    const [dim, width, hidden] = [this.#dim, this.#features, this.#hidden]
    const byRow = new Float64Array(count * dim)
    const byFeature = new Float64Array(count * width)
    const by = {
      projection: new Float64Array(width * dim),
      hiddenWeights: new Float64Array((dim + width) * hidden),
      hiddenBias: new Float64Array(hidden),
      outputWeights: new Float64Array(hidden * dim),
      outputBias: new Float64Array(dim),
    }
    const bySum = new Float64Array(dim)
    const byHidden = new Float64Array(hidden)
    for (let n = 0; n < count; n++) {
      this.#throughLength(forward, gradients, n, bySum)
      addScaled(by.outputBias, 0, bySum, 0, dim, 1)
      addScaled(byRow, n * dim, bySum, 0, dim, 1)
      for (let j = 0; j < hidden; j++) {
        const value = forward.hidden[n * hidden + j]!
        byHidden[j] = value > 0 ? dotAt(outputWeights, j * dim, bySum, 0, dim) : 0
        if (value > 0) addScaled(by.outputWeights, j * dim, bySum, 0, dim, value)
      }
      addScaled(by.hiddenBias, 0, byHidden, 0, hidden, 1)
      for (let i = 0; i < dim; i++) {
        byRow[n * dim + i]! += dotAt(hiddenWeights, i * hidden, byHidden, 0, hidden)
        addScaled(by.hiddenWeights, i * hidden, byHidden, 0, hidden, rows[n * dim + i]!)
      }
      for (let i = 0; i < width; i++) {
        const x = (dim + i) * hidden
        const feature = features[n * width + i]!
        byFeature[n * width + i] =
          dotAt(hiddenWeights, x, byHidden, 0, hidden) + dotAt(projection, i * dim, bySum, 0, dim)
        addScaled(by.hiddenWeights, x, byHidden, 0, hidden, feature)
        addScaled(by.projection, i * dim, bySum, 0, dim, feature)
      }
    }
    return {
      rows: Float32Array.from(byRow),
      features: Float32Array.from(byFeature),
      parameters: {
        projection: Float32Array.from(by.projection),
        hiddenWeights: Float32Array.from(by.hiddenWeights),
        hiddenBias: Float32Array.from(by.hiddenBias),
        outputWeights: Float32Array.from(by.outputWeights),
        outputBias: Float32Array.from(by.outputBias),
        embeddings: {},
      },
    }
  }

  /** Gradient of example `n` by the sum that is normalised into its vector. */
  #throughLength(
    { vectors, lengths }: Activations,
    gradients: Float64Array,
    n: number,
    out: Float64Array,
  ): void {
    const at = n * this.#dim
    const along = dotAt(vectors, at, gradients, at, this.#dim)
    for (let i = 0; i < this.#dim; i++) {
      out[i] = (gradients[at + i]! - along * vectors[at + i]!) / lengths[n]!
    }
  }
}

export interface FullGradients {
  /** [count x d] */
  readonly rows: Float32Array
  /** [count x F] */
  readonly features: Float32Array
  readonly parameters: TrainedTower
}

export type Floats = Float32Array | Float64Array

export function dot(
  a: Floats,
  aCount: number,
  b: Floats,
  bCount: number,
  dim: number,
): Float64Array {
  const products = new Float64Array(aCount * bCount)
  for (let i = 0; i < aCount; i++) {
    for (let j = 0; j < bCount; j++) products[i * bCount + j] = dotAt(a, i * dim, b, j * dim, dim)
  }
  return products
}

export function dotAt(a: Floats, aStart: number, b: Floats, bStart: number, dim: number): number {
  let sum = 0
  for (let i = 0; i < dim; i++) sum += a[aStart + i]! * b[bStart + i]!
  return sum
}

export function addScaled(
  to: Float64Array,
  toStart: number,
  from: Floats,
  fromStart: number,
  count: number,
  scale: number,
): void {
  for (let i = 0; i < count; i++) to[toStart + i]! += scale * from[fromStart + i]!
}
