import type { ModelSpec } from '../../model/spec.ts'
import type { TrainableGeneration } from '../../runtime/generation/generation.ts'
import type { LearnerBase, LearnerSetup, LearnerSync } from '../../streams/learner-types.ts'
import type { Learner } from '../../streams/learner.ts'
import type { Case } from './cases.ts'
import type { ClickedItems } from './clicked-items.ts'
import { ranksIn } from './rank.ts'
import { ServingView } from './serving-view.ts'

/** A generation that is learnt on, as serving gets it first. */
export interface Lineage {
  readonly generation: TrainableGeneration
  readonly learner: Learner
  readonly setup: LearnerSetup
  readonly base: LearnerBase
  readonly first: LearnerSync
  /** Event time that it has come to. */
  readonly atMs: number
}

/** What answers the cases, with what it was given. */
export interface Serving {
  /** A generation goes live. */
  load(lineage: Lineage): Promise<void>
  apply(sync: LearnerSync): Promise<void>
  /** Of each case among the first `count` items; null: the item cannot be recalled, or is beyond what is ranked. */
  ranks(cases: readonly Case[], count: number): Promise<readonly (number | null)[]>
}

/** Exact, in this process. */
export class MemoryServing implements Serving {
  readonly #view: ServingView

  constructor(model: ModelSpec, items: ClickedItems) {
    this.#view = new ServingView(model, items)
  }

  async load({ base, setup, first }: Lineage): Promise<void> {
    this.#view.load(base, setup)
    await this.apply(first)
  }

  apply(sync: LearnerSync): Promise<void> {
    this.#view.apply(sync)
    return Promise.resolve()
  }

  ranks(cases: readonly Case[], count: number): Promise<(number | null)[]> {
    return ranksIn(this.#view, cases, count)
  }
}
