import { FreshetError } from '../../errors.ts'
import type { Features } from '../../records/types.ts'
import { openServingEngine, type EngineName } from '../engines/index.ts'
import { UserTower } from '../recall-user-tower.ts'
import type { ArtifactStore } from './artifact-store.ts'
import { loadGeneration } from './generation.ts'

/** The vectors that a generation's files hold and make, for whoever looks at it from outside a pod. */
export interface GenerationVectors {
  readonly outputDim: number
  readonly itemIds: readonly string[]
  /** [items x o] as indexed, before any override */
  readonly itemVectors: Float32Array
  /** [o], a view; null: it was not there when the generation was made */
  itemVector(itemId: string): Float32Array | null
  /**
   * @param row [d]; null: the default row
   * @returns [o], of length 1
   * @throws FreshetError GENERATION_INVALID for a row of another width
   */
  userVector(row: Float32Array | null, features: Features): Promise<Float32Array>
  close(): Promise<void>
}

/** @throws FreshetError GENERATION_INVALID, also where the files are not there */
export async function openVectors(
  store: ArtifactStore,
  id: string,
  engine: EngineName,
): Promise<GenerationVectors> {
  const { model, dense, userDefaultRow, itemIds, itemVectors } = await loadGeneration(store, id, {
    for: 'serving',
  })
  const { dim, outputDim } = model
  const places = new Map(itemIds.map((itemId, i) => [itemId, i]))
  const tensors = await openServingEngine(engine).open(model, dense)
  const tower = new UserTower(tensors, model, dense)
  return {
    ...{ outputDim, itemIds, itemVectors },
    itemVector(itemId) {
      const at = places.get(itemId)
      return at === undefined ? null : itemVectors.subarray(at * outputDim, (at + 1) * outputDim)
    },
    async userVector(row, features) {
      if (row !== null && row.length !== dim) {
        const why = `the user's row has ${row.length} floats, those of ${id} have ${dim}`
        throw new FreshetError('GENERATION_INVALID', why)
      }
      return tower.vector(row ?? userDefaultRow, features)
    },
    close: () => tensors.close(),
  }
}
