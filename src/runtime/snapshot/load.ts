import { createHash } from 'node:crypto'
import { FreshetError, messageOf } from '../../errors.ts'
import { BruteForceIndex } from '../../index/brute-force.ts'
import { readHnswVectors } from '../../index/hnsw-file.ts'
import { HnswIndex } from '../../index/hnsw-index.ts'
import type { VectorIndex } from '../../index/vector-index.ts'
import type { SnapshotManifest } from '../../records/types.ts'
import { invalidSnapshot } from '../../streams/snapshot-assembly.ts'
import type { ArtifactStore } from '../generation/artifact-store.ts'
import { loadHnswlib, readGraph, sayMissing } from '../index-engines/hnswlib.ts'
import { inSlices } from '../in-slices.ts'
import type { Logger } from '../ports.ts'
import { checkVectors, decodeParts } from './parts.ts'
import type { DecodedParts, SnapshotContent } from './parts.ts'
import { checkFact, unpackPart } from './unpack.ts'

/** A snapshot as a pod serves it, all of it verified. */
export interface LoadedSnapshot extends Pick<
  SnapshotContent,
  'model' | 'dense' | 'userDefaultRow'
> {
  readonly id: string
  readonly revision: number
  /** Newest override set that is part of the index, 0 for none. */
  readonly overrideSequence: number
  readonly index: VectorIndex
}

export interface LoadOptions {
  readonly efSearch: number
  readonly log: Logger
  readonly signal: AbortSignal
}

/**
 * Makes an index of the chunks of a snapshot, in slices that do not hold up requests.
 * @param chunks of every part, in order; each has the hash that it names
 * @throws FreshetError SNAPSHOT_INVALID saying what is wrong
 */
export async function loadChunks(
  manifest: SnapshotManifest,
  chunks: ReadonlyMap<string, readonly Buffer[]>,
  options: LoadOptions,
): Promise<LoadedSnapshot> {
  const parts = new Map<string, Buffer>()
  for (const part of manifest.parts) {
    const ofPart = chunks.get(part.part)!
    parts.set(part.part, await unpackPart(manifest, part, ofPart, options.signal))
  }
  return loadParts(manifest, parts, options)
}

/** The same from the files that a manifest refers to. */
export async function loadFiles(
  manifest: SnapshotManifest,
  artifacts: Pick<ArtifactStore, 'get'>,
  options: LoadOptions,
): Promise<LoadedSnapshot> {
  const parts = new Map<string, Buffer>()
  for (const part of manifest.parts) {
    const bytes = await artifacts.get(`${manifest.reference}/${part.part}`)
    options.signal.throwIfAborted()
    checkFact(manifest, part, 'bytes', bytes.length, part.bytes)
    checkFact(manifest, part, 'sha256', await inSlices(hashing(bytes), options.signal), part.sha256)
    parts.set(part.part, bytes)
  }
  return loadParts(manifest, parts, options)
}

const hashedBytes = 4_000_000

/** Lower-case hex. Yields between slices. */
function* hashing(bytes: Uint8Array): Generator<void, string> {
  const hash = createHash('sha256')
  for (let from = 0; from < bytes.length; from += hashedBytes) {
    hash.update(bytes.subarray(from, from + hashedBytes))
    yield
  }
  return hash.digest('hex')
}

async function loadParts(
  manifest: SnapshotManifest,
  parts: ReadonlyMap<string, Buffer>,
  options: LoadOptions,
): Promise<LoadedSnapshot> {
  const { generation: id, revision, overrideSequence } = manifest
  try {
    const decoded = await decodeParts(parts, manifest, options.signal)
    const { model, dense, userDefaultRow } = decoded
    const index = await openIndex(manifest, decoded, options)
    return { id, revision, overrideSequence, model, dense, userDefaultRow, index }
  } catch (cause) {
    // The signal's own reason stays what it is.
    options.signal.throwIfAborted()
    if (!(cause instanceof FreshetError)) throw cause
    throw invalidSnapshot(manifest, messageOf(cause), cause)
  }
}

async function openIndex(
  { dim, items: count }: SnapshotManifest,
  { itemIds, vectors }: DecodedParts,
  { efSearch, log, signal }: LoadOptions,
): Promise<VectorIndex> {
  if (vectors.kind === 'plain') {
    return inSlices(BruteForceIndex.over(dim, itemIds, vectors.itemVectors), signal)
  }
  const itemVectors = await inSlices(readHnswVectors(vectors.file, { dim, count }), signal)
  await inSlices(checkVectors(itemVectors, dim), signal)
  const exact = await inSlices(BruteForceIndex.over(dim, itemIds, itemVectors), signal)
  const hnswlib = loadHnswlib()
  if (typeof hnswlib === 'string') {
    sayMissing(log, hnswlib)
    return exact
  }
  return new HnswIndex(await readGraph(hnswlib, vectors.file, { dim, count }), exact, efSearch)
}
