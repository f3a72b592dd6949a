import type { TensorModel } from '../model/engine.ts'
import type { SgdOptions } from '../model/sgd.ts'
import type { DenseParameters, ModelSpec } from '../model/spec.ts'
import type { Example, Heartbeat, Item } from '../records/types.ts'
import type { NegativeOptions } from './learner-batch.ts'
import type { EvaluationSnapshot } from './learner-evaluation.ts'
import type { BaseItems, ItemOptions, ItemOverride, ItemsSnapshot } from './learner-items.ts'
import type { BaseRows, UserOptions, UserRow, UsersSnapshot } from './learner-users.ts'

/** The fields of config's `learner` that decide what is learnt. */
export interface LearnerOptions extends SgdOptions, UserOptions, ItemOptions, NegativeOptions {
  readonly batchMax: number
  /** Event time that a micro-batch may span: in a replay of sparse data, a batch would else hold days and learn them at once. */
  readonly batchSpanMs: number
  readonly expireAfterMs: number
  readonly evaluationSample: number
}

export interface LearnerSetup {
  readonly model: ModelSpec
  readonly dense: DenseParameters
  /** Opened with the same model and dense parameters. */
  readonly engine: TensorModel
  readonly options: LearnerOptions
}

/** What a generation starts from. */
export interface LearnerBase {
  /** [d] */
  readonly userDefaultRow: Float32Array
  readonly itemDefaultRow: Float32Array
  readonly users: BaseRows
  readonly items: BaseItems
  /** Event time up to which the generation has learnt; rows that do not say when they were seen count as that old. */
  readonly eventTimeMs: number
}

/** A contiguous offset range [from, to) of one partition. The tables are a function of the base and of the cuts in their order. */
export interface Cut {
  readonly topic: string
  readonly partition: number
  readonly from: number
  readonly to: number
}

export interface ExampleRecord {
  readonly offset: number
  readonly record: Example | Heartbeat
}

export interface CatalogueChange {
  readonly itemId: string
  /** null: withdrawn */
  readonly item: Item | null
}

/** How far a partition has been applied: `offset` is the first one that has not. */
export interface Position {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Event time through which the partition has been learnt, 0 for unknown. */
  readonly eventTimeMs: number
}

/** What has changed since the last sync. */
export interface LearnerSync {
  /** Every partition of examples with a position, also without changed rows: its learnedThrough may have moved. */
  readonly partitions: readonly {
    readonly partition: number
    readonly rows: readonly UserRow[]
    readonly learnedThrough: { readonly offset: number; readonly eventTimeMs: number }
  }[]
  /** Users whose rows have expired or were evicted. */
  readonly removedUsers: readonly string[]
  /** To be published as one set under `sequence`; empty: no set. */
  readonly overrides: readonly ItemOverride[]
  /** Of the newest override set, 0 before the first. */
  readonly sequence: number
  /** Newest event time learnt. */
  readonly eventTimeMs: number
}

export interface LearnerCounters {
  /** Examples seen; those that were not trained are in one of the next four. */
  examples: number
  /** Beyond examplesPerUserPerMinuteMax. */
  overRate: number
  /** With a weight or a loss that is no usable number. */
  quarantinedExamples: number
  /** While no item was known that could be a negative. */
  withoutNegatives: number
  /** No rows that learn online have a gradient. */
  frozen: number
  trained: number
  /** Sum of the trained examples' losses before their update. */
  lossSum: number
  /** Row updates left out because their gradient was not finite. */
  quarantinedRows: number
  /** Features that were no usable numbers, or of the wrong length. */
  unusableFeatures: number
  expiredUsers: number
  expiredItems: number
  evictedUsers: number
  evictedItems: number
}

export interface LearnerSnapshot {
  readonly users: UsersSnapshot
  /** Users whose rows have gone since the last sync. */
  readonly removedUsers: readonly string[]
  readonly items: ItemsSnapshot
  /** null: it does not evaluate */
  readonly evaluation: EvaluationSnapshot | null
  readonly positions: readonly Position[]
  readonly exampleTopic: string | null
  readonly baseTimeMs: number
  readonly sequence: number
  readonly streamTimeMs: number
  readonly sweep: number
  readonly counters: LearnerCounters
}

export function newCounters(): LearnerCounters {
  return {
    examples: 0,
    overRate: 0,
    quarantinedExamples: 0,
    withoutNegatives: 0,
    frozen: 0,
    trained: 0,
    lossSum: 0,
    quarantinedRows: 0,
    unusableFeatures: 0,
    expiredUsers: 0,
    expiredItems: 0,
    evictedUsers: 0,
    evictedItems: 0,
  }
}
