import { mix32, Random } from '../model/hash.ts'
import type { Loss } from '../model/loss.ts'
import type { FullStepInput } from '../model/engine.ts'
import type { EmbeddingTable } from '../model/embedding-table.ts'
import type { StreamingFrequency } from '../model/frequency.ts'
import { hourMs } from '../model/item-activity.ts'
import { PreparedFeatures } from '../model/prepared-features.ts'
import { observeNumbers, standardiseNumbers } from '../model/running-statistics.ts'
import type { DenseParameters, ModelSpec } from '../model/spec.ts'
import { featureWidth, isOpaque } from '../model/spec.ts'
import { grown } from '../model/typed-arrays.ts'
import type { Example } from '../records/types.ts'
import type { FullOptions } from './full-update.ts'
import type { FullUpdateItems } from './full-update-items.ts'

/** Heavier examples are taken for garbage, as in the learner. */
const weightMax = 1e6

/**
 * One step's input, in buffers that are used again. Candidates are the distinct items of the batch and `negatives` draws from all items alike
 * (mixed negative sampling, Yang et al. 2020). With the frequency p of an item, B of the batch and M draws among n items, it is expected
 * B p + M / n times; listwise, a candidate that came m times stands for log(m / expected), which is what m equal rows would come to; otherwise m is its weight.
 */
export class FullUpdateBatch implements FullStepInput {
  readonly loss: Loss
  batch = 0
  /** Those that can be trained on, in their order. */
  examples: readonly Example[] = []
  items = 0
  readonly userRows: Float32Array
  readonly userFeatures: Float32Array
  readonly itemRows: Float32Array
  readonly itemFeatures: Float32Array
  readonly targets: Int32Array
  readonly positiveBias: Float32Array
  readonly itemBias: Float32Array
  readonly itemWeights: Float32Array
  readonly rowWeights: Float32Array
  readonly weights: Float32Array
  /** [B] slots whose rows train: 0 where the user was dropped */
  readonly userSlots: Int32Array
  /** [N] likewise */
  readonly itemRowSlots: Int32Array
  /** [B] and [N] slots of the ids themselves */
  readonly userIdSlots: Int32Array
  readonly itemSlots: Int32Array
  /** [N] hour, since the epoch, as of which the item's computed features are: that of an example that it is a candidate for */
  readonly itemHours: Float64Array
  /** Entry b is example b's. */
  readonly userPrepared: PreparedFeatures
  readonly #counts: Int32Array
  /** [slot] 1 + place among the candidates, 0 for none */
  #places = new Int32Array(16)
  readonly #model: ModelSpec
  readonly #options: FullOptions

  constructor(model: ModelSpec, options: FullOptions) {
    const { batch, negatives } = options
    const itemsMax = batch + negatives
    this.#model = model
    this.#options = options
    this.loss = options.loss
    this.userRows = new Float32Array(batch * model.dim)
    this.userFeatures = new Float32Array(batch * featureWidth(model.user))
    this.itemRows = new Float32Array(itemsMax * model.dim)
    this.itemFeatures = new Float32Array(itemsMax * featureWidth(model.item))
    this.targets = new Int32Array(batch)
    this.positiveBias = new Float32Array(batch)
    this.itemBias = new Float32Array(itemsMax)
    this.itemWeights = new Float32Array(itemsMax)
    this.rowWeights = new Float32Array(batch)
    this.weights = new Float32Array(batch)
    this.userSlots = new Int32Array(batch)
    this.userIdSlots = new Int32Array(batch)
    this.itemSlots = new Int32Array(itemsMax)
    this.itemRowSlots = new Int32Array(itemsMax)
    this.itemHours = new Float64Array(itemsMax)
    this.userPrepared = new PreparedFeatures(model.user)
    this.#counts = new Int32Array(itemsMax)
  }

