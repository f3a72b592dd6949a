import type { GraphBuilder } from './onnx-builder.ts'
import { integer } from './onnx-builder.ts'
import { lengthMin } from './oracle-tower.ts'
import type { ModelSpec, Side, TowerParameters } from './spec.ts'
import { featureWidth } from './spec.ts'

/** Parameters of a tower that the full step takes as inputs and gives gradients of, with their names in the graph. */
export const towerTensors = [
  'projection',
  'hiddenWeights',
  'hiddenBias',
  'outputWeights',
  'outputBias',
] as const

export function parameterName(side: Side, tensor: (typeof towerTensors)[number]): string {
  return `${side}.${tensor}`
}

export function gradientName(side: Side, tensor: (typeof towerTensors)[number]): string {
  return `${side}.${tensor}.gradient`
}

export interface TowerValues {
  /** [n x (d + F)] */
  readonly x: string
  /** [n x F]; null without features */
  readonly features: string | null
  readonly hidden: string
  readonly bent: string
  readonly lengths: string
  readonly vectors: string
}

interface Transposes {
  /** [d x hidden] */
  readonly output: string
  /** [hidden x d], of the part of the hidden weights that the ID row meets */
  readonly row: string
}

/** One tower's arithmetic (spec.ts); its parameters are written once, however often it is used. */
export class TowerBuilder {
  readonly #graph: GraphBuilder
  readonly #projection: string
  readonly #hiddenWeights: string
  readonly #hiddenBias: string
  readonly #outputWeights: string
  readonly #outputBias: string
  readonly #side: Side
  readonly #parameters: TowerParameters | null
  readonly #dim: number
  readonly #width: number
  readonly #hidden: number
  #transposes: Transposes | undefined

  /** @param parameters become constants; null: they are inputs, because they train */
  constructor(
    graph: GraphBuilder,
    side: Side,
    model: ModelSpec,
    parameters: TowerParameters | null,
  ) {
    const { dim } = model
    const { hidden } = model[side]
    const width = featureWidth(model[side])
    const place = (tensor: (typeof towerTensors)[number], shape: number[]): string =>
      parameters === null
        ? graph.input(parameterName(side, tensor), shape)
        : graph.constant(parameters[tensor], shape)
    this.#graph = graph
    this.#side = side
    this.#projection = width > 0 ? place('projection', [width, dim]) : ''
    this.#hiddenWeights = place('hiddenWeights', [dim + width, hidden])
    this.#hiddenBias = place('hiddenBias', [hidden])
    this.#outputWeights = place('outputWeights', [hidden, dim])
    this.#outputBias = place('outputBias', [dim])
    this.#parameters = parameters
    this.#dim = dim
    this.#width = width
    this.#hidden = hidden
  }

  forward(rows: string, features: string | null): TowerValues {
    const graph = this.#graph
    const x =
      features === null ? rows : graph.node('Concat', [rows, features], [integer('axis', 1)])
    const hidden = graph.add(graph.node('MatMul', [x, this.#hiddenWeights]), this.#hiddenBias)
    const bent = graph.node('Relu', [hidden])
    const byHidden = graph.node('MatMul', [bent, this.#outputWeights])
    const direct =
      features === null ? rows : graph.add(rows, graph.node('MatMul', [features, this.#projection]))
    const y = graph.add(graph.add(direct, byHidden), this.#outputBias)
    const length = graph.node('Sqrt', [graph.rowSum(graph.mul(y, y))])
    const lengths = graph.node('Max', [length, graph.scalar(lengthMin)])
    return { x, features, hidden, bent, lengths, vectors: graph.node('Div', [y, lengths]) }
  }

  /** Gradient by the ID rows, given the one by the vectors. */
  backward(forward: TowerValues, gradients: string): string {
    const graph = this.#graph
    const transposes = (this.#transposes ??= this.#transpose(this.#parameters!))
    const bySum = this.#bySum(forward, gradients)
    const byRelu = graph.node('MatMul', [bySum, transposes.output])
    const byHidden = this.#byHidden(forward, byRelu)
    return graph.add(bySum, graph.node('MatMul', [byHidden, transposes.row]))
  }

  /** Gradients by rows, features and parameters, given the one by the vectors: outputs `<prefix>RowGradients` and so on. */
  fullBackward(forward: TowerValues, gradients: string, prefix: string, count: string): void {
    const graph = this.#graph
    const [dim, width] = [this.#dim, this.#width]
    const bySum = this.#bySum(forward, gradients)
    const byRelu = graph.node('Gemm', [bySum, this.#outputWeights], [integer('transB', 1)])
    const byHidden = this.#byHidden(forward, byRelu)
    const byX = graph.node('Gemm', [byHidden, this.#hiddenWeights], [integer('transB', 1)])
    const byRows = graph.add(bySum, width === 0 ? byX : graph.columns(byX, 0, dim))
    graph.output(`${prefix}RowGradients`, byRows, [count, dim])
    const parameters: [(typeof towerTensors)[number], string, number[]][] = [
      ['hiddenWeights', graph.product(forward.x, byHidden), [dim + width, this.#hidden]],
      ['hiddenBias', graph.columnSum(byHidden), [this.#hidden]],
      ['outputWeights', graph.product(forward.bent, bySum), [this.#hidden, dim]],
      ['outputBias', graph.columnSum(bySum), [dim]],
    ]
    if (forward.features !== null) {
      const direct = graph.node('Gemm', [bySum, this.#projection], [integer('transB', 1)])
      const byFeatures = graph.add(direct, graph.columns(byX, dim, dim + width))
      graph.output(`${prefix}FeatureGradients`, byFeatures, [count, width])
      parameters.push(['projection', graph.product(forward.features, bySum), [width, dim]])
    }
    for (const [tensor, value, shape] of parameters) {
      graph.output(gradientName(this.#side, tensor), value, shape)
    }
  }

  /** Through the normalisation. */
  #bySum({ vectors, lengths }: TowerValues, gradients: string): string {
    const graph = this.#graph
    const along = graph.mul(vectors, graph.rowSum(graph.mul(gradients, vectors)))
    return graph.node('Div', [graph.sub(gradients, along), lengths])
  }

  #byHidden({ hidden }: TowerValues, byRelu: string): string {
    const graph = this.#graph
    const isActive = graph.node('Greater', [hidden, graph.scalar(0)])
    return graph.node('Where', [isActive, byRelu, graph.scalar(0)])
  }

  #transpose({ hiddenWeights, outputWeights }: TowerParameters): Transposes {
    const dim = this.#dim
    const hidden = this.#hidden
    const rowWeights = hiddenWeights.subarray(0, dim * hidden)
    return {
      output: this.#graph.constant(transposed(outputWeights, hidden, dim), [dim, hidden]),
      row: this.#graph.constant(transposed(rowWeights, dim, hidden), [hidden, dim]),
    }
  }
}

/** [rows x columns] -> [columns x rows] */
function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(rows * columns)
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) result[c * rows + r] = matrix[r * columns + c]!
  }
  return result
}
