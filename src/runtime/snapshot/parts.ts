import { FreshetError, messageOf } from '../../errors.ts'
import type { DenseParameters, ModelSpec, Side, TowerGraphs } from '../../model/spec.ts'
import { sides } from '../../model/spec.ts'
import { decodeIds, encodeIds } from '../../records/id-file.ts'
import { encodeSafetensors, parseSafetensors } from '../../records/safetensors.ts'
import type { Tensor } from '../../records/safetensors.ts'
import { denseParameters, denseTensors, denseTensorShapes } from '../generation/dense.ts'
import { generationManifest, writtenModel } from '../generation/manifest.ts'
import { inSlices } from '../in-slices.ts'

/** What a pod needs of a generation: the model, row 0 of the users, and every item with its vector. */
export interface SnapshotContent {
  readonly model: ModelSpec
  readonly dense: DenseParameters
  /** [d] row 0 */
  readonly userDefaultRow: Float32Array
  readonly itemIds: readonly string[]
  /** [itemIds.length x o], L2-normalised */
  readonly itemVectors: Float32Array
}

/** The vectors of a snapshot are in its HNSW file where it has one. */
export interface DecodedParts extends Omit<SnapshotContent, 'itemVectors'> {
  readonly vectors:
    | { readonly kind: 'plain'; readonly itemVectors: Float32Array }
    | { readonly kind: 'hnsw'; readonly file: Buffer }
}

const names = { model: 'model', vectors: 'item-vectors', index: 'index' } as const
const defaultRow = 'user.default_row'
/** Ids that one part holds: as many as are decoded in a few milliseconds. */
const idsAPart = 16_384
const vectorsASlice = 8_192

/** @param hnswFile the index, or null for one that is searched exactly */
export function encodeParts(
  content: SnapshotContent,
  hnswFile: Uint8Array | null,
): ReadonlyMap<string, readonly Uint8Array[]> {
  const { model, dense, userDefaultRow, itemIds, itemVectors } = content
  const tensors = new Map<string, Tensor>(denseTensors(model, dense))
  tensors.set(defaultRow, { shape: [model.dim], data: userDefaultRow })
  for (const side of sides) {
    const { graphs } = dense[side]
    if (graphs === undefined) continue
    tensors.set(graphName(side), { shape: [graphs.forward.length], data: graphs.forward })
  }
  const parts = new Map<string, readonly Uint8Array[]>()
  parts.set(names.model, encodeSafetensors(tensors, { model: JSON.stringify(writtenModel(model)) }))
  for (let from = 0; from < itemIds.length; from += idsAPart) {
    const slice = itemIds.slice(from, from + idsAPart)
    parts.set(idsPart(from / idsAPart), encodeIds('ItemId', slice))
  }
  if (hnswFile !== null) return parts.set(names.index, [hnswFile])
  const vectors = { shape: [itemIds.length, model.outputDim], data: itemVectors }
  return parts.set(names.vectors, encodeSafetensors(new Map([['vectors', vectors]])))
}

/**
 * Reads the parts back, in slices, and checks them: shapes, and that every value is a finite number.
 * @param facts of the snapshot: components of a vector, and items there must be
 * @throws FreshetError FILE_INVALID naming the part
 */
export async function decodeParts(
  parts: ReadonlyMap<string, Buffer>,
  { dim, items }: { readonly dim: number; readonly items: number },
  signal: AbortSignal,
): Promise<DecodedParts> {
  const model = inPart(names.model, () => decodeModel(partOf(parts, names.model)))
  const { outputDim } = model.model
  if (outputDim !== dim) {
    throw invalid(names.model, `its vectors have ${outputDim} components, the index has ${dim}`)
  }
  const itemIds: string[] = []
  for (let number = 0; itemIds.length < items; number++) {
    const name = idsPart(number)
    itemIds.push(...inPart(name, () => decodeIds('ItemId', partOf(parts, name))))
    await inSlices([undefined].values(), signal)
  }
  if (itemIds.length !== items)
    throw invalid('item-ids', `${itemIds.length} ids for ${items} items`)
  const file = parts.get(names.index)
  if (file !== undefined) return { ...model, itemIds, vectors: { kind: 'hnsw', file } }
  const tensors = inPart(
    names.vectors,
    () => parseSafetensors(partOf(parts, names.vectors)).tensors,
  )
  const itemVectors = floatsOf(names.vectors, tensors, 'vectors', [items, dim])
  await inSlices(checkVectors(itemVectors, dim), signal)
  return { ...model, itemIds, vectors: { kind: 'plain', itemVectors } }
}

