import fs from 'node:fs/promises'
import path from 'node:path'
import onnxProto from 'onnx-proto'
import type { TensorEngine } from '../../src/model/engine.ts'
import { gradientGraph, towerGraph } from '../../src/model/onnx-graph.ts'
import type { DenseParameters, ModelSpec, Side } from '../../src/model/spec.ts'
import { sides } from '../../src/model/spec.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { exportGeneration } from '../../src/runtime/generation/export.ts'
import { gradientFiles, towerFiles } from '../../src/runtime/generation/files.ts'
import { writeGeneration } from '../../src/runtime/generation/generation.ts'
import type { TrainableGeneration } from '../../src/runtime/generation/generation.ts'

export type OpaqueSides = Partial<Record<Side, 'learning' | 'frozen'>>

/** The same model with graphs in the place of matrices: where rows learn, it computes what it computed before. */
export function asOpaque(
  model: ModelSpec,
  dense: DenseParameters,
  how: OpaqueSides,
): { model: ModelSpec; dense: DenseParameters } {
  const changed = { model, dense }
  for (const [side, opaque] of Object.entries(how) as [Side, 'learning' | 'frozen'][]) {
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
export function opaqueEngine(how: OpaqueSides): TensorEngine {
  const onnx = openEngine('onnx')
  const opened = (model: ModelSpec, dense: DenseParameters) => asOpaque(model, dense, how)
  return {
    name: `opaque ${JSON.stringify(how)}`,
    open: (...from) => onnx.open(opened(...from).model, opened(...from).dense),
    openFull: (...from) => onnx.openFull(opened(...from).model, opened(...from).dense),
  }
}

/** Writes the generation into a folder, as one that was made elsewhere with towers that nothing can be derived of. */
export async function opaqueExport(generation: TrainableGeneration, folder: string): Promise<void> {
  const { id, model, dense } = generation
  const store = openDirectoryStore(`${folder}-store`)
  await writeGeneration(store, generation)
  await exportGeneration(store, id, openDirectoryStore(folder))
  for (const side of sides) {
    const tower = underived(towerGraph(model, dense, side))
    await fs.writeFile(path.join(folder, towerFiles[side]), tower)
    await fs.writeFile(path.join(folder, gradientFiles[side]), gradientGraph(model, dense, side)!)
  }
  const manifest = path.join(folder, 'manifest.json')
  const { files: _, ...json } = JSON.parse(await fs.readFile(manifest, 'utf8')) as {
    files: unknown
  }
  await fs.writeFile(manifest, JSON.stringify(json))
}

/** The same graph with an operator at its end that changes nothing, and stands where no division by the length can. */
function underived(bytes: Uint8Array): Uint8Array {
  const graph = onnxProto.onnx.ModelProto.decode(bytes)
  graph.graph!.node!.at(-1)!.opType = 'Clip'
  return onnxProto.onnx.ModelProto.encode(graph).finish()
}
