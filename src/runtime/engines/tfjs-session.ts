import type { onnx } from 'onnx-proto'
import onnxProto from 'onnx-proto'
import type { Tensor } from 'onnxruntime-node'
import type { GraphResults, GraphSession } from './onnx-tensors.ts'
import type { Tensorflow, TfTensor } from './tensorflow.ts'
import { operatorOf, type Operator } from './tfjs-operators.ts'

interface Step {
  readonly operator: Operator
  readonly inputs: readonly string[]
  readonly output: string
  /** Values that nothing reads after this step. */
  readonly disposable: readonly string[]
}

/**
 * A graph of model/onnx-graph.ts, run node by node in TensorFlow. Its backward pass is written out in it, so no tape is kept, and a value lives only
 * until it was last read.
 */
export class TfjsSession implements GraphSession {
  readonly #tf: Tensorflow
  readonly #constants: ReadonlyMap<string, TfTensor>
  readonly #steps: readonly Step[]
  readonly #outputs: readonly string[]

  constructor(tf: Tensorflow, encoded: Uint8Array) {
    const graph = onnxProto.onnx.ModelProto.decode(encoded).graph as onnx.GraphProto
    this.#tf = tf
    this.#constants = constantsOf(tf, graph)
    this.#outputs = graph.output.map(({ name }) => name!)
    this.#steps = stepsOf(tf, graph, [...this.#constants.keys(), ...this.#outputs])
  }

  async run(feeds: Readonly<Record<string, Tensor>>): Promise<GraphResults> {
    let results: GraphResults = {}
    // Not as what tidy returns: it would look for tensors in every float.
    this.#tf.tidy(() => {
      results = this.#run(feeds)
    })
    return results
  }

  async release(): Promise<void> {
    for (const constant of this.#constants.values()) constant.dispose()
  }

  #run(feeds: Readonly<Record<string, Tensor>>): GraphResults {
    const values = new Map(this.#constants)
    for (const [name, { data, dims }] of Object.entries(feeds)) {
      values.set(name, this.#tf.tensor(data as Float32Array | Int32Array, dims))
    }
    for (const { operator, inputs, output, disposable } of this.#steps) {
      values.set(
        output,
        this.#tf.tidy(() => operator(...inputs.map((name) => values.get(name)!))),
      )
      for (const name of disposable) {
        values.get(name)!.dispose()
        values.delete(name)
      }
    }
    return Object.fromEntries(
      this.#outputs.map((name) => [name, { data: values.get(name)!.dataSync() }]),
    )
  }
}

function constantsOf(tf: Tensorflow, { initializer }: onnx.GraphProto): Map<string, TfTensor> {
  const floats = initializer.filter(({ dataType }) => dataType === dataTypes.FLOAT)
  return new Map(
    floats.map(({ name, rawData, dims }) => {
      // Copied, because they may lie anywhere in the encoded graph.
      const values = new Float32Array(Uint8Array.from(rawData!).buffer)
      return [name!, tf.tensor(values, dims!.map(Number))]
    }),
  )
}

function stepsOf(tf: Tensorflow, graph: onnx.GraphProto, kept: readonly string[]): Step[] {
  const integers = new Map(
    graph.initializer
      .filter(({ dataType }) => dataType === dataTypes.INT64)
      .map(({ name, int64Data }) => [name!, int64Data!.map(Number)]),
  )
  const last = new Map<string, onnx.INodeProto>()
  for (const node of graph.node) for (const name of node.input!) last.set(name, node)
  return graph.node.map((node) => {
    const inputs = node.input!.filter((name) => !integers.has(name))
    const isDisposable = (name: string) => last.get(name) === node && !kept.includes(name)
    return {
      operator: operatorOf(tf, node, integers),
      inputs,
      output: node.output![0]!,
      disposable: [...new Set(inputs)].filter(isDisposable),
    }
  })
}

const dataTypes = onnxProto.onnx.TensorProto.DataType
