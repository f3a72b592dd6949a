import { FreshetError } from '../errors.ts'
import type { Affine, Source } from './affine.ts'
import { concatenated, identityOf, reluOf, scaled, shifted, sum, times } from './affine.ts'
import type { LayeredTower } from './layered.ts'
import { layered } from './layered.ts'
import type { OnnxConstant, OnnxGraph, OnnxNode } from './onnx-file.ts'
import { constantOf, invalid } from './onnx-file.ts'
import type { Widths } from './onnx-interface.ts'
import { expectInputs, readTower } from './onnx-interface.ts'
import type { Value } from './onnx-operands.ts'
import {
  affine,
  axisOf,
  columnsOf,
  constant,
  expectAxis,
  literalOf,
  misplaced,
  ofKind,
  supported,
  transposedOf,
} from './onnx-operands.ts'

/** What is added to a length, or put below it, so that nothing is divided by 0. */
const epsilonMax = 1e-3

/** As which a tower of other origin becomes part of a generation. */
export type ImportedTower =
  | ({ readonly kind: 'layered' } & LayeredTower)
  /** It is run as it is. */
  | { readonly kind: 'opaque'; readonly why: string }

/**
 * The parameters of a tower (spec.ts) that was exported as ONNX from somewhere else: `rows` [n x d] and `features` [n x F] -> `vectors` [n x o].
 * Where they cannot be derived it says why, naming the operator.
 * @throws FreshetError FILE_INVALID where it does not take and give what a tower does
 */
export function importTower(bytes: Uint8Array, widths: Widths): ImportedTower {
  const graph = readTower(bytes, widths)
  const rows: Source = { width: widths.dim, level: 0, of: null }
  const features: Source = { width: widths.features, level: 0, of: null }
  let y: Affine
  try {
    y = new Reader(graph, { rows, features }).unit('vectors')
  } catch (error) {
    if (!(error instanceof FreshetError) || error.code !== 'FILE_INVALID') throw error
    expectInputs(graph, { features: widths.features })
    return { kind: 'opaque', why: error.message }
  }
  if (y.width !== widths.outputDim) {
    throw invalid(
      `its vectors have ${y.width} components, the manifest says outputDim ${widths.outputDim}`,
    )
  }
  return { kind: 'layered', ...layered(y, rows, features) }
}

class Reader {
  readonly #graph: OnnxGraph
  readonly #values = new Map<string, Value>()

  constructor(graph: OnnxGraph, sources: Readonly<Record<'rows' | 'features', Source>>) {
    this.#graph = graph
    for (const [name, source] of Object.entries(sources)) {
      if (!graph.inputs.has(name)) continue
      this.#values.set(name, { kind: 'affine', affine: identityOf(source) })
    }
  }

  /** What is normalised into this output. */
  unit(name: string): Affine {
    const value = this.#valueOf(name)
    if (value.kind === 'unit') return value.of
    throw invalid(
      `its output ${name} is not normalised: divide it by its length, as torch.nn.functional.normalize does`,
    )
  }

