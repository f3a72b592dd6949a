import type { FullStepOutput, TensorEngine, TensorModel } from '../model/engine.ts'
import { aucOf } from '../model/gate.ts'
import type { Gate } from '../model/gate.ts'
import { standardiseNumbers } from '../model/running-statistics.ts'
import { featureWidth } from '../model/spec.ts'
import type { FullUpdateBatch } from './full-update-batch.ts'
import type { FullUpdateItems } from './full-update-items.ts'
import type { FullState } from './full-update-types.ts'

/** The generation before, as it was: it scores the batches that the new one is judged on, with the same candidates. */
export class FullUpdateParent {
  readonly #state: FullState
  readonly #engine: TensorEngine
  #model: TensorModel | null = null
  readonly #rows: Float32Array
  readonly #userFeatures: Float32Array
  readonly #itemFeatures: Float32Array

  /** @param itemsMax candidates of a batch, which are more than its users */
  constructor(state: FullState, engine: TensorEngine, itemsMax: number) {
    const { model } = state
    this.#state = state
    this.#engine = engine
    this.#rows = new Float32Array(itemsMax * model.dim)
    this.#userFeatures = new Float32Array(itemsMax * featureWidth(model.user))
    this.#itemFeatures = new Float32Array(itemsMax * featureWidth(model.item))
  }

  /** @param now vectors of the new generation */
  async compare(
    batch: FullUpdateBatch,
    items: FullUpdateItems,
    now: Pick<FullStepOutput, 'userVectors' | 'itemVectors'>,
    gate: Gate,
  ): Promise<void> {
    const { model, dense, users } = this.#state
    this.#model ??= await this.#engine.open(model, dense)
    const { userPrepared } = batch
    const itemWidth = items.prepared.width
    for (let b = 0; b < batch.batch; b++) {
      this.#copyRow(users, batch.userSlots[b]!, b)
      userPrepared.write(dense.user, b, this.#userFeatures, b * userPrepared.width)
    }
    const { width } = userPrepared
    standardiseNumbers(model.user, dense.user, this.#userFeatures, 0, batch.batch, width)
    const vectors = await this.#model.vectors('user', this.#rows, this.#userFeatures, batch.batch)
    for (let n = 0; n < batch.items; n++) {
      this.#copyRow(this.#state.items, batch.itemRowSlots[n]!, n)
      const [slot, hour] = [batch.itemSlots[n]!, batch.itemHours[n]!]
      items.writeFeatures(dense.item, slot, hour, this.#itemFeatures, n * itemWidth)
    }
    standardiseNumbers(model.item, dense.item, this.#itemFeatures, 0, batch.items, itemWidth)
    const others = await this.#model.vectors('item', this.#rows, this.#itemFeatures, batch.items)
    const before = await this.#model.scores(vectors, batch.batch, others, batch.items)
    const { userVectors, itemVectors } = now
    const scores = await this.#model.scores(userVectors, batch.batch, itemVectors, batch.items)
    for (let b = 0; b < batch.batch; b++) {
      const own = batch.targets[b]!
      const from = b * batch.items
      gate.add(aucOf(scores, from, batch.items, own), aucOf(before, from, batch.items, own))
    }
  }

  async close(): Promise<void> {
    await this.#model?.close()
  }

  /** Slot i + 1 is row i of the state; later slots are ids that it did not know. */
  #copyRow(side: FullState['users'], slot: number, place: number): void {
    const { dim } = this.#state.model
    const isKnown = slot > 0 && slot <= side.ids.length
    const row = isKnown ? side.rows.subarray((slot - 1) * dim, slot * dim) : side.defaultRow
    this.#rows.set(row, place * dim)
  }
}