  /**
   * Fills everything for these examples; false where none of them can be trained on.
   * @param number of the first one in its day, which makes random choices
   */
  gather(
    number: number,
    examples: readonly Example[],
    users: EmbeddingTable,
    items: FullUpdateItems,
    dense: DenseParameters,
  ): boolean {
    const usable = examples.filter(({ weight }) => weight >= 0 && weight <= weightMax)
    const random = new Random(this.#options.seed, mix32(number))
    this.examples = usable
    this.batch = usable.length
    if (usable.length === 0) return false
    this.#gatherUsers(usable, users, dense, random)
    this.#gatherItems(usable, items, random)
    this.#writeItems(items, dense, random)
    return true
  }

  #gatherUsers(
    examples: readonly Example[],
    users: EmbeddingTable,
    dense: DenseParameters,
    random: Random,
  ): void {
    const { dim } = this.#model
    const prepared = this.userPrepared
    prepared.clear()
    examples.forEach((example, b) => {
      const { userId, eventTimeMs, weight, features } = example
      let slot = users.find(userId)
      if (slot === 0) slot = users.insert(userId, eventTimeMs)
      users.touch(slot, eventTimeMs)
      const row = random.nextFloat() < this.#options.userDropout ? 0 : slot
      this.userIdSlots[b] = slot
      this.userSlots[b] = row
      this.weights[b] = weight
      users.copyRow(row, this.userRows, b * dim)
      prepared.write(dense.user, prepared.add(features), this.userFeatures, b * prepared.width)
    })
    const { user } = this.#model
    if (!isOpaque(this.#model)) {
      observeNumbers(user, dense.user, this.userFeatures, this.batch, prepared.width)
    }
    standardiseNumbers(user, dense.user, this.userFeatures, 0, this.batch, prepared.width)
  }

  #gatherItems(examples: readonly Example[], items: FullUpdateItems, random: Random): void {
    this.items = 0
    examples.forEach(({ itemId, eventTimeMs }, b) => {
      this.targets[b] = this.#candidate(items.sight(itemId, eventTimeMs), eventTimeMs)
    })
    for (let draw = 0; draw < this.#options.negatives && items.size > 0; draw++) {
      const { eventTimeMs } = examples[draw % examples.length]!
      this.#candidate(items.draw(random), eventTimeMs)
    }
  }

  /** The item's place among the candidates; it came once more. */
  #candidate(slot: number, timeMs: number): number {
    this.#places = grown(this.#places, slot + 1)
    let place = this.#places[slot]! - 1
    if (place < 0) {
      place = this.items++
      this.#places[slot] = place + 1
      this.itemSlots[place] = slot
      this.itemHours[place] = Math.floor(timeMs / hourMs)
      this.#counts[place] = 0
    }
    this.#counts[place]!++
    return place
  }

  #writeItems(items: FullUpdateItems, dense: DenseParameters, random: Random): void {
    const { dim } = this.#model
    const { frequency, table } = items
    const { width } = items.prepared
    const { item } = this.#model
    const perItem = this.#options.negatives / Math.max(1, items.size)
    for (let n = 0; n < this.items; n++) {
      const slot = this.itemSlots[n]!
      this.#places[slot] = 0
      const isDropped = random.nextFloat() < this.#options.itemDropout
      const row = isDropped ? 0 : items.rowOf(slot)
      this.itemRowSlots[n] = row
      table.copyRow(row, this.itemRows, n * dim)
      items.writeFeatures(dense.item, slot, this.itemHours[n]!, this.itemFeatures, n * width)
    }
    if (!isOpaque(this.#model)) {
      observeNumbers(item, dense.item, this.itemFeatures, this.items, width)
    }
    standardiseNumbers(item, dense.item, this.itemFeatures, 0, this.items, width)
    const expected = (slot: number): number => this.#expected(frequency, slot, perItem)
    const { logQ } = this.#options
    if (this.loss.kind === 'listwise') this.#setBiases(logQ ? expected : () => 1)
    else this.#setWeights(this.loss, logQ ? (slot) => items.size * expected(slot) : null)
  }

  #setBiases(expected: (slot: number) => number): void {
    for (let n = 0; n < this.items; n++) {
      this.itemBias[n] = Math.log(this.#counts[n]! / expected(this.itemSlots[n]!))
    }
    // The own item is there for certain, so it stands for itself (Khrylchenko et al. 2025, "Correcting the LogQ correction").
    this.positiveBias.fill(0, 0, this.batch)
  }

  /** As in LearnerBatch: the candidates beside the own item are what is drawn. */
  #setWeights(
    loss: Exclude<Loss, { kind: 'listwise' }>,
    timesExpected: ((slot: number) => number) | null,
  ): void {
    const together = loss.kind === 'pointwise' ? loss.negativesPerPositive : 1
    let count = 0
    for (let n = 0; n < this.items; n++) count += this.#counts[n]!
    for (let n = 0; n < this.items; n++) {
      this.itemWeights[n] = this.#counts[n]!
      if (timesExpected === null) this.itemBias[n] = 0
      else {
        const share = timesExpected(this.itemSlots[n]!) / count
        this.itemBias[n] = -Math.log(together * share)
      }
    }
    for (let b = 0; b < this.batch; b++) {
      const target = this.targets[b]!
      this.positiveBias[b] = this.itemBias[target]!
      this.rowWeights[b] = together / Math.max(1, count - this.#counts[target]!)
    }
  }

  #expected(frequency: StreamingFrequency, slot: number, perItem: number): number {
    return this.batch * frequency.probability(slot) + perItem
  }
}
