import type { OnnxGraph } from './onnx-file.ts'
import { invalid, readOnnx } from './onnx-file.ts'

export interface Widths {
  readonly dim: number
  /** F, 0 for none */
  readonly features: number
  readonly outputDim: number
}

/** Older ones write the axes of their operators otherwise. */
const opsetMin = 13

/** @throws FreshetError FILE_INVALID where a file does not take and give what a tower does, whatever is between */
export function readTower(bytes: Uint8Array, { dim: rows, features }: Widths): OnnxGraph {
  const graph = readOnnx(bytes)
  expectInterface(graph, { rows, features }, 'vectors')
  expectInputs(graph, { rows })
  return graph
}

/** Checks a gradient graph likewise: the inputs of its tower and `vectors_gradient` -> `rows_gradient`. @throws FreshetError FILE_INVALID */
export function checkGradientGraph(bytes: Uint8Array, widths: Widths): void {
  const inputs = {
    ...{ rows: widths.dim, features: widths.features },
    vectors_gradient: widths.outputDim,
  }
  const graph = readOnnx(bytes)
  expectInterface(graph, inputs, 'rows_gradient')
  expectInputs(graph, inputs)
}

/** @param widths of the inputs that it may have; 0 for those that the manifest has no use for */
function expectInterface(
  { opset, inputs, outputs }: OnnxGraph,
  widths: Readonly<Record<string, number>>,
  output: string,
): void {
  if (opset < opsetMin) {
    throw invalid(`it has opset ${opset}: export it with opset ${opsetMin} or later`)
  }
  for (const [name, width] of inputs) {
    const expected = widths[name]
    if (expected === undefined) {
      const names = Object.keys(widths).join(', ')
      throw invalid(`its input ${name} is not known: it may take ${names}`)
    }
    if (expected === 0) throw invalid(`it takes ${name}, the manifest declares none for it`)
    if (width !== null && width !== expected) {
      throw invalid(`its ${name} are ${width} wide, the manifest says ${expected}`)
    }
  }
  if (!outputs.has(output)) throw invalid(`it has no output named ${output}`)
}

/** @throws FreshetError FILE_INVALID where one of these inputs that has a width is not there */
export function expectInputs(
  { inputs }: OnnxGraph,
  widths: Readonly<Record<string, number>>,
): void {
  const missing = Object.keys(widths).find((name) => widths[name]! > 0 && !inputs.has(name))
  if (missing !== undefined) throw invalid(`it has no input named ${missing}`)
}
