import { createHash } from 'node:crypto'
import { messageOf } from '../../errors.ts'
import { ComputedFeatures } from '../../model/computed-features.ts'
import { noActivity } from '../../model/item-activity.ts'
import type { LayeredTower } from '../../model/layered.ts'
import { importTower } from '../../model/onnx-import.ts'
import type { Widths } from '../../model/onnx-interface.ts'
import { checkGradientGraph } from '../../model/onnx-interface.ts'
import type { DenseParameters, ModelSpec, Side, TowerGraphs, TowerSpec } from '../../model/spec.ts'
import { featureWidth, frozenSides, sides } from '../../model/spec.ts'
import { zerosLike } from '../../streams/full-update-dense.ts'
import { noRecent } from '../../streams/full-update-recent.ts'
import type { FullState, SideState } from '../../streams/full-update-types.ts'
import { OnnxFile } from '../engines/onnx-session.ts'
import type { ArtifactStore } from './artifact-store.ts'
import { denseParameters, encodingShapes } from './dense.ts'
import { files, frozenNote, gradientFiles, rowsFileTensors, towerFiles } from './files.ts'
import type { ExpectedTensor } from './files.ts'
import { generationOf } from './generation.ts'
import type { TrainableGeneration } from './generation.ts'
import { itemVectorsOf, TowerCheck } from './import-check.ts'
import { importManifest } from './manifest.ts'
import type { ImportManifest } from './manifest.ts'
import { inFile, invalid, placeIn, readIds, readTensors, readVerified } from './verified.ts'
import type { Source } from './verified.ts'

export interface ImportOptions {
  /** null: one is made of the day and what the files hold */
  readonly id: string | null
  /** Last day it has learnt; null: as the manifest says */
  readonly day: string | null
  /** Names of the features that the records of this deployment have. */
  readonly features: Readonly<Record<Side, readonly string[]>>
  /** `learner.rowNormMax` */
  readonly rowNormMax: number
  readonly nowMs: number
}

export interface ImportedGeneration {
  readonly generation: TrainableGeneration
  /** What to know of it, one line each. */
  readonly notes: readonly string[]
}

/** Everything of the folder that is read, before it is put together. */
export interface Parts {
  readonly source: Source
  readonly manifest: ImportManifest
  readonly model: ModelSpec
  readonly dense: DenseParameters
  readonly users: SideState
  readonly items: SideState
  readonly towers: Readonly<Record<Side, Buffer>>
  readonly notes: readonly string[]
}

interface Tower {
  readonly file: Buffer
  /** Without its features. */
  readonly form: Omit<TowerSpec, 'features'>
  readonly tensors: LayeredTower['tensors']
  /** null: it is made of tensors */
  readonly graphs: TowerGraphs | null
  readonly notes: readonly string[]
}

/**
 * Reads a trained two-tower that something else has written (docs/import.md), checks it, and makes a generation of it: the parameters of the
 * towers come from their graphs, optimiser and clicks begin anew.
 * @param folder in the store
 * @throws FreshetError GENERATION_INVALID naming the file and what is wrong with it
 */
export async function importGeneration(
  store: ArtifactStore,
  folder: string,
  options: ImportOptions,
): Promise<ImportedGeneration> {
  const manifest = await readManifest(store, folder)
  const source: Source = { store, folder, manifest: { id: folder, files: manifest.files } }
  expectKnownFeatures(folder, manifest, options.features)
  const parts = await readParts(source, manifest)
  const check = await TowerCheck.open(parts)
  const notes = [...parts.notes]
  let itemVectors: Float32Array
  try {
    for (const side of sides) await check.tower(side)
    itemVectors = await itemVectorsOf(parts, check, notes)
  } finally {
    await check.close()
  }
  const { model, dense, users, items } = parts
  notes.push(...longRows(parts, options.rowNormMax))
  const frozen = frozenNote(frozenSides(model))
  if (frozen !== null) notes.push(frozen)
  const day = options.day ?? manifest.day
  const id = options.id ?? `imported-${day === null ? '' : `${day}-`}${hashOf(parts)}`
  const facts = { id, kind: 'imported', parent: null, day, createdAtMs: options.nowMs } as const
  const rest = { seed: null, cuts: null, training: null, gate: null }
  const state: FullState = { model, dense, users, items, ...nothingLearntHere(parts) }
  return { generation: generationOf({ ...facts, ...rest }, state, itemVectors), notes }
}

async function readManifest(store: ArtifactStore, folder: string): Promise<ImportManifest> {
  const problem = (why: string, cause?: unknown) => invalid(folder, 'manifest.json', why, cause)
  let json: unknown
  try {
    json = JSON.parse((await store.get(`${folder}/manifest.json`)).toString())
  } catch (cause) {
    throw problem(messageOf(cause), cause)
  }
  const parsed = importManifest.safeParse(json)
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map((i) => `${i.path.join('.') || 'top'}: ${i.message}`)
  throw problem(issues.join('; '))
}

/** A feature that no record has would be missing for everybody, and nothing would say so. */
function expectKnownFeatures(
  folder: string,
  { model }: ImportManifest,
  known: ImportOptions['features'],
): void {
  for (const side of sides) {
    const unknown = model[side].features.find(({ name }) => !known[side].includes(name))
    if (unknown === undefined) continue
    const names = known[side].length === 0 ? 'none' : known[side].join(', ')
    throw invalid(
      folder,
      'manifest.json',
      `${side} feature ${unknown.name} is not known: model.${side}.features of the configuration has ${names}; give it with --config`,
    )
  }
}

