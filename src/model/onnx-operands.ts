import type { FreshetError } from '../errors.ts'
import type { Affine } from './affine.ts'
import type { OnnxConstant, OnnxNode } from './onnx-file.ts'
import { constantOf, invalid } from './onnx-file.ts'
import { transposed } from './onnx-tower.ts'

/** What a value of the graph is, as far as towers go. */
export type Value =
  | { readonly kind: 'affine'; readonly affine: Affine }
  | { readonly kind: 'constant'; readonly constant: OnnxConstant }
  | { readonly kind: 'squares' | 'squared length' | 'length' | 'unit'; readonly of: Affine }

export const supported =
  'MatMul, Gemm, Add, Sub, Mul and Div by constants, Neg, BatchNormalization, Relu, LeakyRelu, Concat, and a division by the length at its end'

export function axisOf(node: OnnxNode): number {
  return Number(node.attribute('axis')?.i ?? -1)
}

export function expectAxis(node: OnnxNode, axis: number): void {
  if (axis !== 1 && axis !== -1) throw misplaced(node)
}

export function literalOf(node: OnnxNode): OnnxConstant {
  const tensor = node.attribute('value')?.t
  if (tensor !== null && tensor !== undefined) return constantOf(tensor)
  const single = node.attribute('value_float')?.f ?? node.attribute('value_int')?.i
  if (single !== null && single !== undefined) return { dims: [], values: [Number(single)] }
  const several = node.attribute('value_floats')?.floats ?? node.attribute('value_ints')?.ints
  if (several === null || several === undefined) throw misplaced(node)
  return { dims: [several.length], values: several.map(Number) }
}

/** Of two dimensions. */
export function transposedOf({ dims, values }: OnnxConstant): OnnxConstant {
  const [rows = 1, columns = 1] = dims
  return { dims: [columns, rows], values: transposed(Float32Array.from(values), rows, columns) }
}

/** One value, or one for each of `width` columns. */
export function columnsOf(node: OnnxNode, { dims, values }: OnnxConstant, width: number): number[] {
  const isRow = values.length === width && (dims.at(-1) ?? 1) === width
  if (isRow || values.length === 1) return Array.from(values)
  throw misplaced(node)
}

export function misplaced({ opType, name }: OnnxNode): FreshetError {
  return invalid(
    `operator ${opType} (node ${name}) is used in a way that no gradient is derived of, only of ${supported}`,
  )
}

export function affine(value: Affine): Value {
  return { kind: 'affine', affine: value }
}

export function constant(value: OnnxConstant): Value {
  return { kind: 'constant', constant: value }
}

export function ofKind(node: OnnxNode, value: Value, kind: Value['kind']): Affine {
  if (value.kind === kind && 'of' in value) return value.of
  throw misplaced(node)
}
