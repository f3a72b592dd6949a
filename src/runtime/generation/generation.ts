import { FreshetError, messageOf } from '../../errors.ts'
import { initialise } from '../../model/initialise.ts'
import type { DenseParameters, ModelSpec } from '../../model/spec.ts'
import { decodeIds, encodeIds } from '../../records/id-file.ts'
import type { IdKind } from '../../records/id-file.ts'
import { encodeSafetensors, parseSafetensors } from '../../records/safetensors.ts'
import type { Tensor } from '../../records/safetensors.ts'
import { sha256Of } from './artifact-store.ts'
import type { ArtifactStore, FileFacts } from './artifact-store.ts'
import { denseParameters, denseTensors, denseTensorShapes } from './dense.ts'
import { generationId, generationManifest } from './manifest.ts'
import type { GenerationManifest } from './manifest.ts'

/** One generation: everything that incremental training and serving start from. Row i of a table belongs to id i. */
export interface Generation {
  readonly id: string
  readonly kind: GenerationManifest['kind']
  readonly parent: string | null
  readonly day: string | null
  readonly createdAtMs: number
  readonly seed: number | null
  readonly model: ModelSpec
  readonly dense: DenseParameters
  /** [d] row 0 */
  readonly userDefaultRow: Float32Array
  /** [d] row 0 */
  readonly itemDefaultRow: Float32Array
  readonly userIds: readonly string[]
  /** [userIds.length x d] */
  readonly userRows: Float32Array
  readonly itemIds: readonly string[]
  /** [itemIds.length x d] */
  readonly itemRows: Float32Array
  /** [itemIds.length x d], L2-normalised */
  readonly itemVectors: Float32Array
}

const files = {
  dense: 'dense.safetensors',
  userRows: 'user-rows.safetensors',
  itemRows: 'item-rows.safetensors',
  itemVectors: 'item-vectors.safetensors',
  userIds: 'user-ids.avro',
  itemIds: 'item-ids.avro',
} as const

/** What training starts from where there is nothing: random parameters, no ids. The same seed gives the same bytes. */
export function bootstrapGeneration(
  id: string,
  model: ModelSpec,
  seed: number,
  createdAtMs: number,
): Generation {
  const none = new Float32Array(0)
  return {
    ...{ id, kind: 'bootstrap', parent: null, day: null, createdAtMs, seed, model },
    ...initialise(model, seed),
    ...{ userIds: [], userRows: none, itemIds: [], itemRows: none, itemVectors: none },
  }
}

/** Writes `generations/<id>/`, the manifest last: it is what makes the folder a generation. */
export async function writeGeneration(
  store: ArtifactStore,
  generation: Generation,
): Promise<GenerationManifest> {
  const { model, userIds, itemIds } = generation
  if (await store.exists(placeOf(generation.id, 'manifest.json'))) {
    throw invalid(generation.id, 'manifest.json', 'it exists already, and generations never change')
  }
  const vectors: Tensor = { shape: [itemIds.length, model.dim], data: generation.itemVectors }
  const contents: Readonly<Record<string, Uint8Array[]>> = {
    [files.dense]: encodeSafetensors(denseTensors(model, generation.dense)),
    [files.userRows]: encodeRows(generation.userDefaultRow, generation.userRows),
    [files.itemRows]: encodeRows(generation.itemDefaultRow, generation.itemRows),
    [files.itemVectors]: encodeSafetensors(new Map([['vectors', vectors]])),
    [files.userIds]: encodeIds('UserId', userIds),
    [files.itemIds]: encodeIds('ItemId', itemIds),
  }
  const facts: Record<string, FileFacts> = {}
  for (const [name, parts] of Object.entries(contents)) {
    facts[name] = await store.put(placeOf(generation.id, name), parts)
  }
  const manifest = generationManifest.parse({
    format: 1,
    id: generation.id,
    kind: generation.kind,
    parent: generation.parent,
    day: generation.day,
    createdAt: new Date(generation.createdAtMs).toISOString(),
    seed: generation.seed,
    model,
    counts: { users: userIds.length, items: itemIds.length },
    files: facts,
  })
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)
  await store.put(placeOf(generation.id, 'manifest.json'), [text])
  return manifest
}

/** Row 0, then the rows of the ids. */
function encodeRows(defaultRow: Float32Array, rows: Float32Array): Uint8Array[] {
  const dim = defaultRow.length
  const all = new Float32Array(dim + rows.length)
  all.set(defaultRow)
  all.set(rows, dim)
  return encodeSafetensors(new Map([['rows', { shape: [all.length / dim, dim], data: all }]]))
}

/**
 * Loads a generation and verifies all of it: sizes, hashes, shapes, ids, and that every value is a finite number.
 * @throws FreshetError GENERATION_INVALID naming the file and what is wrong with it
 */
