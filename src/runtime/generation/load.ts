import { messageOf } from '../../errors.ts'
import { noActivity, type ActivityState } from '../../model/item-activity.ts'
import type { ModelSpec, Side, TowerGraphs } from '../../model/spec.ts'
import { sides } from '../../model/spec.ts'
import type { RecentState } from '../../streams/full-update-types.ts'
import type { ArtifactStore } from './artifact-store.ts'
import { denseParameters, trainedParameters } from './dense.ts'
import {
  activityTensors,
  denseFileTensors,
  files,
  gradientFiles,
  itemRowsFileTensors,
  optimiserFileTensors,
  recentFileTensors,
  rowsFileTensors,
  towerFiles,
} from './files.ts'
import type {
  Generation,
  GenerationFacts,
  Optimiser,
  ServingGeneration,
  TrainableGeneration,
} from './generation.ts'
import { generationId, generationManifest } from './manifest.ts'
import type { GenerationManifest } from './manifest.ts'
import {
  checkNormalised,
  invalid,
  placeOf,
  readIds,
  readTensors,
  readVerified,
} from './verified.ts'
import type { Source, Tensors } from './verified.ts'

export interface LoadOptions<Use> {
  /** serving: towers and items; learning: rows as well; training: everything. */
  readonly for: Use
}

/**
 * Reads of a generation what its use needs, and verifies what it reads: sizes, hashes, shapes, ids, and that every value is a
 * finite number.
 * @throws FreshetError GENERATION_INVALID naming the file and what is wrong with it
 */
export async function loadGeneration(
  store: ArtifactStore,
  id: string,
  options: LoadOptions<'serving'>,
): Promise<ServingGeneration>
export async function loadGeneration(
  store: ArtifactStore,
  id: string,
  options?: LoadOptions<'learning'>,
): Promise<Generation>
export async function loadGeneration(
  store: ArtifactStore,
  id: string,
  options: LoadOptions<'training'>,
): Promise<TrainableGeneration>
export async function loadGeneration(
  store: ArtifactStore,
  id: string,
  { for: use }: LoadOptions<'serving' | 'learning' | 'training'> = { for: 'learning' },
): Promise<ServingGeneration> {
  const manifest = await loadManifest(store, id)
  const source = { store, manifest }
  const [serving, rows, optimiser] = await Promise.all([
    loadServing(source),
    use === 'serving' ? {} : loadRows(source),
    use === 'training' ? loadOptimiser(source) : {},
  ])
  return { ...factsOf(manifest), ...serving, ...rows, ...optimiser }
}

/**
 * Checks every file of a generation, also those that nothing here reads.
 * @throws FreshetError GENERATION_INVALID naming the file and what is wrong with it
 */
export async function verifyGeneration(
  store: ArtifactStore,
  id: string,
): Promise<GenerationManifest> {
  const manifest = await loadManifest(store, id)
  await loadGeneration(store, id, { for: 'training' })
  for (const side of sides) await readVerified({ store, manifest }, towerFiles[side])
  return manifest
}

/** @throws FreshetError GENERATION_INVALID */
export async function loadManifest(store: ArtifactStore, id: string): Promise<GenerationManifest> {
  if (!generationId.safeParse(id).success) {
    throw invalid(id, 'manifest.json', 'the id may hold letters, digits, dot, dash and underscore')
  }
  const problem = (why: string, cause?: unknown) => invalid(id, 'manifest.json', why, cause)
  let json: unknown
  try {
    json = JSON.parse((await store.get(placeOf(id, 'manifest.json'))).toString())
  } catch (cause) {
    throw problem(messageOf(cause), cause)
  }
  const parsed = generationManifest.safeParse(json)
  if (!parsed.success) {
    const issues = parsed.error.issues.map((i) => `${i.path.join('.') || 'top'}: ${i.message}`)
    throw problem(issues.join('; '))
  }
  if (parsed.data.id !== id) throw problem(`it belongs to generation ${parsed.data.id}`)
  return parsed.data
}

/** Ids of the generations in a store, complete or not verified yet, sorted. */
export async function listGenerations(store: ArtifactStore): Promise<string[]> {
  const ids: string[] = []
  for (const id of await store.list('generations')) {
    if (await store.exists(placeOf(id, 'manifest.json'))) ids.push(id)
  }
  return ids
}

/** The manifest goes first, so that nobody takes what is left for a generation. */
export async function removeGeneration(store: ArtifactStore, id: string): Promise<void> {
  await store.remove(placeOf(id, 'manifest.json'))
  await store.remove(`generations/${id}`)
}

