import type { ActivityState } from '../model/item-activity.ts'
import type { DenseParameters, ModelSpec, TrainedParameters } from '../model/spec.ts'

/** Everything that a full update starts from and ends with. Row i of a side belongs to id i. */
export interface FullState {
  readonly model: ModelSpec
  readonly dense: DenseParameters
  readonly users: SideState
  readonly items: SideState
  readonly adam: AdamState
  readonly frequency: FrequencyState
  readonly recent: RecentState
  /** Of `items.ids`; of no item where the model has no computed features. */
  readonly activity: ActivityState
}

/** What each user has clicked last: each item once, newest first, one user after the other in the order of `users.ids`. */
export interface RecentState {
  /** [users] how many */
  readonly counts: Uint32Array
  /** [sum of counts] place in `items.ids` */
  readonly items: Uint32Array
  /** [sum of counts] event time of the click */
  readonly timesMs: Float64Array
}

export interface SideState {
  /** [d] row 0, learnt by ID dropout */
  readonly defaultRow: Float32Array
  /** Of row 0, for row-wise Adagrad. */
  readonly defaultAccumulator: number
  readonly ids: readonly string[]
  /** [n x d] */
  readonly rows: Float32Array
  /** [n] sums of mean squared gradients, for row-wise Adagrad */
  readonly accumulators: Float32Array
  /** [n] event time of the newest example, 0 for none */
  readonly seenMs: Float64Array
}

/** Adam's moments of the dense parameters, in their shapes. */
export interface AdamState {
  /** Steps taken in the whole lineage, for the bias correction. */
  readonly steps: number
  readonly first: TrainedParameters
  readonly second: TrainedParameters
}

/** Streaming frequency estimation (Yi et al. 2019, Algorithm 2), in units of examples; items in the order of `items.ids`. */
export interface FrequencyState {
  /** Examples seen in the whole lineage. */
  readonly examples: number
  /** [n] number of the example that last named the item, 0 for none */
  readonly lastSeen: Float64Array
  /** [n] moving average of the examples between two that name the item, 0 for unknown */
  readonly gap: Float64Array
  /** [n] gaps that the average has seen, up to the inverse of its rate */
  readonly gaps: Float64Array
}
