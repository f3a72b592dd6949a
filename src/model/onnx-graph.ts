import type { onnx } from 'onnx-proto'
// A CommonJS module whose names Node cannot see: only its default export can be imported.
import onnxProto from 'onnx-proto'
import { lengthMin } from './oracle.ts'
import type { DenseParameters, ModelSpec, Side, TowerParameters } from './spec.ts'
import { featureWidth } from './spec.ts'

/** `ir_version` 9 and opset 17: what onnxruntime 1.22 and later run, with all the operators used here. */
const irVersion = 9
const opset = 17

/** Names of the step's inputs and outputs are those of StepInput and StepOutput. */
export const stepOutputs = [
  'losses',
  'positiveScores',
  'userGradients',
  'positiveGradients',
  'negativeGradients',
] as const

/** Tower forward: `rows` [n x d] and, if the side has any, `features` [n x F] -> `vectors` [n x d], of length 1. */
export function towerGraph(model: ModelSpec, dense: DenseParameters, side: Side): Uint8Array {
  const graph = new GraphBuilder()
  const tower = new TowerBuilder(graph, side, model, dense[side])
  const rows = graph.input('rows', ['n', model.dim])
  const width = featureWidth(model[side])
  const features = width > 0 ? graph.input('features', ['n', width]) : null
  graph.output('vectors', tower.forward(rows, features).vectors, ['n', model.dim])
  return graph.encode(`${side}-tower`)
}

/** `queries` [q x d], `vectors` [n x d] -> `scores` [q x n] = queries vectorsᵀ. */
export function scoresGraph(dim: number): Uint8Array {
  const graph = new GraphBuilder()
  const queries = graph.input('queries', ['q', dim])
  const vectors = graph.input('vectors', ['n', dim])
  graph.output('scores', graph.node('Gemm', [queries, vectors], [integer('transB', 1)]), ['q', 'n'])
  return graph.encode('scores')
}

/**
 * The listwise step of engine.ts with its backward pass written out as plain nodes, down to the ID rows; the dense parameters are
 * constants. With p the softmax over [positive, negatives], the gradient by a cosine is weight / temperature * (p - is positive).
 */
export function stepGraph(model: ModelSpec, dense: DenseParameters): Uint8Array {
  const graph = new GraphBuilder()
  const user = new TowerBuilder(graph, 'user', model, dense.user)
  const item = new TowerBuilder(graph, 'item', model, dense.item)
  const users = user.forward(...towerInputs(graph, model, 'user', 'user', 'B'))
  const positives = item.forward(...towerInputs(graph, model, 'item', 'positive', 'B'))
  const negatives = item.forward(...towerInputs(graph, model, 'item', 'negative', 'M'))
  const positiveBias = graph.input('positiveBias', ['B', 1])
  const negativeBias = graph.input('negativeBias', ['B', 'M'])
  const weights = graph.input('weights', ['B', 1])

  const sharpness = graph.scalar(1 / model.temperature)
  const positiveCosine = graph.rowSum(graph.mul(users.vectors, positives.vectors))
  const negativeCosine = graph.node(
    'Gemm',
    [users.vectors, negatives.vectors],
    [integer('transB', 1)],
  )
  const logits = graph.node(
    'Concat',
    [
      graph.add(graph.mul(positiveCosine, sharpness), positiveBias),
      graph.add(graph.mul(negativeCosine, sharpness), negativeBias),
    ],
    [integer('axis', 1)],
  )
  // Row-wise operators, not Exp and Div: those work on the whole buffer in lanes, and then a row's last bit depends on its place.
  const [positiveLog] = graph.split(graph.node('LogSoftmax', [logits], [integer('axis', 1)]))
  const [positiveShare, negativeShares] = graph.split(
    graph.node('Softmax', [logits], [integer('axis', 1)]),
  )
  const losses = graph.mul(weights, graph.node('Neg', [positiveLog]))
  const scale = graph.mul(weights, sharpness)
  const byPositive = graph.mul(scale, graph.sub(positiveShare, graph.scalar(1)))
  const byNegatives = graph.mul(scale, negativeShares)
  const byUsers = graph.add(
    graph.mul(byPositive, positives.vectors),
    graph.node('MatMul', [byNegatives, negatives.vectors]),
  )
  const byPositives = graph.mul(byPositive, users.vectors)
  const byOthers = graph.node('Gemm', [byNegatives, users.vectors], [integer('transA', 1)])

  graph.output('losses', losses, ['B', 1])
  graph.output('positiveScores', positiveCosine, ['B', 1])
  graph.output('userGradients', user.backward(users, byUsers), ['B', model.dim])
  graph.output('positiveGradients', item.backward(positives, byPositives), ['B', model.dim])
  graph.output('negativeGradients', item.backward(negatives, byOthers), ['M', model.dim])
  return graph.encode('step')
}