function decodeModel(part: Buffer): Pick<SnapshotContent, 'model' | 'dense' | 'userDefaultRow'> {
  const { tensors, metadata } = parseSafetensors(part)
  const model = generationManifest.shape.model.parse(JSON.parse(metadata['model'] ?? 'null'))
  const shapes = new Map(denseTensorShapes(model).map(({ name, shape }) => [name, shape]))
  const take = (name: string, shape: readonly number[]) => {
    const floats = floatsOf(names.model, tensors, name, shape)
    const bad = floats.findIndex((value) => !Number.isFinite(value))
    if (bad !== -1) throw invalid(names.model, `${name} holds ${floats[bad]} at element ${bad}`)
    return floats
  }
  return {
    model,
    dense: denseParameters(
      model,
      (name) => take(name, shapes.get(name)!),
      graphsOf(model, tensors),
    ),
    userDefaultRow: take(defaultRow, [model.dim]),
  }
}

/** Forward only: pods learn nothing. */
function graphsOf(
  model: ModelSpec,
  tensors: ReadonlyMap<string, Tensor>,
): Partial<Record<Side, TowerGraphs>> {
  const opaque = sides.filter((side) => model[side].opaque !== undefined)
  return Object.fromEntries(
    opaque.map((side) => {
      const forward = tensors.get(graphName(side))?.data
      if (!(forward instanceof Uint8Array)) {
        throw invalid(names.model, `${graphName(side)} is missing`)
      }
      return [side, { forward, gradient: null }]
    }),
  )
}

/** The ONNX file of an opaque tower, as bytes. */
function graphName(side: Side): string {
  return `${side}.tower`
}

/** Finite and of length 1. Yields between slices. */
export function* checkVectors(vectors: Float32Array, dim: number): Generator<void, void> {
  for (let from = 0; from < vectors.length; from += dim) {
    let squares = 0
    for (let i = from; i < from + dim; i++) squares += vectors[i]! * vectors[i]!
    // What is not finite makes the sum so.
    if (!(Math.abs(Math.sqrt(squares) - 1) <= 1e-3)) {
      throw invalid(names.vectors, `vector ${from / dim} has length ${Math.sqrt(squares)}, not 1`)
    }
    if ((from / dim) % vectorsASlice === vectorsASlice - 1) yield
  }
}

function floatsOf(
  part: string,
  tensors: ReadonlyMap<string, Tensor>,
  name: string,
  shape: readonly number[],
): Float32Array {
  const tensor = tensors.get(name)
  if (tensor === undefined) throw invalid(part, `tensor ${name} is missing`)
  const { data } = tensor
  if (!(data instanceof Float32Array) || tensor.shape.join() !== shape.join()) {
    throw invalid(part, `tensor ${name} is not F32 ${shape.join(' x ')}`)
  }
  return data
}

function partOf(parts: ReadonlyMap<string, Buffer>, name: string): Buffer {
  const part = parts.get(name)
  if (part === undefined) throw invalid(name, 'it is missing')
  return part
}

/** Whatever the formats below throw, with the name of the part. */
function inPart<Result>(name: string, decode: () => Result): Result {
  try {
    return decode()
  } catch (cause) {
    throw invalid(name, messageOf(cause), cause)
  }
}

function idsPart(number: number): string {
  return `item-ids-${number}`
}

function invalid(part: string, why: string, cause?: unknown): FreshetError {
  return new FreshetError('FILE_INVALID', `part ${part}: ${why}`, { cause })
}
