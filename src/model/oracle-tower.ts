import { FreshetError } from '../errors.ts'
import { dotAt, type Floats } from './dot.ts'
import type { ModelSpec, NamedShape, Side, TowerParameters, TrainedTower } from './spec.ts'
import { biasOf, featureWidth, trainedTensors, weightsOf } from './spec.ts'

/** A vector shorter than this is divided by this instead of by its length. */
export const lengthMin = 1e-6

export interface Activations {
  /** h_0 to h_L, each [count x width] */
  readonly layers: readonly Float64Array[]
  /** [count] */
  readonly lengths: Float64Array
  /** [count x o] */
  readonly vectors: Float64Array
}

/** One tower in plain loops and double precision. */
export class OracleTower {
  readonly #tensors: TowerParameters['tensors']
  readonly #trained: readonly NamedShape[]
  readonly #dim: number
  readonly #outputDim: number
  readonly #features: number
  /** Widths of h_0 to h_L. */
  readonly #widths: readonly number[]

  /** @throws FreshetError CONFIG_INVALID for an opaque tower */
  constructor(model: ModelSpec, side: Side, { tensors }: TowerParameters) {
    if (model[side].opaque !== undefined) {
      throw new FreshetError(
        'CONFIG_INVALID',
        `the ${side} tower is an ONNX graph of its own, which model.engine: typescript cannot run: choose onnx`,
      )
    }
    this.#tensors = tensors
    this.#trained = trainedTensors(model, side)
    this.#dim = model.dim
    this.#outputDim = model.outputDim
    this.#features = featureWidth(model[side])
    this.#widths = [this.#dim + this.#features, ...model[side].hidden]
  }

