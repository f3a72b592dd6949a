import type { onnx } from 'onnx-proto'
import { FreshetError } from '../../errors.ts'
import type { Tensorflow, TfTensor } from './tensorflow.ts'

/** Takes what the node takes, and makes a tensor of its own. */
export type Operator = (...inputs: TfTensor[]) => TfTensor

/** Operators that TensorFlow has as they are. */
const direct = {
  Add: 'add',
  Div: 'div',
  Greater: 'greater',
  Identity: 'clone',
  Log: 'log',
  LogSoftmax: 'logSoftmax',
  MatMul: 'matMul',
  Max: 'maximum',
  Mul: 'mul',
  Neg: 'neg',
  Relu: 'relu',
  Sigmoid: 'sigmoid',
  Sign: 'sign',
  Softmax: 'softmax',
  Softplus: 'softplus',
  Sqrt: 'sqrt',
  Sub: 'sub',
  Where: 'where',
} as const

/**
 * One node of a graph of model/onnx-graph.ts in TensorFlow. All operators there that go along one axis of a matrix go along its columns, but for
 * sums.
 * @param integers the inputs that say sizes and places, by name
 */
export function operatorOf(
  tf: Tensorflow,
  { opType, input, attribute }: onnx.INodeProto,
  integers: ReadonlyMap<string, readonly number[]>,
): Operator {
  const isSet = (name: string): boolean =>
    (attribute ?? []).some((each) => each.name === name && Number(each.i) === 1)
  const integersAt = (place: number): readonly number[] => integers.get(input![place]!)!
  switch (opType) {
    case 'Concat':
      return (...parts) => tf.concat(parts, 1)
    case 'Gemm': {
      const [transA, transB] = [isSet('transA'), isSet('transB')]
      return (a, b, bias) => {
        const product = tf.matMul(a, b, transA, transB)
        return bias === undefined ? product : tf.add(product, bias)
      }
    }
    case 'Pad': {
      const [top, left, bottom, right] = integersAt(1) as [number, number, number, number]
      return (x) =>
        tf.pad(x, [
          [top, bottom],
          [left, right],
        ])
    }
    case 'ReduceSum': {
      const [axis] = integersAt(1) as [number]
      const keepDims = isSet('keepdims')
      return (x) => tf.sum(x, axis, keepDims)
    }
    case 'Slice': {
      const [from] = integersAt(1) as [number]
      const [to] = integersAt(2) as [number]
      return (x) => tf.slice(x, [0, from], [-1, Math.min(to, x.shape[1]!) - from])
    }
    case 'GatherElements':
      return (x, columns) => tf.gather(x, columns, 1, 1)
    case 'ScatterElements':
      return (x, columns, values) =>
        tf.tensorScatterUpdate(x, places(tf, columns), tf.reshape(values, [-1]))
    default:
      return directly(tf, opType!)
  }
}

function directly(tf: Tensorflow, type: string): Operator {
  if (!Object.hasOwn(direct, type)) {
    throw new FreshetError('INVARIANT_VIOLATED', `the tensor engine tfjs has no operator ${type}`)
  }
  const operator = tf[direct[type as keyof typeof direct]] as Operator
  return (...inputs) => operator(...inputs)
}

/** Column of each row [n x 1] -> row and column [n x 2] */
function places(tf: Tensorflow, columns: TfTensor): TfTensor {
  const rows = tf.range(0, columns.shape[0]!, 1, 'int32')
  return tf.concat([tf.reshape(rows, [-1, 1]), columns], 1)
}
