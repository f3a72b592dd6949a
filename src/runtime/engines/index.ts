import type { TensorEngine } from '../../model/engine.ts'
import { oracleEngine } from '../../model/oracle.ts'
import { onnxEngine } from './onnx.ts'

export type EngineName = 'onnx' | 'typescript'

/** The tensor engine of config's `model.engine`. One thread: bit-equality is promised for one thread. */
export function openEngine(name: EngineName): TensorEngine {
  switch (name) {
    case 'onnx':
      return onnxEngine({ threads: 1 })
    case 'typescript':
      return oracleEngine
  }
}
