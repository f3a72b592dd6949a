import type { GraphBuilder } from './onnx-builder.ts'
import { integer } from './onnx-builder.ts'
import { lengthMin } from './oracle-tower.ts'
import type { ModelSpec, Side, TowerParameters } from './spec.ts'
import { biasOf, featureWidth, trainedTensors, weightsOf } from './spec.ts'

/** Names in the graph of the full step, which takes parameters as inputs and gives gradients of them. */
export function parameterName(side: Side, tensor: string): string {
  return `${side}.${tensor}`
}

export function gradientName(side: Side, tensor: string): string {
  return `${side}.${tensor}.gradient`
}

export interface TowerValues {
  /** [n x d] */
  readonly rows: string
  /** [n x F]; null without features */
  readonly features: string | null
  /** What goes into each hidden layer, and last what comes out of them: h_0 to h_L. */
  readonly layers: readonly string[]
  /** Of each hidden layer, before relu. */
  readonly hidden: readonly string[]
  readonly lengths: string
  /** [n x o] */
  readonly vectors: string
}

/** One tower's arithmetic (spec.ts); its parameters are written once, however often it is used. */
export class TowerBuilder {
  readonly #graph: GraphBuilder
  readonly #side: Side
  readonly #model: ModelSpec
  readonly #width: number
  readonly #parameters: TowerParameters | null
  /** Names in the graph by names of tensors. */
  readonly #placed: ReadonlyMap<string, string>
  readonly #transposed = new Map<string, string>()

