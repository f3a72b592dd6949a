import type { TensorEngine } from '../../model/engine.ts'
import { oracleEngine } from '../../model/oracle.ts'
import { onnxEngine } from './onnx.ts'
import { checkTensorflow } from './tensorflow.ts'
import { tfjsEngine } from './tfjs.ts'

export type EngineName = 'onnx' | 'tfjs' | 'typescript'

/**
 * The tensor engine of config's `model.engine`. One thread: bit-equality is promised for one thread.
 * @throws FreshetError where `tfjs` is not set up
 */
export function openEngine(name: EngineName): TensorEngine {
  switch (name) {
    case 'onnx':
      return onnxEngine({ threads: 1 })
    case 'tfjs':
      return tfjsEngine()
    case 'typescript':
      return oracleEngine
  }
}

/** For those who take no steps: the same vectors and scores, and TensorFlow need not be there. */
export function openServingEngine(name: EngineName): TensorEngine {
  return openEngine(name === 'tfjs' ? 'onnx' : name)
}

/**
 * For those who open the engine later, in another thread.
 * @throws FreshetError where `tfjs` is not set up
 */
export function checkEngine(name: EngineName): void {
  if (name === 'tfjs') checkTensorflow()
}
