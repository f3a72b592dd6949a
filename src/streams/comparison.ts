import type { RecallFigures } from '../model/evaluation.ts'
import { countRank, newFigures, Popularity, popularity7d } from '../model/evaluation.ts'
import type { Example } from '../records/types.ts'
import type { EvaluationSnapshot } from './learner-evaluation.ts'
import { LearnerEvaluation } from './learner-evaluation.ts'
import { LearnerItems } from './learner-items.ts'
import { LearnerTraining } from './learner-training.ts'
import type {
  CatalogueChange,
  Cut,
  ExampleRecord,
  LearnerBase,
  LearnerSetup,
} from './learner-types.ts'
import { newCounters } from './learner-types.ts'
import { LearnerUsers } from './learner-users.ts'
import type { BaseRows, UsersSnapshot } from './learner-users.ts'
import type { Learner, OffsetExample } from './learner.ts'
import { batchEnd, createLearner, isExample, restoreLearner } from './learner.ts'

/** A window of event time, as a learner learns it. */
export interface ComparedWindow {
  readonly catalogue: readonly { readonly cut: Cut; readonly changes: readonly CatalogueChange[] }[]
  readonly examples: readonly { readonly cut: Cut; readonly records: readonly ExampleRecord[] }[]
}

/** What each would have reached on the same cases, progressively: an example is ranked before it is learnt. */
export interface ComparedFigures {
  /** The generation that was live, without online training. */
  readonly fullOnly: RecallFigures
  /** Online training from random parameters, without any full update. */
  readonly incrementalOnly: RecallFigures
  /** Clicks of the last 24 hours, refreshed every 15 minutes. */
  readonly popularity24h: RecallFigures
  /** Clicks of the last seven whole days. */
  readonly popularity7d: RecallFigures
}

/**
 * Goal: say what each half of the loop is worth. Method: beside the live system, the same windows of the same examples are ranked by the
 * live generation as it came out of its full update, and learnt by a learner that knows no full update. What counts as a case, which
 * items are ranked and which are left out is decided by the code that scores the live system. Recent clicks are those that the
 * generation came with and those since.
 */
export class Comparison {
  readonly #popularity7d = newFigures()
  readonly #weekly = new Popularity(popularity7d)
  readonly #setup: LearnerSetup
  #incremental: Learner
  #frozen: Frozen

  /** Both begin with the same generation. */
  constructor(setup: LearnerSetup, base: LearnerBase) {
    this.#setup = setup
    this.#incremental = createLearner(setup, base)
    this.#frozen = this.#freeze(setup, base, null)
  }

  get figures(): ComparedFigures {
    const { all, popularity24h } = this.#frozen.evaluation.figures
    return {
      fullOnly: all,
      incrementalOnly: this.#incremental.figures.all,
      popularity24h,
      popularity7d: this.#popularity7d,
    }
  }

  /** Another generation is live from here on. */
  goLive(setup: LearnerSetup, base: LearnerBase): void {
    this.#frozen = this.#freeze(setup, base, this.#frozen.evaluation.snapshot())
    const snapshot = this.#incremental.snapshot()
    const users = { ...snapshot.users, recentItems: recentBy(snapshot.users, base.users) }
    this.#incremental = restoreLearner(this.#setup, { ...snapshot, users })
  }

  async pass({ catalogue, examples }: ComparedWindow): Promise<void> {
    for (const { cut, changes } of catalogue) await this.#incremental.applyCatalogue(cut, changes)
    for (const { cut, records } of examples) {
      await this.#frozen.evaluate(cut.partition, records.filter(isExample))
      await this.#incremental.applyExamples(cut, records)
    }
    await this.#incremental.sync()
    await this.#frozen.withdraw(catalogue.flatMap(({ changes }) => changes))
  }

  #freeze(setup: LearnerSetup, base: LearnerBase, before: EvaluationSnapshot | null): Frozen {
    const onCase = ({ itemId, eventTimeMs }: Example, recentItems: readonly string[]): void =>
      countRank(this.#popularity7d, this.#weekly.rank(itemId, eventTimeMs, recentItems), 0)
    const onExample = ({ itemId, eventTimeMs }: Example): void =>
      this.#weekly.observe(itemId, eventTimeMs)
    return new Frozen(setup, base, before, { onCase, onExample })
  }
}

/** The recent clicks of a generation for other rows of the same users. */
function recentBy({ table }: UsersSnapshot, users: BaseRows): readonly (readonly string[])[] {
  const entries = new Map(users.ids.map((id, entry) => [id, entry]))
  return table.ids.map((id) => {
    const entry = entries.get(id)
    return entry === undefined ? [] : (users.recentItems?.(entry) ?? [])
  })
}

interface FrozenHooks {
  readonly onCase: (example: Example, recentItems: readonly string[]) => void
  readonly onExample: (example: Example) => void
}

/** A generation that is asked and learns nothing, not even new items; withdrawn ones leave it. */
class Frozen {
  readonly evaluation: LearnerEvaluation
  readonly #setup: LearnerSetup
  readonly #users: LearnerUsers
  readonly #items: LearnerItems
  readonly #training: LearnerTraining
  readonly #hooks: FrozenHooks

  constructor(
    setup: LearnerSetup,
    base: LearnerBase,
    before: EvaluationSnapshot | null,
    hooks: FrozenHooks,
  ) {
    const { options, model, dense } = setup
    this.#setup = setup
    this.#hooks = hooks
    this.#users = new LearnerUsers(options, { defaultRow: base.userDefaultRow })
    this.#items = new LearnerItems(options, model, dense, { defaultRow: base.itemDefaultRow })
    this.#users.load(base.users, base.eventTimeMs)
    this.#items.load(base.items, base.eventTimeMs)
    this.#training = new LearnerTraining(setup, this.#users, this.#items, newCounters())
    this.evaluation = new LearnerEvaluation(
      this.#users,
      this.#items,
      options.evaluationSample,
      before,
      hooks.onCase,
    )
  }

  async evaluate(partition: number, examples: readonly OffsetExample[]): Promise<void> {
    for (let from = 0; from < examples.length;) {
      const batch = examples.slice(from, batchEnd(examples, from, this.#setup.options))
      from += batch.length
      await this.#evaluateBatch(partition, batch)
    }
  }

  async withdraw(changes: readonly CatalogueChange[]): Promise<void> {
    const withdrawn = changes.filter(({ item }) => item === null)
    for (const { itemId } of withdrawn) this.#items.applyCatalogue(itemId, null)
    if (withdrawn.length > 0) await this.#items.takeOverrides(this.#setup.engine)
  }

  async #evaluateBatch(partition: number, batch: readonly OffsetExample[]): Promise<void> {
    this.#users.table.makeRoom(batch.length)
    const accepted: OffsetExample[] = []
    for (const each of batch) {
      if (this.#training.accept(each.record, accepted.length)) accepted.push(each)
    }
    const { userSlots: slots, userRows: rows, userFeatures: features } = this.#training.batch
    const examples = accepted.map(({ record }) => record)
    const offsets = accepted.map(({ offset }) => offset)
    const gathered = { partition, offsets, examples, slots, rows, features }
    await this.evaluation.evaluate(gathered, this.#setup.engine, Infinity)
    accepted.forEach(({ offset, record: { itemId, eventTimeMs } }, b) => {
      this.#users.record(slots[b]!, partition, offset, itemId, eventTimeMs)
    })
    for (const example of examples) this.#hooks.onExample(example)
  }
}
