import { noRecent } from '../../src/streams/full-update-recent.ts'
import type { TrainableGeneration } from '../../src/runtime/generation/generation.ts'

/** A generation with these items instead of its own, nothing of which has been seen: each item's row is its vector [n x d]. */
export function withItems(
  generation: TrainableGeneration,
  itemIds: readonly string[],
  itemVectors: Float32Array,
): TrainableGeneration {
  const unseen = () => new Float64Array(itemIds.length)
  const { optimiser } = generation
  return {
    ...generation,
    ...{ itemIds, itemVectors, itemRows: itemVectors, itemSeenMs: unseen() },
    recent: noRecent(generation.userIds.length),
    optimiser: {
      ...optimiser,
      itemAccumulators: new Float32Array(itemIds.length),
      frequency: { ...optimiser.frequency, lastSeen: unseen(), gap: unseen(), gaps: unseen() },
    },
  }
}
