import { noActivity, type ActivityState } from '../../model/item-activity.ts'
import { initialise } from '../../model/initialise.ts'
import type { DenseParameters, ModelSpec } from '../../model/spec.ts'
import { zerosLike } from '../../streams/full-update-dense.ts'
import { noRecent } from '../../streams/full-update-recent.ts'
import type {
  AdamState,
  FrequencyState,
  FullState,
  RecentState,
} from '../../streams/full-update-types.ts'
import type { GenerationManifest } from './manifest.ts'

export {
  listGenerations,
  loadGeneration,
  loadManifest,
  removeGeneration,
  verifyGeneration,
} from './load.ts'
export { writeGeneration } from './write.ts'

/** Where incremental training of a generation begins: the first offset of each partition behind its day. */
export type GenerationCuts = NonNullable<GenerationManifest['cuts']>

/** Where a generation comes from. */
export interface GenerationFacts {
  readonly id: string
  readonly kind: GenerationManifest['kind']
  readonly parent: string | null
  readonly day: string | null
  readonly createdAtMs: number
  readonly seed: number | null
  /** null: at the start of the topics. */
  readonly cuts: GenerationCuts | null
  readonly training: GenerationManifest['training']
  readonly gate: GenerationManifest['gate']
}

/** What serving needs. */
export interface ServingGeneration extends GenerationFacts {
  readonly model: ModelSpec
  readonly dense: DenseParameters
  /** [d] row 0 */
  readonly userDefaultRow: Float32Array
  /** [d] row 0 */
  readonly itemDefaultRow: Float32Array
  readonly itemIds: readonly string[]
  /** [itemIds.length x o], L2-normalised */
  readonly itemVectors: Float32Array
}

/** One generation: everything that incremental training and serving start from. Row i of a table belongs to id i. */
export interface Generation extends ServingGeneration {
  readonly userIds: readonly string[]
  /** [userIds.length x d] */
  readonly userRows: Float32Array
  /** [userIds.length] event time of the newest example, 0 for none */
  readonly userSeenMs: Float64Array
  /** [itemIds.length x d] */
  readonly itemRows: Float32Array
  /** [itemIds.length] */
  readonly itemSeenMs: Float64Array
  /** Recent clicks of `userIds` on `itemIds`. */
  readonly recent: RecentState
  /** Of `itemIds`; of no item where the model has no computed features. */
  readonly itemActivity: ActivityState
}

/** With all that the next full update goes on from. */
export interface TrainableGeneration extends Generation {
  readonly optimiser: Optimiser
}

export interface Optimiser {
  /** Of row 0, for row-wise Adagrad. */
  readonly userDefaultAccumulator: number
  readonly itemDefaultAccumulator: number
  /** [userIds.length] */
  readonly userAccumulators: Float32Array
  /** [itemIds.length] */
  readonly itemAccumulators: Float32Array
  readonly adam: AdamState
  readonly frequency: FrequencyState
}

/** What training starts from where there is nothing: random parameters, no ids. The same seed gives the same bytes. */
export function bootstrapGeneration(
  id: string,
  model: ModelSpec,
  seed: number,
  createdAtMs: number,
): TrainableGeneration {
  const facts = { id, kind: 'bootstrap', parent: null, day: null, createdAtMs, seed } as const
  return generationOf(
    { ...facts, cuts: null, training: null, gate: null },
    randomState(model, seed),
    new Float32Array(0),
  )
}

/** @param itemVectors [n x o] of `state.items.ids`, L2-normalised */
export function generationOf(
  facts: GenerationFacts,
  { model, dense, users, items, adam, frequency, recent, activity }: FullState,
  itemVectors: Float32Array,
): TrainableGeneration {
  return {
    ...facts,
    ...{ model, dense, itemVectors, recent, itemActivity: activity },
    ...{ userDefaultRow: users.defaultRow, itemDefaultRow: items.defaultRow },
    ...{ userIds: users.ids, userRows: users.rows, userSeenMs: users.seenMs },
    ...{ itemIds: items.ids, itemRows: items.rows, itemSeenMs: items.seenMs },
    optimiser: {
      ...{ adam, frequency },
      ...{ userAccumulators: users.accumulators, itemAccumulators: items.accumulators },
      userDefaultAccumulator: users.defaultAccumulator,
      itemDefaultAccumulator: items.defaultAccumulator,
    },
  }
}

/** What the next full update goes on from: views, not copies. */
export function fullStateOf(generation: TrainableGeneration): FullState {
  const { model, dense, optimiser } = generation
  return {
    ...{ model, dense, adam: optimiser.adam, frequency: optimiser.frequency },
    ...{ recent: generation.recent, activity: generation.itemActivity },
    users: {
      defaultRow: generation.userDefaultRow,
      defaultAccumulator: optimiser.userDefaultAccumulator,
      ids: generation.userIds,
      rows: generation.userRows,
      accumulators: optimiser.userAccumulators,
      seenMs: generation.userSeenMs,
    },
    items: {
      defaultRow: generation.itemDefaultRow,
      defaultAccumulator: optimiser.itemDefaultAccumulator,
      ids: generation.itemIds,
      rows: generation.itemRows,
      accumulators: optimiser.itemAccumulators,
      seenMs: generation.itemSeenMs,
    },
  }
}

function randomState(model: ModelSpec, seed: number): FullState {
  const { dense, userDefaultRow, itemDefaultRow } = initialise(model, seed)
  const side = (defaultRow: Float32Array) => ({
    ...{ defaultRow, defaultAccumulator: 0, ids: [], rows: new Float32Array(0) },
    ...{ accumulators: new Float32Array(0), seenMs: new Float64Array(0) },
  })
  const none = () => new Float64Array(0)
  return {
    ...{ model, dense, users: side(userDefaultRow), items: side(itemDefaultRow) },
    adam: { steps: 0, first: zerosLike(dense), second: zerosLike(dense) },
    frequency: { examples: 0, lastSeen: none(), gap: none(), gaps: none() },
    ...{ recent: noRecent(0), activity: noActivity() },
  }
}