async function readParts(source: Source, manifest: ImportManifest): Promise<Parts> {
  const { counts } = manifest
  const { dim, outputDim = dim, user: userTower, item: itemTower, ...rest } = manifest.model
  const read = (side: Side) => {
    const features = featureWidth(manifest.model[side])
    return readTower(source, side, { dim, features, outputDim })
  }
  const towers = { user: await read('user'), item: await read('item') }
  const { user, item } = towers
  const model: ModelSpec = {
    ...{ ...rest, dim, outputDim },
    user: { ...userTower, ...user.form },
    item: { ...itemTower, ...item.form },
  }
  const tensors = await readTensors(source, files.dense, denseTensorsOf(model), 'ignored')
  const take = (name: string): Float32Array => {
    const [side, tensor] = name.split('.') as [Side, string]
    return towers[side].tensors[tensor] ?? tensors.f32(name)
  }
  const graphs = sides.flatMap((side) => {
    const own = towers[side].graphs
    return own === null ? [] : [[side, own] as const]
  })
  const dense = denseParameters(model, take, Object.fromEntries(graphs))
  const side = async (which: Side, ids: readonly string[], file: string): Promise<SideState> => {
    const { rows, seenMs } = await readRows(source, file, ids.length, dim)
    const defaultRow = tensors.f32(`${which}.default_row`)
    const accumulators = new Float32Array(ids.length)
    return { defaultRow, defaultAccumulator: 0, ids, rows, accumulators, seenMs }
  }
  const userIds = await readIds(source, files.userIds, 'UserId', counts.users)
  const itemIds = await readIds(source, files.itemIds, 'ItemId', counts.items)
  return {
    ...{ source, manifest, model, dense },
    towers: { user: user.file, item: item.file },
    notes: [...user.notes, ...item.notes],
    users: await side('user', userIds, files.userRows),
    items: await side('item', itemIds, files.itemRows),
  }
}

/** What its graph says is derived from it, with its gradient; else it is kept, and rows learn where a gradient graph is supplied. */
async function readTower(source: Source, side: Side, widths: Widths): Promise<Tower> {
  const { id } = source.manifest
  const [name, gradientName] = [towerFiles[side], gradientFiles[side]]
  const file = await readVerified(source, name)
  const tower = await inFile(id, name, () => importTower(file, widths))
  const isSupplied = await source.store.exists(placeIn(source, gradientName))
  if (tower.kind === 'layered') {
    const note = `${gradientName} is passed over: the gradient of ${name} is derived from itself`
    const { form, tensors } = tower
    return { file, form, tensors, graphs: null, notes: isSupplied ? [note] : [] }
  }
  await inFile(id, name, async () => (await OnnxFile.open(file)).close())
  const gradient = isSupplied ? Uint8Array.from(await readVerified(source, gradientName)) : null
  if (gradient !== null) await inFile(id, gradientName, () => checkGradientGraph(gradient, widths))
  const opaque = gradient === null ? 'frozen' : 'learning'
  return {
    ...{ file, form: { hidden: [], opaque }, tensors: {} },
    graphs: { forward: Uint8Array.from(file), gradient },
    notes: [`${name} is run as it is, and full updates train ID rows only: ${tower.why}`],
  }
}

function denseTensorsOf(model: ModelSpec): ExpectedTensor[] {
  const rows = ['user.default_row', 'item.default_row'].map((name) => ({
    name,
    shape: [model.dim],
  }))
  return [...rows, ...encodingShapes(model)].map((each) => ({ ...each, dtype: 'F32' }))
}

async function readRows(source: Source, file: string, count: number, dim: number) {
  const expected = rowsFileTensors(count, dim).map((each) => ({
    ...each,
    isOptional: each.name === 'seen_ms',
  }))
  const { f32, f64, has } = await readTensors(source, file, expected, 'ignored')
  const seenMs = has('seen_ms') ? f64('seen_ms') : new Float64Array(count)
  return { rows: f32('rows'), seenMs }
}

/** What belongs to training here, before its first step. */
function nothingLearntHere({ model, dense, users, items }: Parts) {
  const ofItems = () => new Float64Array(items.ids.length)
  return {
    adam: { steps: 0, first: zerosLike(dense), second: zerosLike(dense) },
    frequency: { examples: 0, lastSeen: ofItems(), gap: ofItems(), gaps: ofItems() },
    recent: noRecent(users.ids.length),
    activity: new ComputedFeatures(model.item).isEmpty
      ? noActivity()
      : { firstMs: ofItems(), hours: ofItems(), before: ofItems(), within: ofItems() },
  }
}

function longRows({ users, items, model: { dim } }: Parts, rowNormMax: number): string[] {
  const all = { user: users.rows, item: items.rows }
  return Object.entries(all).flatMap(([side, rows]) => {
    let longest = 0
    for (let from = 0; from < rows.length; from += dim) {
      longest = Math.max(longest, Math.hypot(...rows.subarray(from, from + dim)))
    }
    if (longest <= rowNormMax) return []
    return [
      `${side} rows are up to ${longest.toFixed(1)} long: learner.rowNormMax ${rowNormMax} shortens them when they learn, set it higher`,
    ]
  })
}

/** The same folder is the same generation. */
function hashOf({ towers, dense, users, items }: Parts): string {
  const hash = createHash('sha256').update(towers.user).update(towers.item)
  for (const side of sides) hash.update(dense[side].graphs?.gradient ?? '')
  return hash.update(users.rows).update(items.rows).digest('hex').slice(0, 8)
}
