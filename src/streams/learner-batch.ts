import type { StepInput } from '../model/engine.ts'
import { hash32, mix32, Random } from '../model/hash.ts'
import { listwise, type Loss } from '../model/loss.ts'
import type { ModelSpec } from '../model/spec.ts'
import { featureWidth } from '../model/spec.ts'
import { grown } from '../model/typed-arrays.ts'
import type { Example } from '../records/types.ts'
import type { LearnerItems } from './learner-items.ts'

/** Bias that takes a negative out of an example's loss: it is the example's own positive. */
const masked = -1e9

export interface NegativeOptions {
  readonly loss: Loss
  /** Whether the loss is corrected for how often an item is drawn; without, popular items are held down. */
  readonly logQ: boolean
  /** Draws a micro-batch. */
  readonly negatives: number
  /** Share of the draws that comes from what ranking eliminated on the pages of the micro-batch, if anything. */
  readonly hardNegativeShare: number
}

/** The buffers of one micro-batch, used again for every batch. What is beyond the batch's size in them is left over. */
export class LearnerBatch implements StepInput {
  loss: Loss = listwise
  batch = 0
  negatives = 0
  readonly userRows: Float32Array
  readonly userFeatures: Float32Array
  readonly positiveRows: Float32Array
  readonly positiveFeatures: Float32Array
  readonly negativeRows: Float32Array
  readonly negativeFeatures: Float32Array
  readonly positiveBias: Float32Array
  readonly negativeBias: Float32Array
  readonly negativeWeights: Float32Array
  readonly weights: Float32Array
  /** [B] */
  readonly userSlots: Int32Array
  readonly positiveSlots: Int32Array
  /** [M] */
  readonly negativeSlots: Int32Array
  readonly #multiplicities: Int32Array
  readonly #dim: number
  readonly #itemWidth: number
  /** [slot] 1 + place among the negatives, 0 for none */
  #places = new Int32Array(16)

