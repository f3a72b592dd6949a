import './no-telemetry.ts'
import { InferenceSession } from 'onnxruntime-node'
import type { Tensor } from 'onnxruntime-node'
import { floats, matrix, sessionOptions } from './onnx-tensors.ts'

/**
 * Runs the ONNX file of a tower as it is.
 * @param rows [count x d]
 * @param features [count x F]
 * @returns its `vectors`
 */
export async function runTower(
  file: Uint8Array,
  rows: Float32Array,
  features: Float32Array,
  count: number,
): Promise<Float32Array> {
  const session = await InferenceSession.create(file, sessionOptions({ threads: 1 }))
  try {
    const feeds: Record<string, Tensor> = { rows: matrix(rows, count, rows.length / count) }
    if (session.inputNames.includes('features')) {
      feeds['features'] = matrix(features, count, features.length / count)
    }
    return floats(await session.run(feeds), 'vectors')
  } finally {
    await session.release()
  }
}
