import './tensorflow-environment.ts'
import fs from 'node:fs'
import { FreshetError, messageOf } from '../../errors.ts'
import { loadTensorflow, tensorflowHome } from '../../../scripts/tensorflow.js'

export interface TfTensor {
  readonly shape: readonly number[]
  /** A fresh array. */
  dataSync(): Float32Array
  dispose(): void
}

type Unary = (x: TfTensor) => TfTensor
type Binary = (a: TfTensor, b: TfTensor) => TfTensor
type UnaryName =
  | 'clone'
  | 'log'
  | 'logSoftmax'
  | 'neg'
  | 'relu'
  | 'sigmoid'
  | 'sign'
  | 'softmax'
  | 'softplus'
  | 'sqrt'
type BinaryName = 'add' | 'div' | 'greater' | 'maximum' | 'mul' | 'sub'

/** What is used of @tensorflow/tfjs-node, which is no dependency: where it is not set up its types are not there either. */
export interface Tensorflow
  extends Readonly<Record<UnaryName, Unary>>, Readonly<Record<BinaryName, Binary>> {
  tensor(values: Float32Array | Int32Array, shape: readonly number[], type?: 'int32'): TfTensor
  concat(tensors: readonly TfTensor[], axis: number): TfTensor
  gather(x: TfTensor, indices: TfTensor, axis: number, batchDims: number): TfTensor
  matMul(a: TfTensor, b: TfTensor, transposeA: boolean, transposeB: boolean): TfTensor
  pad(x: TfTensor, paddings: readonly (readonly [number, number])[]): TfTensor
  range(from: number, to: number, step: number, type: 'int32'): TfTensor
  reshape(x: TfTensor, shape: readonly number[]): TfTensor
  slice(x: TfTensor, begin: readonly number[], size: readonly number[]): TfTensor
  sum(x: TfTensor, axis: number, keepDims: boolean): TfTensor
  tensorScatterUpdate(x: TfTensor, indices: TfTensor, values: TfTensor): TfTensor
  where(isTrue: TfTensor, a: TfTensor, b: TfTensor): TfTensor
  /** Disposes of what `body` makes, but for what it returns. */
  tidy<T>(body: () => T): T
  memory(): { readonly numTensors: number }
}

/** @throws FreshetError TOOL_MISSING when it is not set up */
export function checkTensorflow(home: string = tensorflowHome): void {
  if (fs.existsSync(home)) return
  const remedy = 'run `npm run setup:tensorflow` in the folder of freshet, or choose `onnx`'
  throw new FreshetError('TOOL_MISSING', `model.engine: tfjs is not set up: ${remedy}`)
}

/** @throws FreshetError TOOL_MISSING when it is not set up, FILE_INVALID when it cannot be loaded */
export function requireTensorflow(home: string = tensorflowHome): Tensorflow {
  checkTensorflow(home)
  try {
    return loadTensorflow(home) as Tensorflow
  } catch (cause) {
    const remedy = `remove ${home} and run \`npm run setup:tensorflow\` again`
    const what = `cannot load TensorFlow, ${messageOf(cause)}`
    throw new FreshetError('FILE_INVALID', `${what}; ${remedy}`, { cause })
  }
}