  constructor(model: ModelSpec, batchMax: number, negativesMax: number) {
    const userWidth = featureWidth(model.user)
    this.#dim = model.dim
    this.#itemWidth = featureWidth(model.item)
    this.userRows = new Float32Array(batchMax * model.dim)
    this.userFeatures = new Float32Array(batchMax * userWidth)
    this.positiveRows = new Float32Array(batchMax * model.dim)
    this.positiveFeatures = new Float32Array(batchMax * this.#itemWidth)
    this.negativeRows = new Float32Array(negativesMax * model.dim)
    this.negativeFeatures = new Float32Array(negativesMax * this.#itemWidth)
    this.positiveBias = new Float32Array(batchMax)
    this.negativeBias = new Float32Array(batchMax * negativesMax)
    this.negativeWeights = new Float32Array(batchMax * negativesMax)
    this.weights = new Float32Array(batchMax)
    this.userSlots = new Int32Array(batchMax)
    this.positiveSlots = new Int32Array(batchMax)
    this.negativeSlots = new Int32Array(negativesMax)
    this.#multiplicities = new Int32Array(negativesMax)
  }

  /** Counts the clicked items and gathers their rows. */
  gatherPositives(examples: readonly Example[], items: LearnerItems): void {
    examples.forEach(({ itemId, eventTimeMs, weight }, b) => {
      const slot = items.sight(itemId, eventTimeMs)
      this.positiveSlots[b] = slot
      this.weights[b] = weight
      items.table.copyRow(slot, this.positiveRows, b * this.#dim)
      items.copyFeatures(slot, this.positiveFeatures, b * this.#itemWidth)
    })
  }

  /**
   * Draws negatives, seeded by the examples, from two sources: the catalogue and, of these examples, what ranking eliminated. Whatever its source, an item is
   * expected in a known number of draws, and the biases correct for that (logQ): listwise, an item drawn m times stands for log(m / expected), which is
   * what m equal rows would come to, so that the loss estimates the softmax over the whole catalogue; otherwise m is its weight.
   */
  gatherNegatives(
    examples: readonly Example[],
    items: LearnerItems,
    { loss, logQ, negatives: count, hardNegativeShare }: NegativeOptions,
  ): void {
    const hard = hardNegativeShare === 0 ? [] : hardSlots(examples, items)
    const hardCount = hard.length === 0 ? 0 : Math.round(hardNegativeShare * count)
    const random = seededBy(examples)
    this.loss = loss
    this.negatives = items.sampler.draw(
      random,
      count - hardCount,
      this.negativeSlots,
      this.#multiplicities,
    )
    this.#places = grown(this.#places, items.table.slotCount)
    for (let m = 0; m < this.negatives; m++) this.#places[this.negativeSlots[m]!] = m + 1
    for (let i = 0; i < hardCount; i++) {
      this.#drawn(hard[Math.floor(random.nextFloat() * hard.length)]!)
    }
    for (let m = 0; m < this.negatives; m++) {
      const slot = this.negativeSlots[m]!
      items.table.copyRow(slot, this.negativeRows, m * this.#dim)
      items.copyFeatures(slot, this.negativeFeatures, m * this.#itemWidth)
    }
    const inHard = hardCount === 0 ? noCounts : countsOf(hard)
    const expected = (slot: number): number =>
      (count - hardCount) * items.sampler.probability(slot) +
      (hardCount * (inHard.get(slot) ?? 0)) / Math.max(1, hard.length)
    if (loss.kind === 'listwise') this.#setBiases(logQ ? expected : () => 1)
    else {
      const shareOf = (slot: number): number => (items.sampler.size * expected(slot)) / count
      this.#setWeights(loss, count, logQ ? shareOf : null)
    }
    for (let m = 0; m < this.negatives; m++) this.#places[this.negativeSlots[m]!] = 0
  }

  #drawn(slot: number): void {
    const place = this.#places[slot]! - 1
    if (place >= 0) this.#multiplicities[place]!++
    else {
      this.negativeSlots[this.negatives] = slot
      this.#multiplicities[this.negatives] = 1
      this.#places[slot] = ++this.negatives
    }
  }

  #setBiases(expected: (slot: number) => number): void {
    const { batch, negatives } = this
    for (let m = 0; m < negatives; m++) {
      const often = this.#multiplicities[m]! / expected(this.negativeSlots[m]!)
      this.negativeBias[m] = Math.log(often)
    }
    // The own item is not drawn, so it stands for itself.
    this.positiveBias.fill(0, 0, batch)
    for (let b = 1; b < batch; b++) this.negativeBias.copyWithin(b * negatives, 0, negatives)
    for (let b = 0; b < batch; b++) {
      const place = this.#places[this.positiveSlots[b]!]!
      if (place > 0) this.negativeBias[b * negatives + place - 1] = masked
    }
  }

  /**
   * Pointwise, an item is told from `negativesPerPositive` draws; pairwise, from the mean of them. A logit is then the log of how much likelier the item is for
   * this user than one in n is; cosines have no constant of their own that could learn the n.
   * @param shareOf how often a draw gives the item, times n; null: no logQ
   */
  #setWeights(
    loss: Exclude<Loss, { kind: 'listwise' }>,
    count: number,
    shareOf: ((slot: number) => number) | null,
  ): void {
    const { batch, negatives } = this
    const together = loss.kind === 'pointwise' ? loss.negativesPerPositive : 1
    const biasOf = (slot: number): number =>
      shareOf === null ? 0 : -Math.log(together * shareOf(slot))
    for (let m = 0; m < negatives; m++) this.negativeBias[m] = biasOf(this.negativeSlots[m]!)
    for (let b = 0; b < batch; b++) {
      const positive = this.positiveSlots[b]!
      this.positiveBias[b] = biasOf(positive)
      if (b > 0) this.negativeBias.copyWithin(b * negatives, 0, negatives)
      const own = this.#places[positive]! - 1
      const others = count - (own < 0 ? 0 : this.#multiplicities[own]!)
      for (let m = 0; m < negatives; m++) {
        const weight = m === own ? 0 : this.#multiplicities[m]! / others
        this.negativeWeights[b * negatives + m] = together * weight
      }
    }
  }
}

/** What ranking eliminated on the pages of these examples, and can be drawn: as often as it did. */
function hardSlots(examples: readonly Example[], { table, sampler }: LearnerItems): number[] {
  return examples.flatMap(({ hardNegatives }) =>
    hardNegatives.map((itemId) => table.find(itemId)).filter((slot) => sampler.has(slot)),
  )
}

const noCounts: ReadonlyMap<number, number> = new Map<number, number>()

function countsOf(slots: readonly number[]): ReadonlyMap<number, number> {
  const counts = new Map<number, number>()
  for (const slot of slots) counts.set(slot, (counts.get(slot) ?? 0) + 1)
  return counts
}

function seededBy(examples: readonly Example[]): Random {
  let high = 0
  let low = 0
  for (const { requestId, itemId } of examples) {
    high = mix32(high ^ hash32(requestId))
    low = mix32(low + hash32(itemId))
  }
  return new Random(high, low)
}
