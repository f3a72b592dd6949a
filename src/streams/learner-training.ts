import { encodeFeatures } from '../model/features.ts'
import { RowGradients } from '../model/sgd.ts'
import { featureWidth, frozenSides } from '../model/spec.ts'
import type { Example } from '../records/types.ts'
import { LearnerBatch } from './learner-batch.ts'
import type { LearnerItems } from './learner-items.ts'
import type { LearnerCounters, LearnerSetup } from './learner-types.ts'
import type { LearnerUsers } from './learner-users.ts'

/** Heavier examples are taken for garbage. */
const weightMax = 1e6

/** One micro-batch: its users are gathered example by example, then rows are changed at once. */
export class LearnerTraining {
  readonly batch: LearnerBatch
  readonly #setup: LearnerSetup
  readonly #users: LearnerUsers
  readonly #items: LearnerItems
  readonly #counters: LearnerCounters
  readonly #userGradients: RowGradients
  readonly #itemGradients: RowGradients
  readonly #trainsUsers: boolean
  readonly #trainsItems: boolean

  /** @param counters are counted up in place */
  constructor(
    setup: LearnerSetup,
    users: LearnerUsers,
    items: LearnerItems,
    counters: LearnerCounters,
  ) {
    const { model, options } = setup
    this.batch = new LearnerBatch(model, options.batchMax, options.negatives)
    this.#setup = setup
    this.#users = users
    this.#items = items
    this.#counters = counters
    this.#userGradients = new RowGradients(model.dim)
    this.#itemGradients = new RowGradients(model.dim)
    const frozen = frozenSides(model)
    this.#trainsUsers = !frozen.includes('user')
    this.#trainsItems = !frozen.includes('item') && options.onlineRows === 'user+item'
  }

  /** Gathers the example's user into place `b`; false: it is not trained. */
  accept(example: Example, b: number): boolean {
    const { model, dense } = this.#setup
    this.#counters.examples++
    if (!(example.weight >= 0 && example.weight <= weightMax)) {
      this.#counters.quarantinedExamples++
      return false
    }
    const slot = this.#users.sight(example.userId, example.eventTimeMs)
    if (!this.#users.isWithinRate(slot, example.eventTimeMs)) {
      this.#counters.overRate++
      return false
    }
    this.batch.userSlots[b] = slot
    this.#users.table.copyRow(slot, this.batch.userRows, b * model.dim)
    this.#counters.unusableFeatures += encodeFeatures(
      model.user,
      dense.user,
      example.features,
      this.batch.userFeatures,
      b * featureWidth(model.user),
    )
    return true
  }

  /** Trains on the examples that `accept` has gathered; `batch.batch` is their number. */
  async train(examples: readonly Example[]): Promise<void> {
    const { options, engine, model } = this.#setup
    const batch = this.batch
    batch.gatherPositives(examples, this.#items)
    if (!this.#trainsUsers && !this.#trainsItems) {
      this.#counters.frozen += examples.length
      return
    }
    if (this.#items.sampler.size === 0) {
      this.#counters.withoutNegatives += examples.length
      return
    }
    batch.gatherNegatives(examples, this.#items, options)
    const output = await engine.step(batch)
    for (let b = 0; b < batch.batch; b++) {
      const loss = output.losses[b]!
      if (Number.isFinite(loss)) {
        this.#counters.trained++
        this.#counters.lossSum += loss
      } else this.#counters.quarantinedExamples++
      const user = batch.userSlots[b]!
      const positive = batch.positiveSlots[b]!
      if (user !== 0 && this.#trainsUsers) {
        this.#userGradients.add(user, output.userGradients, b * model.dim)
      }
      if (this.#trainsItem(positive)) {
        this.#itemGradients.add(positive, output.positiveGradients, b * model.dim)
      }
    }
    for (let m = 0; m < batch.negatives; m++) {
      const negative = batch.negativeSlots[m]!
      if (this.#trainsItem(negative)) {
        this.#itemGradients.add(negative, output.negativeGradients, m * model.dim)
      }
    }
    this.#counters.quarantinedRows +=
      this.#userGradients.apply(this.#users.table, options) +
      this.#itemGradients.apply(this.#items.table, options)
  }

  #trainsItem(slot: number): boolean {
    return this.#trainsItems && this.#items.trains(slot)
  }
}
