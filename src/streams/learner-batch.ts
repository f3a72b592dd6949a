import type { StepInput } from '../model/engine.ts'
import { hash32, mix32, Random } from '../model/hash.ts'
import type { ModelSpec } from '../model/spec.ts'
import { featureWidth } from '../model/spec.ts'
import { grown } from '../model/typed-arrays.ts'
import type { Example } from '../records/types.ts'
import type { LearnerItems } from './learner-items.ts'

/** Bias that takes a negative out of an example's softmax: it is the example's own positive. */
const masked = -1e9

/** The buffers of one micro-batch, used again for every batch. What is beyond the batch's size in them is left over. */
export class LearnerBatch implements StepInput {
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
   * Draws `count` negatives, seeded by the examples, and sets the biases for the logQ correction: an item drawn m times stands for
   * log(m / expected count), which is what m equal rows would come to.
   */
  gatherNegatives(examples: readonly Example[], items: LearnerItems, count: number): void {
    const { sampler } = items
    const distinct = sampler.draw(
      seededBy(examples),
      count,
      this.negativeSlots,
      this.#multiplicities,
    )
    this.negatives = distinct
    this.#places = grown(this.#places, items.table.slotCount)
    for (let m = 0; m < distinct; m++) {
      const slot = this.negativeSlots[m]!
      this.#places[slot] = m + 1
      items.table.copyRow(slot, this.negativeRows, m * this.#dim)
      items.copyFeatures(slot, this.negativeFeatures, m * this.#itemWidth)
      this.negativeBias[m] = Math.log(
        this.#multiplicities[m]! / (count * sampler.probability(slot)),
      )
    }
    for (let b = 0; b < this.batch; b++) {
      const positive = this.positiveSlots[b]!
      this.positiveBias[b] = -Math.log(count * sampler.probability(positive))
      if (b > 0) this.negativeBias.copyWithin(b * distinct, 0, distinct)
    }
    for (let b = 0; b < this.batch; b++) {
      const place = this.#places[this.positiveSlots[b]!]!
      if (place > 0) this.negativeBias[b * distinct + place - 1] = masked
    }
    for (let m = 0; m < distinct; m++) this.#places[this.negativeSlots[m]!] = 0
  }
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
