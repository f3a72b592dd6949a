import type { onnx } from 'onnx-proto'
// A CommonJS module whose names Node cannot see: only its default export can be imported.
import onnxProto from 'onnx-proto'

/** `ir_version` 9 and opset 17: what onnxruntime 1.22 and later run, with all the operators used here. */
const irVersion = 9
const opset = 17

const elementTypes = {
  float: onnxProto.onnx.TensorProto.DataType.FLOAT,
  int32: onnxProto.onnx.TensorProto.DataType.INT32,
} as const
type ElementType = keyof typeof elementTypes

/** Names values and collects nodes; every method returns the name of the value it made. */
export class GraphBuilder {
  readonly #nodes: onnx.INodeProto[] = []
  readonly #constants: onnx.ITensorProto[] = []
  readonly #inputs: onnx.IValueInfoProto[] = []
  readonly #outputs: onnx.IValueInfoProto[] = []
  readonly #scalars = new Map<number, string>()

  input(name: string, shape: readonly (string | number)[], type: ElementType = 'float'): string {
    this.#inputs.push(valueInfo(name, shape, type))
    return name
  }

  output(name: string, value: string, shape: readonly (string | number)[]): void {
    this.#nodes.push({ opType: 'Identity', input: [value], output: [name] })
    this.#outputs.push(valueInfo(name, shape))
  }

  constant(values: Float32Array, dims: readonly number[]): string {
    const name = `constant${this.#constants.length}`
    const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    this.#constants.push({
      name,
      dims: [...dims],
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

  /**
   * [n x m] -> [n x 1]
   * @param width m, where a row's sum must not depend on its place: it is then summed in the same lanes wherever the row begins
   */
  rowSum(value: string, width = 0): string {
    const lacking = -width & 3
    if (lacking > 0) {
      return this.rowSum(this.node('Pad', [value, this.#integers([0, 0, 0, lacking])]))
    }
    return this.node('ReduceSum', [value, this.#integers([1])], [integer('keepdims', 1)])
  }

  /** [n x m] -> [m] */
  columnSum(value: string): string {
    return this.node('ReduceSum', [value, this.#integers([0])], [integer('keepdims', 0)])
  }

  /** [n x m] and [n x 1] columns -> [n x 1] */
  pick(value: string, columns: string): string {
    return this.node('GatherElements', [value, columns], [integer('axis', 1)])
  }

  /** [n x m] with the values [n x 1] in these columns [n x 1] */
  replace(value: string, columns: string, values: string): string {
    return this.node('ScatterElements', [value, columns, values], [integer('axis', 1)])
  }

  /** aᵀ b */
  product(a: string, b: string): string {
    return this.node('Gemm', [a, b], [integer('transA', 1)])
  }

  /** [n x (1 + m)] -> [n x 1] and [n x m] */
  split(value: string): [string, string] {
    return [this.columns(value, 0, 1), this.columns(value, 1, Number.MAX_SAFE_INTEGER)]
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

  columns(value: string, from: number, to: number): string {
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

function valueInfo(
  name: string,
  shape: readonly (string | number)[],
  type: ElementType = 'float',
): onnx.IValueInfoProto {
  const dim = shape.map((size) =>
    typeof size === 'string' ? { dimParam: size } : { dimValue: size },
  )
  return {
    name,
    type: { tensorType: { elemType: elementTypes[type], shape: { dim } } },
  }
}

export function integer(name: string, i: number): onnx.IAttributeProto {
  return { name, type: onnxProto.onnx.AttributeProto.AttributeType.INT, i }
}
