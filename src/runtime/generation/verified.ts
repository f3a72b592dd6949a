import { createHash } from 'node:crypto'
import path from 'node:path'
import { setImmediate as yieldToOthers } from 'node:timers/promises'
import { FreshetError, messageOf } from '../../errors.ts'
import { decodeIds } from '../../records/id-file.ts'
import type { IdKind } from '../../records/id-file.ts'
import { parseSafetensors } from '../../records/safetensors.ts'
import type { Tensor, TensorData } from '../../records/safetensors.ts'
import type { ArtifactStore, FileFacts } from './artifact-store.ts'
import type { ExpectedTensor } from './files.ts'
import type { GenerationManifest } from './manifest.ts'

const hashedAtOnceBytes = 16 << 20

/** One generation in a store. */
export interface Source {
  readonly store: ArtifactStore
  /** Where its files are; absent: `generations/<id>/` */
  readonly folder?: string
  readonly manifest: {
    readonly id: string
    /** null: nothing is said of them */
    readonly files: GenerationManifest['files'] | null
  }
}

/** The bytes of a file, of the size and hash that the manifest says. */
export async function readVerified(source: Source, file: string): Promise<Buffer> {
  const { id, files } = source.manifest
  const expected = files?.[file]
  if (files !== null && expected === undefined) {
    throw invalid(id, file, 'the manifest does not list it')
  }
  let bytes: Buffer
  try {
    bytes = await source.store.get(placeIn(source, file))
  } catch (cause) {
    throw invalid(id, file, messageOf(cause), cause)
  }
  if (expected !== undefined) await checkFacts(id, file, bytes, expected)
  return bytes
}

/** Name of a file in the store. */
export function placeIn({ folder, manifest }: Source, file: string): string {
  return folder === undefined ? placeOf(manifest.id, file) : path.posix.join(folder, file)
}

async function checkFacts(
  id: string,
  file: string,
  bytes: Buffer,
  expected: FileFacts,
): Promise<void> {
  if (bytes.length !== expected.bytes) {
    throw invalid(id, file, `it has ${bytes.length} bytes, the manifest says ${expected.bytes}`)
  }
  const hash = createHash('sha256')
  for (let from = 0; from < bytes.length; from += hashedAtOnceBytes) {
    if (from > 0) await yieldToOthers()
    hash.update(bytes.subarray(from, from + hashedAtOnceBytes))
  }
  const sha256 = hash.digest('hex')
  if (sha256 !== expected.sha256) {
    throw invalid(id, file, `its sha256 is ${sha256}, the manifest says ${expected.sha256}`)
  }
}

export interface Tensors {
  readonly has: (name: string) => boolean
  readonly f32: (name: string) => Float32Array
  readonly f64: (name: string) => Float64Array
  readonly u32: (name: string) => Uint32Array
}

/**
 * Checks that a file holds exactly these tensors, and gives them by name.
 * @param others `ignored`: the file may hold more
 */
export async function readTensors(
  source: Source,
  file: string,
  expected: readonly ExpectedTensor[],
  others: 'refused' | 'ignored' = 'refused',
): Promise<Tensors> {
  const { id } = source.manifest
  const bytes = await readVerified(source, file)
  let found: ReadonlyMap<string, Tensor>
  try {
    found = parseSafetensors(bytes).tensors
  } catch (cause) {
    throw invalid(id, file, messageOf(cause), cause)
  }
  const names = new Set(expected.map(({ name }) => name))
  for (const each of expected) {
    if (each.isOptional === true && !found.has(each.name)) continue
    const problem = problemOf(each, found.get(each.name))
    if (problem !== null) throw invalid(id, file, `tensor ${each.name} ${problem}`)
  }
  const extra = [...found.keys()].find((name) => !names.has(name))
  if (extra !== undefined && others === 'refused')
    throw invalid(id, file, `tensor ${extra} is not part of the model`)
  return {
    has: (name) => found.has(name),
    f32: (name) => found.get(name)!.data as Float32Array,
    f64: (name) => found.get(name)!.data as Float64Array,
    u32: (name) => found.get(name)!.data as Uint32Array,
  }
}

const arrays = { F32: Float32Array, F64: Float64Array, U32: Uint32Array } as const

function problemOf({ shape, dtype }: ExpectedTensor, tensor: Tensor | undefined): string | null {
  if (tensor === undefined) return 'is missing'
  const { data } = tensor
  if (!(data instanceof arrays[dtype])) return `is not ${dtype}`
  if (tensor.shape.join() !== shape.join()) {
    return `is ${tensor.shape.join(' x ')}, the model needs ${shape.join(' x ')}`
  }
  const bad = firstNotFinite(data)
  return bad === -1 ? null : `holds ${data[bad]} at element ${bad}`
}

/** Zero times anything finite is zero, so one sum says whether all are. */
function firstNotFinite(values: TensorData): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += 0 * values[i]!
  return sum === 0 ? -1 : values.findIndex((value) => !Number.isFinite(value))
}

/** Checks that a file holds so many ids, each once. */
export async function readIds(
  source: Source,
  file: string,
  kind: IdKind,
  count: number,
): Promise<string[]> {
  const { id } = source.manifest
  const bytes = await readVerified(source, file)
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

export function checkNormalised(
  id: string,
  file: string,
  vectors: Float32Array,
  dim: number,
  remedy = '',
): void {
  for (let from = 0; from < vectors.length; from += dim) {
    let squares = 0
    for (let i = from; i < from + dim; i++) squares += vectors[i]! * vectors[i]!
    const length = Math.sqrt(squares)
    // What is not finite makes the sum so.
    if (!(Math.abs(length - 1) <= 1e-3)) {
      const row = from / dim
      throw invalid(id, file, `vector ${row} has length ${length}, not 1${remedy}`)
    }
  }
}

/** Whatever goes wrong in it, with the name of the file. */
export async function inFile<T>(id: string, file: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw invalid(id, file, messageOf(cause), cause)
  }
}

export function invalid(id: string, file: string, why: string, cause?: unknown): FreshetError {
  return new FreshetError('GENERATION_INVALID', `Generation ${id}, ${file}: ${why}`, { cause })
}

export function placeOf(id: string, file: string): string {
  return `generations/${id}/${file}`
}