interface WholeSource extends Source {
  readonly manifest: GenerationManifest
}

function factsOf(manifest: GenerationManifest): GenerationFacts & { model: ModelSpec } {
  const { id, kind, parent, day, createdAt, seed, cuts, training, gate, model } = manifest
  const createdAtMs = Date.parse(createdAt)
  return { id, kind, parent, day, createdAtMs, seed, cuts, training, gate, model }
}

async function loadServing(source: WholeSource) {
  const { model, counts } = source.manifest
  const { outputDim } = model
  const [dense, graphs, vectors, itemIds] = await Promise.all([
    readTensors(source, files.dense, denseFileTensors(model)),
    loadGraphs(source),
    readTensors(source, files.itemVectors, [
      { name: 'vectors', shape: [counts.items, outputDim], dtype: 'F32' },
    ]),
    readIds(source, files.itemIds, 'ItemId', counts.items),
  ])
  const itemVectors = vectors.f32('vectors')
  checkNormalised(source.manifest.id, files.itemVectors, itemVectors, outputDim)
  return {
    dense: denseParameters(model, dense.f32, graphs),
    userDefaultRow: dense.f32('user.default_row'),
    itemDefaultRow: dense.f32('item.default_row'),
    ...{ itemIds, itemVectors },
  }
}

/** Of opaque towers. */
async function loadGraphs(source: WholeSource): Promise<Partial<Record<Side, TowerGraphs>>> {
  const graphs: Partial<Record<Side, TowerGraphs>> = {}
  const read = async (file: string) => Uint8Array.from(await readVerified(source, file))
  for (const side of sides) {
    const { opaque } = source.manifest.model[side]
    if (opaque === undefined) continue
    const gradient = opaque === 'learning' ? await read(gradientFiles[side]) : null
    graphs[side] = { forward: await read(towerFiles[side]), gradient }
  }
  return graphs
}

async function loadRows(source: WholeSource) {
  const { model, counts } = source.manifest
  const [users, items, userIds, recent] = await Promise.all([
    readTensors(source, files.userRows, rowsFileTensors(counts.users, model.dim)),
    readTensors(source, files.itemRows, itemRowsFileTensors(counts.items, model)),
    readIds(source, files.userIds, 'UserId', counts.users),
    loadRecent(source),
  ])
  return {
    ...{ userIds, userRows: users.f32('rows'), userSeenMs: users.f64('seen_ms') },
    ...{ itemRows: items.f32('rows'), itemSeenMs: items.f64('seen_ms'), recent },
    itemActivity: activityOf(model, items),
  }
}

function activityOf(model: ModelSpec, { f64 }: Tensors): ActivityState {
  const columns = activityTensors(model).map(([name, column]) => [column, f64(name)] as const)
  return { ...noActivity(), ...Object.fromEntries(columns) }
}

async function loadRecent(source: WholeSource): Promise<RecentState> {
  const { id, counts } = source.manifest
  const { u32, f64 } = await readTensors(source, files.recent, recentFileTensors(counts))
  const recent = { counts: u32('counts'), items: u32('items'), timesMs: f64('clicked_ms') }
  const sum = recent.counts.reduce((total, count) => total + count, 0)
  if (sum !== counts.recent) {
    throw invalid(id, files.recent, `its counts add up to ${sum}, it holds ${counts.recent} clicks`)
  }
  const beyond = recent.items.find((item) => item >= counts.items)
  if (beyond !== undefined) {
    throw invalid(id, files.recent, `it names item ${beyond} of ${counts.items}`)
  }
  return recent
}

async function loadOptimiser(source: WholeSource): Promise<{ optimiser: Optimiser }> {
  const { model, counts, lineage } = source.manifest
  const { f32, f64 } = await readTensors(
    source,
    files.optimiser,
    optimiserFileTensors(model, counts),
  )
  const moments = (prefix: string) => trainedParameters(model, (name) => f32(prefix + name))
  const optimiser = {
    userAccumulators: f32('user.accumulators'),
    itemAccumulators: f32('item.accumulators'),
    userDefaultAccumulator: f64('user.default_accumulator')[0]!,
    itemDefaultAccumulator: f64('item.default_accumulator')[0]!,
    adam: {
      steps: lineage.steps,
      first: moments('adam.first.'),
      second: moments('adam.second.'),
    },
    frequency: {
      examples: lineage.examples,
      lastSeen: f64('frequency.last_seen'),
      gap: f64('frequency.gap'),
      gaps: f64('frequency.gaps'),
    },
  }
  return { optimiser }
}