export async function loadGeneration(store: ArtifactStore, id: string): Promise<Generation> {
  const manifest = await loadManifest(store, id)
  const { model, counts } = manifest
  const { dim } = model
  const read = (file: string) => readVerified(store, manifest, file)
  const tensors = async (file: string, shapes: readonly Shape[]) =>
    takeTensors(id, file, await read(file), shapes)
  const ids = async (file: string, kind: IdKind, count: number) =>
    takeIds(id, file, kind, await read(file), count)

  const dense = await tensors(files.dense, denseTensorShapes(model))
  const userRows = await tensors(files.userRows, [{ name: 'rows', shape: [counts.users + 1, dim] }])
  const itemRows = await tensors(files.itemRows, [{ name: 'rows', shape: [counts.items + 1, dim] }])
  const vectors = await tensors(files.itemVectors, [
    { name: 'vectors', shape: [counts.items, dim] },
  ])
  checkNormalised(id, vectors('vectors'), dim)
  return {
    ...{ id, kind: manifest.kind, parent: manifest.parent, day: manifest.day },
    ...{ createdAtMs: Date.parse(manifest.createdAt), seed: manifest.seed, model },
    dense: denseParameters(model, dense),
    userDefaultRow: userRows('rows').slice(0, dim),
    itemDefaultRow: itemRows('rows').slice(0, dim),
    userIds: await ids(files.userIds, 'UserId', counts.users),
    userRows: userRows('rows').subarray(dim),
    itemIds: await ids(files.itemIds, 'ItemId', counts.items),
    itemRows: itemRows('rows').subarray(dim),
    itemVectors: vectors('vectors'),
  }
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

async function readVerified(
  store: ArtifactStore,
  { id, files: listed }: GenerationManifest,
  file: string,
): Promise<Buffer> {
  const expected = listed[file]
  if (expected === undefined) throw invalid(id, file, 'the manifest does not list it')
  let bytes
  try {
    bytes = await store.get(placeOf(id, file))
  } catch (cause) {
    throw invalid(id, file, messageOf(cause), cause)
  }
  if (bytes.length !== expected.bytes) {
    throw invalid(id, file, `it has ${bytes.length} bytes, the manifest says ${expected.bytes}`)
  }
  const sha256 = sha256Of(bytes)
  if (sha256 !== expected.sha256) {
    throw invalid(id, file, `its sha256 is ${sha256}, the manifest says ${expected.sha256}`)
  }
  return bytes
}

interface Shape {
  readonly name: string
  readonly shape: readonly number[]
}

/** Checks that a file holds exactly these float tensors, and gives them by name. */
function takeTensors(
  id: string,
  file: string,
  bytes: Buffer,
  shapes: readonly Shape[],
): (name: string) => Float32Array {
  let found: ReadonlyMap<string, Tensor>
  try {
    found = parseSafetensors(bytes).tensors
  } catch (cause) {
    throw invalid(id, file, messageOf(cause), cause)
  }
  const verified = new Map<string, Float32Array>()
  for (const { name, shape } of shapes) {
    const tensor = found.get(name)
    if (tensor === undefined) throw invalid(id, file, `tensor ${name} is missing`)
    if (!(tensor.data instanceof Float32Array)) throw invalid(id, file, `tensor ${name} is not F32`)
    if (tensor.shape.join() !== shape.join()) {
      const [is, must] = [tensor.shape.join(' x '), shape.join(' x ')]
      throw invalid(id, file, `tensor ${name} is ${is}, the model needs ${must}`)
    }
    const bad = tensor.data.findIndex((value) => !Number.isFinite(value))
    if (bad !== -1) {
      throw invalid(id, file, `tensor ${name} holds ${tensor.data[bad]} at element ${bad}`)
    }
    verified.set(name, tensor.data)
  }
  const extra = [...found.keys()].find((name) => !verified.has(name))
  if (extra !== undefined) throw invalid(id, file, `tensor ${extra} is not part of the model`)
  return (name) => verified.get(name)!
}

function takeIds(id: string, file: string, kind: IdKind, bytes: Buffer, count: number): string[] {
  let ids: string[]
  try {
    ids = decodeIds(kind, bytes)
  } catch (cause) {
    throw invalid(id, file, messageOf(cause), cause)
  }
  if (ids.length !== count) {
    throw invalid(id, file, `it holds ${ids.length} ids, the manifest says ${count}`)
  }
  const seen = new Set<string>()
  for (const each of ids) {
    if (seen.has(each)) throw invalid(id, file, `id ${each} is in it twice`)
    seen.add(each)
  }
  return ids
}

function checkNormalised(id: string, vectors: Float32Array, dim: number): void {
  for (let from = 0; from < vectors.length; from += dim) {
    const length = Math.hypot(...vectors.subarray(from, from + dim))
    if (Math.abs(length - 1) > 1e-3) {
      const row = from / dim
      throw invalid(id, files.itemVectors, `vector ${row} has length ${length}, not 1`)
    }
  }
}

function placeOf(id: string, file: string): string {
  return `generations/${id}/${file}`
}

function invalid(id: string, file: string, why: string, cause?: unknown): FreshetError {
  return new FreshetError('GENERATION_INVALID', `Generation ${id}, ${file}: ${why}`, { cause })
}