  forward(rows: Float32Array, features: Float32Array, count: number): Activations {
    const [dim, width, outputDim] = [this.#dim, this.#features, this.#outputDim]
    const layers = this.#layers(rows, features, count)
    const last = this.#widths.at(-1)!
    const bias = this.#tensor('output_bias')
    const shortcut = this.#tensors['shortcut']
    const vectors = new Float64Array(count * outputDim)
    const lengths = new Float64Array(count)
    for (let n = 0; n < count; n++) {
      const y = vectors.subarray(n * outputDim, (n + 1) * outputDim)
      addScaled(y, 0, bias, 0, outputDim, 1)
      if (shortcut === undefined) addScaled(y, 0, rows, n * dim, dim, 1)
      else addProduct(y, rows, n * dim, dim, shortcut)
      addProduct(y, features, n * width, width, this.#tensor('projection'))
      addProduct(y, layers.at(-1)!, n * last, last, this.#tensor('output_weights'))
      lengths[n] = Math.max(lengthMin, Math.sqrt(dotAt(y, 0, y, 0, outputDim)))
      for (let i = 0; i < outputDim; i++) y[i]! /= lengths[n]!
    }
    return { layers, lengths, vectors }
  }

  /** @param gradients of the loss by the vectors [count x o] @returns by the ID rows [count x d] */
  backward(forward: Activations, gradients: Float64Array, count: number): Float32Array {
    const weights = this.#tensor(weightsOf(0))
    const dim = this.#dim
    const byRow = new Float64Array(count * dim)
    for (let n = 0; n < count; n++) {
      const bySum = this.#throughLength(forward, gradients, n)
      const [byFirst] = this.#throughLayers(forward, bySum, n)
      this.#addThroughShortcut(byRow, n, bySum)
      byFirst!.forEach((byHidden, j) => {
        if (byHidden === 0) return
        for (let i = 0; i < dim; i++) {
          byRow[n * dim + i]! += byHidden * weights[i * byFirst!.length + j]!
        }
      })
    }
    return Float32Array.from(byRow)
  }

  /** The same down to features and parameters. */
  fullBackward(forward: Activations, gradients: Float64Array, count: number): FullGradients {
    const weights = this.#tensor(weightsOf(0))
    const projection = this.#tensor('projection')
    const [dim, width, outputDim] = [this.#dim, this.#features, this.#outputDim]
    const byRow = new Float64Array(count * dim)
    const byFeature = new Float64Array(count * width)
    const by = new Map(
      this.#trained.map(({ name }) => [name, new Float64Array(this.#tensor(name).length)]),
    )
    for (let n = 0; n < count; n++) {
      const bySum = this.#throughLength(forward, gradients, n)
      const byLayers = this.#throughLayers(forward, bySum, n)
      const byFirst = byLayers[0]!
      const first = byFirst.length
      this.#addParameterGradients(by, forward, byLayers, bySum, n)
      this.#addThroughShortcut(byRow, n, bySum)
      for (let i = 0; i < dim; i++) {
        byRow[n * dim + i]! += dotAt(weights, i * first, byFirst, 0, first)
      }
      for (let i = 0; i < width; i++) {
        byFeature[n * width + i] =
          dotAt(weights, (dim + i) * first, byFirst, 0, first) +
          dotAt(projection, i * outputDim, bySum, 0, outputDim)
      }
    }
    const tensors = [...by].map(([name, sums]) => [name, Float32Array.from(sums)] as const)
    return {
      rows: Float32Array.from(byRow),
      features: Float32Array.from(byFeature),
      parameters: { tensors: Object.fromEntries(tensors), embeddings: {} },
    }
  }

  #tensor(name: string): Float32Array {
    return this.#tensors[name]!
  }

  #layers(rows: Float32Array, features: Float32Array, count: number): Float64Array[] {
    const [dim, width] = [this.#dim, this.#features]
    const x = new Float64Array(count * (dim + width))
    for (let n = 0; n < count; n++) {
      addScaled(x, n * (dim + width), rows, n * dim, dim, 1)
      addScaled(x, n * (dim + width) + dim, features, n * width, width, 1)
    }
    const layers = [x]
    for (let layer = 0; layer + 1 < this.#widths.length; layer++) {
      const [from, to] = [this.#widths[layer]!, this.#widths[layer + 1]!]
      const values = new Float64Array(count * to)
      for (let n = 0; n < count; n++) {
        const h = values.subarray(n * to, (n + 1) * to)
        addScaled(h, 0, this.#tensor(biasOf(layer)), 0, to, 1)
        addProduct(h, layers[layer]!, n * from, from, this.#tensor(weightsOf(layer)))
        for (let j = 0; j < to; j++) h[j] = Math.max(0, h[j]!)
      }
      layers.push(values)
    }
    return layers
  }

  /** Gradient [o] of example `n` by the sum that is normalised into its vector. */
  #throughLength(
    { vectors, lengths }: Activations,
    gradients: Float64Array,
    n: number,
  ): Float64Array {
    const size = this.#outputDim
    const at = n * size
    const along = dotAt(vectors, at, gradients, at, size)
    const out = new Float64Array(size)
    for (let i = 0; i < size; i++) {
      out[i] = (gradients[at + i]! - along * vectors[at + i]!) / lengths[n]!
    }
    return out
  }

  /** Gradients of example `n` by what goes into the relu of each hidden layer, the first one first. */
  #throughLayers({ layers }: Activations, bySum: Float64Array, n: number): Float64Array[] {
    const byLayers: Float64Array[] = []
    let [weights, above] = [this.#tensor('output_weights'), bySum]
    for (let layer = layers.length - 1; layer > 0; layer--) {
      const width = this.#widths[layer]!
      const by = new Float64Array(width)
      for (let j = 0; j < width; j++) {
        const isActive = layers[layer]![n * width + j]! > 0
        by[j] = isActive ? dotAt(weights, j * above.length, above, 0, above.length) : 0
      }
      byLayers.unshift(by)
      ;[weights, above] = [this.#tensor(weightsOf(layer - 1)), by]
    }
    return byLayers
  }

  /** Adds the gradient of example `n` by its ID row, on the way past the hidden layers. */
  #addThroughShortcut(byRow: Float64Array, n: number, bySum: Float64Array): void {
    const dim = this.#dim
    const shortcut = this.#tensors['shortcut']
    if (shortcut === undefined) addScaled(byRow, n * dim, bySum, 0, dim, 1)
    else {
      for (let i = 0; i < dim; i++) {
        byRow[n * dim + i]! += dotAt(shortcut, i * bySum.length, bySum, 0, bySum.length)
      }
    }
  }

  #addParameterGradients(
    by: ReadonlyMap<string, Float64Array>,
    { layers }: Activations,
    byLayers: readonly Float64Array[],
    bySum: Float64Array,
    n: number,
  ): void {
    const [dim, x] = [this.#dim, n * this.#widths[0]!]
    byLayers.forEach((byLayer, layer) => {
      const width = this.#widths[layer]!
      addScaled(by.get(biasOf(layer))!, 0, byLayer, 0, byLayer.length, 1)
      addOuter(by.get(weightsOf(layer))!, layers[layer]!, n * width, width, byLayer)
    })
    const last = this.#widths.at(-1)!
    addScaled(by.get('output_bias')!, 0, bySum, 0, bySum.length, 1)
    addOuter(by.get('output_weights')!, layers.at(-1)!, n * last, last, bySum)
    const [shortcut, projection] = [by.get('shortcut'), by.get('projection')]
    if (shortcut !== undefined) addOuter(shortcut, layers[0]!, x, dim, bySum)
    if (projection !== undefined) {
      addOuter(projection, layers[0]!, x + dim, this.#features, bySum)
    }
  }
}

/** Adds values [count] times a matrix [count x to]. */
function addProduct(
  to: Float64Array,
  values: Floats,
  start: number,
  count: number,
  matrix: Float32Array,
): void {
  for (let i = 0; i < count; i++) {
    addScaled(to, 0, matrix, i * to.length, to.length, values[start + i]!)
  }
}

/** Adds the outer product of values [count] and `by` to a matrix [count x by]. */
function addOuter(
  matrix: Float64Array,
  values: Float64Array,
  start: number,
  count: number,
  by: Float64Array,
): void {
  for (let i = 0; i < count; i++) {
    addScaled(matrix, i * by.length, by, 0, by.length, values[start + i]!)
  }
}

export interface FullGradients {
  /** [count x d] */
  readonly rows: Float32Array
  /** [count x F] */
  readonly features: Float32Array
  readonly parameters: TrainedTower
}

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
