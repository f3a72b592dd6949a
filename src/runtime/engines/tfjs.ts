import type { TensorEngine } from '../../model/engine.ts'
import { steppedBy } from './onnx.ts'
import { requireTensorflow } from './tensorflow.ts'
import { TfjsSession } from './tfjs-session.ts'

/**
 * TensorFlow on the CPU takes the steps, that is losses and gradients. Vectors and scores are onnxruntime's: a pod has to compute to the bit what
 * the learner computed, and would else need TensorFlow, which takes ten times as long for one user.
 * @throws FreshetError where TensorFlow is not set up, see tensorflow.ts
 */
export function tfjsEngine(): TensorEngine {
  const tf = requireTensorflow()
  return steppedBy('tfjs', (graph) => Promise.resolve(new TfjsSession(tf, graph)), { threads: 1 })
}
