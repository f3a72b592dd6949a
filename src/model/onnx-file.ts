import type { onnx } from 'onnx-proto'
import onnxProto from 'onnx-proto'
import { FreshetError, messageOf } from '../errors.ts'

const { DataType, DataLocation } = onnxProto.onnx.TensorProto

/** A constant of a graph. */
export interface OnnxConstant {
  readonly dims: readonly number[]
  readonly values: ArrayLike<number>
}

export interface OnnxNode {
  readonly opType: string
  /** As an error names it. */
  readonly name: string
  /** Names of values; empty for one that is left out. */
  readonly inputs: readonly string[]
  attribute(name: string): onnx.IAttributeProto | undefined
}

export interface OnnxGraph {
  /** Of the standard operators. */
  readonly opset: number
  /** Width of each input [n x width]; null where the file leaves it open. */
  readonly inputs: ReadonlyMap<string, number | null>
  readonly outputs: ReadonlySet<string>
  /** By the names of their first outputs. */
  readonly nodes: ReadonlyMap<string, OnnxNode>
  readonly constants: ReadonlyMap<string, onnx.ITensorProto>
}

/** @throws FreshetError FILE_INVALID */
export function readOnnx(bytes: Uint8Array): OnnxGraph {
  let model: onnx.ModelProto
  try {
    model = onnxProto.onnx.ModelProto.decode(bytes)
  } catch (cause) {
    throw invalid(`it is no ONNX file: ${messageOf(cause)}`, cause)
  }
  const { graph, opsetImport } = model
  if (graph === null || graph === undefined) throw invalid('it is no ONNX file: it has no graph')
  const constants = new Map((graph.initializer ?? []).map((each) => [each.name!, each]))
  constants.forEach(expectInFile)
  const inputs = (graph.input ?? []).filter(({ name }) => !constants.has(name!))
  return {
    opset: Number((opsetImport ?? []).find(({ domain }) => !domain)?.version ?? 0),
    inputs: new Map(inputs.map((input) => [input.name!, widthOf(input)])),
    outputs: new Set((graph.output ?? []).map(({ name }) => name!)),
    nodes: new Map((graph.node ?? []).map((node) => [node.output![0]!, nodeOf(node)])),
    constants,
  }
}

function widthOf({ name, type }: onnx.IValueInfoProto): number | null {
  const tensor = type?.tensorType
  if (tensor?.elemType !== DataType.FLOAT) throw invalid(`its input ${name!} is not float32`)
  const dims = tensor.shape?.dim ?? []
  if (dims.length !== 2) throw invalid(`its input ${name!} has ${dims.length} dimensions, not 2`)
  const [count, width] = dims.map(({ dimValue }) => Number(dimValue ?? 0)) as [number, number]
  if (count === 0) return width === 0 ? null : width
  throw invalid(
    `its input ${name!} is for batches of ${count} only: export it with a dynamic first dimension`,
  )
}

function nodeOf({ opType, name, input, output, attribute, domain }: onnx.INodeProto): OnnxNode {
  return {
    opType: domain ? `${domain}.${opType!}` : opType!,
    name: name || output![0]!,
    inputs: input ?? [],
    attribute: (wanted) => (attribute ?? []).find((each) => each.name === wanted),
  }
}

function expectInFile({ name, dataLocation }: onnx.ITensorProto): void {
  if (dataLocation !== DataLocation.EXTERNAL) return
  throw invalid(
    `its tensor ${name!} lies in another file: export it with external_data=False, so that one file has everything`,
  )
}

/** @throws FreshetError FILE_INVALID where it is neither floats nor whole numbers, or in another file */
export function constantOf(tensor: onnx.ITensorProto): OnnxConstant {
  expectInFile(tensor)
  const { name, dims, dataType, rawData, floatData, int64Data } = tensor
  const isFloat = dataType === DataType.FLOAT
  if (!isFloat && dataType !== DataType.INT64) {
    throw invalid(`its tensor ${name!} is ${DataType[dataType!] ?? dataType}, not float32`)
  }
  const whole = { dims: (dims ?? []).map(Number) }
  if (rawData !== null && rawData !== undefined && rawData.length > 0) {
    // A copy, so that it is aligned.
    const { buffer } = Uint8Array.from(rawData)
    return {
      ...whole,
      values: isFloat ? new Float32Array(buffer) : Array.from(new BigInt64Array(buffer), Number),
    }
  }
  return { ...whole, values: isFloat ? (floatData ?? []) : (int64Data ?? []).map(Number) }
}

export function invalid(why: string, cause?: unknown): FreshetError {
  return new FreshetError('FILE_INVALID', why, { cause })
}
