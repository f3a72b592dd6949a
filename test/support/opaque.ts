import type { TensorEngine } from '../../src/model/engine.ts'
import { gradientGraph, towerGraph } from '../../src/model/onnx-graph.ts'
import type { DenseParameters, ModelSpec, Side } from '../../src/model/spec.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'

export type OpaqueSides = Partial<Record<Side, 'learning' | 'frozen'>>

/** The same model with graphs in the place of matrices: where rows learn, it computes what it computed before. */
export function asOpaque(
  model: ModelSpec,
  dense: DenseParameters,
  sides: OpaqueSides,
): { model: ModelSpec; dense: DenseParameters } {
  const changed = { model, dense }
  for (const [side, opaque] of Object.entries(sides) as [Side, 'learning' | 'frozen'][]) {
    const { features } = model[side]
    changed.model = { ...changed.model, [side]: { features, hidden: [], opaque } }
    const forward = towerGraph(model, dense, side)
    const gradient = opaque === 'learning' ? gradientGraph(model, dense, side) : null
    const graphs = { forward, gradient }
    changed.dense = { ...changed.dense, [side]: { ...dense[side], tensors: {}, graphs } }
  }
  return changed
}

/** Runs every model that it is given with opaque towers. */
export function opaqueEngine(sides: OpaqueSides): TensorEngine {
  const onnx = openEngine('onnx')
  const opened = (model: ModelSpec, dense: DenseParameters) => asOpaque(model, dense, sides)
  return {
    name: `opaque ${JSON.stringify(sides)}`,
    open: (...from) => onnx.open(opened(...from).model, opened(...from).dense),
    openFull: (...from) => onnx.openFull(opened(...from).model, opened(...from).dense),
  }
}