function towerInputs(
  graph: GraphBuilder,
  model: ModelSpec,
  side: Side,
  prefix: string,
  count: string,
): [string, string | null] {
  const width = featureWidth(model[side])
  const rows = graph.input(`${prefix}Rows`, [count, model.dim])
  return [rows, width > 0 ? graph.input(`${prefix}Features`, [count, width]) : null]
}

interface TowerValues {
  readonly hidden: string
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
class TowerBuilder {
  readonly #graph: GraphBuilder
  readonly #projection: string
  readonly #hiddenWeights: string
  readonly #hiddenBias: string
  readonly #outputWeights: string
  readonly #outputBias: string
  readonly #parameters: TowerParameters
  readonly #dim: number
  readonly #hidden: number
  #transposes: Transposes | undefined

  constructor(graph: GraphBuilder, side: Side, model: ModelSpec, parameters: TowerParameters) {
    const { dim } = model
    const { hidden } = model[side]
    const width = featureWidth(model[side])
    this.#graph = graph
    this.#projection = width > 0 ? graph.constant(parameters.projection, [width, dim]) : ''
    this.#hiddenWeights = graph.constant(parameters.hiddenWeights, [dim + width, hidden])
    this.#hiddenBias = graph.constant(parameters.hiddenBias, [hidden])
    this.#outputWeights = graph.constant(parameters.outputWeights, [hidden, dim])
    this.#outputBias = graph.constant(parameters.outputBias, [dim])
    this.#parameters = parameters
    this.#dim = dim
    this.#hidden = hidden
  }