  #valueOf(name: string): Value {
    const known = this.#values.get(name)
    if (known !== undefined) return known
    const tensor = this.#graph.constants.get(name)
    const value = tensor === undefined ? this.#computed(name) : constant(constantOf(tensor))
    this.#values.set(name, value)
    return value
  }

  #computed(name: string): Value {
    const node = this.#graph.nodes.get(name)
    if (node === undefined) throw invalid(`it has no value named ${name}`)
    return this.#compute(node)
  }

  #compute(node: OnnxNode): Value {
    switch (node.opType) {
      case 'Identity':
      case 'Dropout':
        return this.#input(node, 0)
      case 'Constant':
        return constant(literalOf(node))
      case 'Transpose':
        return constant(transposedOf(this.#constant(node, 0)))
      case 'MatMul':
        return affine(this.#product(node, this.#affine(node, 0), this.#constant(node, 1)))
      case 'Gemm':
        return affine(this.#gemm(node))
      case 'Neg':
        return affine(scaled(this.#affine(node, 0), [-1]))
      case 'Add':
      case 'Sub':
      case 'Mul':
      case 'Div':
        return this.#arithmetic(node)
      case 'BatchNormalization':
        return affine(this.#batchNormalisation(node))
      case 'Relu':
        return affine(identityOf(reluOf(this.#affine(node, 0))))
      case 'LeakyRelu':
        return affine(this.#leakyRelu(node))
      case 'Concat':
        expectAxis(node, axisOf(node))
        return affine(concatenated(node.inputs.map((_, i) => this.#affine(node, i))))
      default:
        return this.#normalisation(node)
    }
  }

  /** The ways in which a vector is divided by its length. */
  #normalisation(node: OnnxNode): Value {
    const first = (): Value => this.#input(node, 0)
    switch (node.opType) {
      case 'LpNormalization':
        expectAxis(node, axisOf(node))
        if (Number(node.attribute('p')?.i ?? 2) !== 2) throw misplaced(node)
        return { kind: 'unit', of: this.#affine(node, 0) }
      case 'ReduceL2':
        this.#expectRows(node)
        return { kind: 'length', of: this.#affine(node, 0) }
      case 'ReduceSumSquare':
        this.#expectRows(node)
        return { kind: 'squared length', of: this.#affine(node, 0) }
      case 'Pow':
        if (this.#constant(node, 1).values[0] !== 2) throw misplaced(node)
        return { kind: 'squares', of: this.#affine(node, 0) }
      case 'ReduceSum':
        this.#expectRows(node)
        return { kind: 'squared length', of: ofKind(node, first(), 'squares') }
      case 'Sqrt':
        return { kind: 'length', of: ofKind(node, first(), 'squared length') }
      case 'Pad':
        return { kind: 'squares', of: ofKind(node, first(), 'squares') }
      case 'Expand':
        return { kind: 'length', of: ofKind(node, first(), 'length') }
      case 'Max':
      case 'Clip':
        if (node.opType === 'Clip' && (node.inputs[2] ?? '') !== '') throw misplaced(node)
        this.#expectEpsilon(node, 1)
        return first().kind === 'squared length'
          ? first()
          : { kind: 'length', of: ofKind(node, first(), 'length') }
      default:
        throw invalid(
          `operator ${node.opType} (node ${node.name}) is none of those that a gradient is derived of: ${supported}`,
        )
    }
  }

  #arithmetic(node: OnnxNode): Value {
    const [a, b] = [this.#input(node, 0), this.#input(node, 1)]
    if (node.opType === 'Mul' && a.kind === 'affine' && b === a) {
      return { kind: 'squares', of: a.affine }
    }
    if (node.opType === 'Div' && a.kind === 'affine' && b.kind === 'length' && b.of === a.affine) {
      return { kind: 'unit', of: a.affine }
    }
    if (node.opType === 'Add' && (a.kind === 'length' || a.kind === 'squared length')) {
      this.#expectEpsilon(node, 1)
      return a
    }
    return affine(this.#affineArithmetic(node, a, b))
  }

  #affineArithmetic(node: OnnxNode, a: Value, b: Value): Affine {
    const { opType } = node
    const isSum = opType === 'Add' || opType === 'Sub'
    if (a.kind === 'affine' && b.kind === 'affine' && isSum) {
      if (a.affine.width !== b.affine.width) throw misplaced(node)
      return sum(a.affine, opType === 'Sub' ? scaled(b.affine, [-1]) : b.affine)
    }
    if (a.kind === 'constant' && b.kind === 'affine' && opType !== 'Div') {
      const turned = opType === 'Sub' ? scaled(b.affine, [-1]) : b.affine
      const values = columnsOf(node, a.constant, turned.width)
      return isSum ? shifted(turned, values) : scaled(turned, values)
    }
    if (a.kind !== 'affine' || b.kind !== 'constant') throw misplaced(node)
    const values = columnsOf(node, b.constant, a.affine.width)
    switch (opType) {
      case 'Add':
        return shifted(a.affine, values)
      case 'Sub':
        return shifted(
          a.affine,
          values.map((each) => -each),
        )
      case 'Mul':
        return scaled(a.affine, values)
      default:
        return scaled(
          a.affine,
          values.map((each) => 1 / each),
        )
    }
  }

  #gemm(node: OnnxNode): Affine {
    const number = (name: string): number => node.attribute(name)?.f ?? 1
    if (Number(node.attribute('transA')?.i ?? 0) !== 0) throw misplaced(node)
    const isTransposed = Number(node.attribute('transB')?.i ?? 0) !== 0
    const weights = this.#constant(node, 1)
    const product = this.#product(
      node,
      this.#affine(node, 0),
      isTransposed ? transposedOf(weights) : weights,
    )
    const weighed = number('alpha') === 1 ? product : scaled(product, [number('alpha')])
    if ((node.inputs[2] ?? '') === '') return weighed
    const bias = columnsOf(node, this.#constant(node, 2), weighed.width)
    return shifted(
      weighed,
      bias.map((each) => each * number('beta')),
    )
  }

  #product(node: OnnxNode, value: Affine, { dims, values }: OnnxConstant): Affine {
    if (dims.length === 2 && dims[0] === value.width) return times(value, values, dims[1]!)
    throw invalid(
      `node ${node.name} multiplies ${value.width} columns by a matrix ${dims.join(' x ')}`,
    )
  }

  /** As it is in use: with the statistics of training. */
  #batchNormalisation(node: OnnxNode): Affine {
    const value = this.#affine(node, 0)
    const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) =>
      columnsOf(node, this.#constant(node, i), value.width),
    ) as [number[], number[], number[], number[]]
    const epsilon = node.attribute('epsilon')?.f ?? 1e-5
    const factors = scale.map((each, i) => each / Math.sqrt(variance[i]! + epsilon))
    return shifted(
      scaled(value, factors),
      bias.map((each, i) => each - mean[i]! * factors[i]!),
    )
  }

  /** relu(x) - slope relu(-x) */
  #leakyRelu(node: OnnxNode): Affine {
    const value = this.#affine(node, 0)
    const below = identityOf(reluOf(scaled(value, [-1])))
    const slope = node.attribute('alpha')?.f ?? 0.01
    return sum(identityOf(reluOf(value)), scaled(below, [-slope]))
  }

  #input(node: OnnxNode, i: number): Value {
    const name = node.inputs[i] ?? ''
    if (name === '') throw misplaced(node)
    return this.#valueOf(name)
  }

  #affine(node: OnnxNode, i: number): Affine {
    const value = this.#input(node, i)
    if (value.kind === 'affine') return value.affine
    throw misplaced(node)
  }

  #constant(node: OnnxNode, i: number): OnnxConstant {
    const value = this.#input(node, i)
    if (value.kind === 'constant') return value.constant
    throw misplaced(node)
  }

  #expectEpsilon(node: OnnxNode, i: number): void {
    const { values } = this.#constant(node, i)
    if (values.length !== 1 || values[0]! < 0 || values[0]! > epsilonMax) throw misplaced(node)
  }

  /** A sum over the columns of each row, and it stays a column. */
  #expectRows(node: OnnxNode): void {
    const axes = node.attribute('axes')?.ints?.map(Number) ?? this.#constant(node, 1).values
    if (axes.length !== 1 || node.attribute('keepdims')?.i?.toString() === '0')
      throw misplaced(node)
    expectAxis(node, axes[0]!)
  }
}
