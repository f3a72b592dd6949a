import { FreshetError } from '../errors.ts'
import { BruteForceIndex } from '../index/brute-force.ts'
import type { Neighbours } from '../index/vector-index.ts'
import { noFeatures } from '../records/types.ts'
import type { EngineName } from '../runtime/engines/index.ts'
import type { ArtifactStore } from '../runtime/generation/artifact-store.ts'
import { loadManifest } from '../runtime/generation/generation.ts'
import { openVectors } from '../runtime/generation/vectors.ts'
import { inSlices } from '../runtime/in-slices.ts'
import type { Overrides } from '../runtime/inspect/overrides.ts'
import { principalPlane, sampleIds, type Plane } from './projection.ts'

/** One generation's vectors, as the artifact store has them and the overrides topic changes them. */
export interface Space {
  readonly itemIds: readonly string[]
  /** A sample of the items, always the same, with their base vectors [sample x o]. */
  readonly sample: readonly string[]
  readonly plane: Plane
  /** @returns the vector [o] of a user with this row [d], without features; null: of a user without one */
  userVector(row: Float32Array | null): Promise<Float32Array>
  /** Exact. */
  search(query: Float32Array, k: number, skip: ReadonlySet<string>): Promise<Neighbours>
  /** [o], with the newest override; null: not there. */
  vectorOf(itemId: string): Promise<Float32Array | null>
  close(): Promise<void>
}

interface SpacesDeps {
  readonly overrides: Pick<Overrides, 'of'>
  readonly store: ArtifactStore
  readonly engine: EngineName
}

/** Live, candidate and previous. */
const spacesMax = 3
const itemsMax = 200_000
const sampleMax = 2_000

/** Generations that are looked at, loaded when they are first asked for. */
export class Spaces {
  readonly #deps: SpacesDeps
  readonly #spaces = new Map<string, Promise<Space>>()

  constructor(deps: SpacesDeps) {
    this.#deps = deps
  }

  /** @throws FreshetError GENERATION_INVALID, OVERLOADED for more items than are looked at here */
  async of(id: string): Promise<Space> {
    const known = this.#spaces.get(id)
    if (known !== undefined) return known
    const loading = this.#load(id)
    this.#spaces.set(id, loading)
    loading.catch(() => this.#spaces.delete(id))
    const [oldest] = this.#spaces
    if (this.#spaces.size > spacesMax && oldest !== undefined) {
      this.#spaces.delete(oldest[0])
      void closeLoaded(oldest[1])
    }
    return loading
  }

  async close(): Promise<void> {
    await Promise.all([...this.#spaces.values()].map(closeLoaded))
  }

  async #load(id: string): Promise<Space> {
    const { store, engine, overrides } = this.#deps
    const { counts } = await loadManifest(store, id)
    if (counts.items > itemsMax) {
      const message = `${id} has ${counts.items} items; the console looks at ${itemsMax} at most`
      throw new FreshetError('OVERLOADED', message)
    }
    const vectors = await openVectors(store, id, engine)
    const { outputDim: dim, itemIds, itemVectors, itemVector } = vectors
    const sample = sampleIds(itemIds, sampleMax)
    const sampled = new Float32Array(sample.length * dim)
    for (const [i, itemId] of sample.entries()) sampled.set(itemVector(itemId)!, i * dim)
    const plane = await inSlices(principalPlane(sampled, dim))
    const index = await inSlices(BruteForceIndex.over(dim, itemIds, itemVectors.slice()))
    let applied = 0
    const apply = async (): Promise<void> => {
      let newest = applied
      for (const [itemId, { vector, sequence }] of await overrides.of(id)) {
        if (sequence < applied) continue
        if (vector === null) index.remove(itemId)
        else index.set(itemId, vector)
        newest = Math.max(newest, sequence)
      }
      applied = newest
    }
    return {
      ...{ itemIds, sample, plane },
      userVector: (row) => vectors.userVector(row, noFeatures),
      search: async (query, k, skip) => {
        await apply()
        return inSlices(index.searchExactly(query, k, (itemId) => skip.has(itemId)))
      },
      vectorOf: async (itemId) =>
        (await overrides.of(id)).get(itemId)?.vector ?? itemVector(itemId),
      close: () => vectors.close(),
    }
  }
}

async function closeLoaded(loading: Promise<Space>): Promise<void> {
  await loading.then(
    (space) => space.close(),
    () => undefined,
  )
}