  /** @param parameters become constants; null: they are inputs, because they train */
  constructor(
    graph: GraphBuilder,
    side: Side,
    model: ModelSpec,
    parameters: TowerParameters | null,
  ) {
    this.#graph = graph
    this.#side = side
    this.#model = model
    this.#width = featureWidth(model[side])
    this.#parameters = parameters
    this.#placed = new Map(
      trainedTensors(model, side).map(({ name, shape }) => [
        name,
        parameters === null
          ? graph.input(parameterName(side, name), shape)
          : graph.constant(parameters.tensors[name]!, shape),
      ]),
    )
  }

  forward(rows: string, features: string | null): TowerValues {
    const graph = this.#graph
    const x =
      features === null ? rows : graph.node('Concat', [rows, features], [integer('axis', 1)])
    const layers = [x]
    const hidden = this.#model[this.#side].hidden.map((_, layer) => {
      const product = graph.node('MatMul', [layers[layer]!, this.#tensor(weightsOf(layer))])
      const sum = graph.add(product, this.#tensor(biasOf(layer)))
      layers.push(graph.node('Relu', [sum]))
      return sum
    })
    const byHidden = graph.node('MatMul', [layers.at(-1)!, this.#tensor('output_weights')])
    const own = this.#hasShortcut ? graph.node('MatMul', [rows, this.#tensor('shortcut')]) : rows
    const direct =
      features === null
        ? own
        : graph.add(own, graph.node('MatMul', [features, this.#tensor('projection')]))
    const y = graph.add(graph.add(direct, byHidden), this.#tensor('output_bias'))
    const length = graph.node('Sqrt', [graph.rowSum(graph.mul(y, y), this.#model.outputDim)])
    const lengths = graph.node('Max', [length, graph.scalar(lengthMin)])
    const vectors = graph.node('Div', [y, lengths])
    return { rows, features, layers, hidden, lengths, vectors }
  }

  /** Gradient by the ID rows, given the one by the vectors. */
  backward(forward: TowerValues, gradients: string): string {
    const graph = this.#graph
    const times = (value: string, tensor: string): string =>
      graph.node('MatMul', [value, this.#transpose(tensor)])
    const bySum = this.#bySum(forward, gradients)
    const [byFirst] = this.#byLayers(forward, bySum, times)
    const byRows = this.#hasShortcut ? times(bySum, 'shortcut') : bySum
    return graph.add(byRows, times(byFirst!, weightsOf(0)))
  }

  /** Gradients by rows, features and parameters, given the one by the vectors: outputs `<prefix>RowGradients` and so on. */
  fullBackward(forward: TowerValues, gradients: string, prefix: string, count: string): void {
    const graph = this.#graph
    const { dim } = this.#model
    const width = this.#width
    const times = (value: string, tensor: string): string =>
      graph.node('Gemm', [value, this.#tensor(tensor)], [integer('transB', 1)])
    const bySum = this.#bySum(forward, gradients)
    const byLayers = this.#byLayers(forward, bySum, times)
    const byX = times(byLayers[0]!, weightsOf(0))
    const byRows = this.#hasShortcut ? times(bySum, 'shortcut') : bySum
    const byFirst = width === 0 ? byX : graph.columns(byX, 0, dim)
    graph.output(`${prefix}RowGradients`, graph.add(byRows, byFirst), [count, dim])
    if (forward.features !== null) {
      const byFeatures = graph.add(times(bySum, 'projection'), graph.columns(byX, dim, dim + width))
      graph.output(`${prefix}FeatureGradients`, byFeatures, [count, width])
    }
    const gradientsOf = this.#parameterGradients(forward, byLayers, bySum)
    for (const { name, shape } of trainedTensors(this.#model, this.#side)) {
      graph.output(gradientName(this.#side, name), gradientsOf.get(name)!, shape)
    }
  }

  #tensor(name: string): string {
    return this.#placed.get(name)!
  }

  get #hasShortcut(): boolean {
    return this.#placed.has('shortcut')
  }

  /** Through the normalisation. */
  #bySum({ vectors, lengths }: TowerValues, gradients: string): string {
    const graph = this.#graph
    const dots = graph.rowSum(graph.mul(gradients, vectors), this.#model.outputDim)
    const along = graph.mul(vectors, dots)
    return graph.node('Div', [graph.sub(gradients, along), lengths])
  }

  /**
   * Gradients by what goes into the relu of each hidden layer, the first one first.
   * @param times multiplies by the transpose of a tensor
   */
  #byLayers(
    { hidden }: TowerValues,
    bySum: string,
    times: (value: string, tensor: string) => string,
  ): string[] {
    const graph = this.#graph
    const byLayers: string[] = []
    let byRelu = times(bySum, 'output_weights')
    for (let layer = hidden.length - 1; layer >= 0; layer--) {
      const isActive = graph.node('Greater', [hidden[layer]!, graph.scalar(0)])
      const byLayer = graph.node('Where', [isActive, byRelu, graph.scalar(0)])
      byLayers.unshift(byLayer)
      if (layer > 0) byRelu = times(byLayer, weightsOf(layer))
    }
    return byLayers
  }

  #parameterGradients(
    { rows, features, layers }: TowerValues,
    byLayers: readonly string[],
    bySum: string,
  ): Map<string, string> {
    const graph = this.#graph
    const gradients = new Map([
      ['output_weights', graph.product(layers.at(-1)!, bySum)],
      ['output_bias', graph.columnSum(bySum)],
    ])
    byLayers.forEach((byLayer, layer) => {
      gradients.set(weightsOf(layer), graph.product(layers[layer]!, byLayer))
      gradients.set(biasOf(layer), graph.columnSum(byLayer))
    })
    if (this.#hasShortcut) gradients.set('shortcut', graph.product(rows, bySum))
    if (features !== null) gradients.set('projection', graph.product(features, bySum))
    return gradients
  }

  /** A constant, written once; of the matrix that meets x the part that meets the ID row. */
  #transpose(name: string): string {
    const known = this.#transposed.get(name)
    if (known !== undefined) return known
    const { shape } = trainedTensors(this.#model, this.#side).find((each) => each.name === name)!
    const rows = name === weightsOf(0) ? this.#model.dim : shape[0]!
    const columns = shape[1]!
    const matrix = this.#parameters!.tensors[name]!.subarray(0, rows * columns)
    const constant = this.#graph.constant(transposed(matrix, rows, columns), [columns, rows])
    this.#transposed.set(name, constant)
    return constant
  }
}

/** [rows x columns] -> [columns x rows] */
export function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(rows * columns)
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) result[c * rows + r] = matrix[r * columns + c]!
  }
  return result
}