  forward(rows: string, features: string | null): TowerValues {
    const graph = this.#graph
    const x =
      features === null ? rows : graph.node('Concat', [rows, features], [integer('axis', 1)])
    const hidden = graph.add(graph.node('MatMul', [x, this.#hiddenWeights]), this.#hiddenBias)
    const bent = graph.node('MatMul', [graph.node('Relu', [hidden]), this.#outputWeights])
    const direct =
      features === null ? rows : graph.add(rows, graph.node('MatMul', [features, this.#projection]))
    const y = graph.add(graph.add(direct, bent), this.#outputBias)
    const length = graph.node('Sqrt', [graph.rowSum(graph.mul(y, y))])
    const lengths = graph.node('Max', [length, graph.scalar(lengthMin)])
    return { hidden, lengths, vectors: graph.node('Div', [y, lengths]) }
  }

  /** Gradient by the ID rows, given the one by the vectors. */
  backward(forward: TowerValues, gradients: string): string {
    const graph = this.#graph
    const transposes = (this.#transposes ??= this.#transpose())
    const along = graph.mul(forward.vectors, graph.rowSum(graph.mul(gradients, forward.vectors)))
    const bySum = graph.node('Div', [graph.sub(gradients, along), forward.lengths])
    const isActive = graph.node('Greater', [forward.hidden, graph.scalar(0)])
    const byRelu = graph.node('MatMul', [bySum, transposes.output])
    const byHidden = graph.node('Where', [isActive, byRelu, graph.scalar(0)])
    return graph.add(bySum, graph.node('MatMul', [byHidden, transposes.row]))
  }

  #transpose(): Transposes {
    const { hiddenWeights, outputWeights } = this.#parameters
    const dim = this.#dim
    const hidden = this.#hidden
    const rowWeights = hiddenWeights.subarray(0, dim * hidden)
    return {
      output: this.#graph.constant(transposed(outputWeights, hidden, dim), [dim, hidden]),
      row: this.#graph.constant(transposed(rowWeights, dim, hidden), [hidden, dim]),
    }
  }
}

/** Names values and collects nodes; every method returns the name of the value it made. */
class GraphBuilder {
  readonly #nodes: onnx.INodeProto[] = []
  readonly #constants: onnx.ITensorProto[] = []
  readonly #inputs: onnx.IValueInfoProto[] = []
  readonly #outputs: onnx.IValueInfoProto[] = []
  readonly #scalars = new Map<number, string>()

  input(name: string, shape: readonly (string | number)[]): string {
    this.#inputs.push(valueInfo(name, shape))
    return name
  }

  output(name: string, value: string, shape: readonly (string | number)[]): void {
    this.#nodes.push({ opType: 'Identity', input: [value], output: [name] })
    this.#outputs.push(valueInfo(name, shape))
  }

  constant(values: Float32Array, dims: number[]): string {
    const name = `constant${this.#constants.length}`
    const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    this.#constants.push({
      name,
      dims,
      dataType: onnxProto.onnx.TensorProto.DataType.FLOAT,
      rawData,
    })
    return name
  }

  scalar(value: number): string {
    const known = this.#scalars.get(value) ?? this.constant(Float32Array.of(value), [1])
    this.#scalars.set(value, known)
    return known
  }

  node(opType: string, input: string[], attribute: onnx.IAttributeProto[] = []): string {
    const name = `value${this.#nodes.length}`
    this.#nodes.push({ opType, input, output: [name], attribute })
    return name
  }

  add(a: string, b: string): string {
    return this.node('Add', [a, b])
  }

  sub(a: string, b: string): string {
    return this.node('Sub', [a, b])
  }

  mul(a: string, b: string): string {
    return this.node('Mul', [a, b])
  }

  /** [n x m] -> [n x 1] */
  rowSum(value: string): string {
    return this.node('ReduceSum', [value, this.#integers([1])], [integer('keepdims', 1)])
  }

  /** [n x (1 + m)] -> [n x 1] and [n x m] */
  split(value: string): [string, string] {
    return [this.#columns(value, 0, 1), this.#columns(value, 1, Number.MAX_SAFE_INTEGER)]
  }

  encode(name: string): Uint8Array {
    return onnxProto.onnx.ModelProto.encode({
      irVersion,
      opsetImport: [{ domain: '', version: opset }],
      producerName: 'freshet',
      graph: {
        name,
        node: this.#nodes,
        initializer: this.#constants,
        input: this.#inputs,
        output: this.#outputs,
      },
    }).finish()
  }

  #columns(value: string, from: number, to: number): string {
    return this.node('Slice', [
      value,
      this.#integers([from]),
      this.#integers([to]),
      this.#integers([1]),
    ])
  }

  #integers(values: number[]): string {
    const name = `constant${this.#constants.length}`
    this.#constants.push({
      name,
      dims: [values.length],
      dataType: onnxProto.onnx.TensorProto.DataType.INT64,
      int64Data: values,
    })
    return name
  }
}

function valueInfo(name: string, shape: readonly (string | number)[]): onnx.IValueInfoProto {
  const dim = shape.map((size) =>
    typeof size === 'string' ? { dimParam: size } : { dimValue: size },
  )
  return {
    name,
    type: { tensorType: { elemType: onnxProto.onnx.TensorProto.DataType.FLOAT, shape: { dim } } },
  }
}

function integer(name: string, i: number): onnx.IAttributeProto {
  return { name, type: onnxProto.onnx.AttributeProto.AttributeType.INT, i }
}

/** [rows x columns] -> [columns x rows] */
function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(rows * columns)
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) result[c * rows + r] = matrix[r * columns + c]!
  }
  return result
}
