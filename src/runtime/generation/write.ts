import { FreshetError } from '../../errors.ts'
import { towerGraph } from '../../model/onnx-graph.ts'
import { sides } from '../../model/spec.ts'
import { encodeIds } from '../../records/id-file.ts'
import { encodeSafetensors } from '../../records/safetensors.ts'
import type { Tensor } from '../../records/safetensors.ts'
import type { ArtifactStore, FileFacts } from './artifact-store.ts'
import {
  denseFile,
  files,
  gradientFiles,
  itemRowsFile,
  lineageOf,
  optimiserFile,
  recentFile,
  rowsFile,
} from './files.ts'
import type { TrainableGeneration } from './generation.ts'
import { generationManifest, writtenModel } from './manifest.ts'
import type { GenerationManifest } from './manifest.ts'
import { placeOf } from './verified.ts'

/**
 * Writes `generations/<id>/`, the manifest last: it is what makes the folder a generation. What a writer that was killed
 * left in the folder is written over.
 */
export async function writeGeneration(
  store: ArtifactStore,
  generation: TrainableGeneration,
): Promise<GenerationManifest> {
  const { id, userIds, itemIds } = generation
  if (await store.exists(placeOf(id, 'manifest.json'))) {
    throw new FreshetError(
      'GENERATION_INVALID',
      `Generation ${id}, manifest.json: it exists already, and generations never change`,
    )
  }
  const facts: Record<string, FileFacts> = {}
  const contents = contentsOf(generation)
  await Promise.all(
    Object.entries(contents).map(async ([name, parts]) => {
      facts[name] = await store.put(placeOf(id, name), parts)
    }),
  )
  const manifest = generationManifest.parse({
    format: 2,
    id,
    kind: generation.kind,
    parent: generation.parent,
    day: generation.day,
    createdAt: new Date(generation.createdAtMs).toISOString(),
    seed: generation.seed,
    cuts: generation.cuts,
    training: generation.training,
    gate: generation.gate,
    lineage: lineageOf(generation.optimiser),
    model: writtenModel(generation.model),
    counts: {
      users: userIds.length,
      items: itemIds.length,
      recent: generation.recent.items.length,
    },
    files: Object.fromEntries(Object.keys(contents).map((name) => [name, facts[name]])),
  })
  const written = { ...manifest, model: writtenModel(manifest.model) }
  const text = Buffer.from(`${JSON.stringify(written, null, 2)}\n`)
  await store.put(placeOf(id, 'manifest.json'), [text])
  return manifest
}

function contentsOf(generation: TrainableGeneration): Readonly<Record<string, Uint8Array[]>> {
  const { model, dense, userDefaultRow, itemDefaultRow, itemIds } = generation
  const { userRows, userSeenMs } = generation
  const gradients = sides.flatMap((side) => {
    const gradient = dense[side].graphs?.gradient ?? null
    return gradient === null ? [] : [[gradientFiles[side], [gradient]] as const]
  })
  const vectors: Tensor = { shape: [itemIds.length, model.outputDim], data: generation.itemVectors }
  return {
    [files.dense]: encodeSafetensors(denseFile(model, dense, userDefaultRow, itemDefaultRow)),
    [files.userTower]: [towerGraph(model, dense, 'user')],
    [files.itemTower]: [towerGraph(model, dense, 'item')],
    [files.userIds]: encodeIds('UserId', generation.userIds),
    [files.itemIds]: encodeIds('ItemId', itemIds),
    [files.userRows]: encodeSafetensors(rowsFile(userRows, userSeenMs, model.dim)),
    [files.itemRows]: encodeSafetensors(itemRowsFile(generation)),
    [files.recent]: encodeSafetensors(recentFile(generation.recent)),
    [files.itemVectors]: encodeSafetensors(new Map([['vectors', vectors]])),
    [files.optimiser]: encodeSafetensors(optimiserFile(model, generation)),
    ...Object.fromEntries(gradients),
  }
}
