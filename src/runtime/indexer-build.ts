import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import type { Override, SnapshotManifest } from '../records/types.ts'
import { loadHnswlib, sayMissing } from './index-engines/hnswlib.ts'
import { indexThread } from './index-engines/build-thread.ts'
import type { Logger } from './ports.ts'
import { encodeParts } from './snapshot/parts.ts'
import type { SnapshotContent } from './snapshot/parts.ts'

export interface BuiltIndex {
  readonly engine: SnapshotManifest['engine']
  readonly recall: number
  readonly parts: ReadonlyMap<string, readonly Uint8Array[]>
}

/** Neighbours that an index is measured with. */
const recallAt = 100

/**
 * The parts of a snapshot with the index that the configuration and the size ask for.
 * @throws FreshetError SNAPSHOT_INVALID when the index finds too little, whatever it is built with
 */
export async function buildIndex(
  content: SnapshotContent,
  options: Config['index'],
  log: Logger,
  signal: AbortSignal,
): Promise<BuiltIndex> {
  const engine = engineFor(content.itemIds.length, options, log)
  if (engine === 'exact') return { engine, recall: 1, parts: encodeParts(content, null) }
  for (const efConstruction of [options.efConstruction, 2 * options.efConstruction]) {
    const startedAt = performance.now()
    const { file, recall } = await indexThread.build(
      {
        dim: content.model.outputDim,
        vectors: content.itemVectors,
        ...{ m: options.m, efConstruction, efSearch: options.efSearch },
        sample: { k: recallAt, queries: options.recallSample, seed: content.itemIds.length },
      },
      signal,
      (share) => log.info({ items: content.itemIds.length, share }, 'building an HNSW index'),
    )
    const items = content.itemIds.length
    const seconds = Math.round((performance.now() - startedAt) / 100) / 10
    log.info({ items, efConstruction, recall, seconds }, 'built an HNSW index')
    if (recall >= options.recallMin) return { engine, recall, parts: encodeParts(content, file) }
    log.warn({ recall, recallMin: options.recallMin, efConstruction }, 'the index finds too little')
  }
  throw new FreshetError(
    'SNAPSHOT_INVALID',
    `recall@${recallAt} of the index stays below index.recallMin ${options.recallMin}: raise index.m or index.efSearch, or take index.engine exact`,
  )
}

function engineFor(
  items: number,
  { engine, exactItemsMax }: Config['index'],
  log: Logger,
): SnapshotManifest['engine'] {
  // A graph without a node has no entry.
  if (engine === 'exact' || items === 0) return 'exact'
  if (engine === 'auto' && items <= exactItemsMax) return 'exact'
  const hnswlib = loadHnswlib()
  if (typeof hnswlib !== 'string') return 'hnswlib'
  sayMissing(log, hnswlib)
  return 'exact'
}

/**
 * A generation's items with its overrides folded in: moved items have the newer vector, new ones come at the end, withdrawn ones go.
 * @param overrides the newest of each item
 */
export function withOverrides(
  content: SnapshotContent,
  overrides: ReadonlyMap<string, Override>,
): SnapshotContent {
  if (overrides.size === 0) return content
  const dim = content.model.outputDim
  const known = new Set(content.itemIds)
  const added = [...overrides.values()].filter(
    ({ itemId, vector }) => !known.has(itemId) && isUsable(vector, dim),
  )
  const itemIds: string[] = []
  const vectors = new Float32Array(content.itemVectors.length + added.length * dim)
  const append = (id: string, vector: Float32Array | null): void => {
    if (vector === null) return
    vectors.set(vector, itemIds.length * dim)
    itemIds.push(id)
  }
  for (const [i, id] of content.itemIds.entries()) {
    const override = overrides.get(id)
    const own = content.itemVectors.subarray(i * dim, (i + 1) * dim)
    append(id, override !== undefined && isUsable(override.vector, dim) ? override.vector : own)
  }
  for (const { itemId, vector } of added) append(itemId, vector)
  return { ...content, itemIds, itemVectors: vectors.subarray(0, itemIds.length * dim) }
}

/** One bad vector must not spoil the index: its item keeps the one it has, as it does in a pod. */
function isUsable(vector: Float32Array | null, dim: number): boolean {
  if (vector === null) return true
  return vector.length === dim && Math.abs(Math.hypot(...vector) - 1) <= 1e-3
}
