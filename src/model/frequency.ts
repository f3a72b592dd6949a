import { grown } from './typed-arrays.ts'

/** Waiting for so many average gaps happens to one item in twenty without any change. */
const newsAfter = 3

/**
 * How often each item is named, per example, from a stream: the moving average of the gap between two examples that name it (Yi et al. 2019,
 * "Sampling-Bias-Corrected Neural Modeling", Algorithm 2, without hashing, as every item has a slot). It follows drift, needs no second pass and
 * does not know the catalogue's size. Two things are added for what has been seen little: the average of the first gaps weighs them alike, as it would
 * otherwise hang on the first one, and an item that has been quiet for much longer than its average gap counts by how long it has been quiet.
 */
export class StreamingFrequency {
  readonly #rate: number
  /** Examples seen. */
  examples: number
  /** [slot] number of the example that last named the item, from 1; 0: none */
  lastSeen: Float64Array<ArrayBuffer>
  /** [slot] average gap, 0: not known yet */
  gap: Float64Array<ArrayBuffer>
  /** [slot] gaps seen, up to 1 / rate */
  gaps: Float64Array<ArrayBuffer>

  /** @param rate of the moving average, in (0, 1] */
  constructor(rate: number, slots: number) {
    this.#rate = rate
    this.examples = 0
    this.lastSeen = new Float64Array(slots)
    this.gap = new Float64Array(slots)
    this.gaps = new Float64Array(slots)
  }

  /** One example that names the item. */
  observe(slot: number): void {
    this.lastSeen = grown(this.lastSeen, slot + 1)
    this.gap = grown(this.gap, slot + 1)
    this.gaps = grown(this.gaps, slot + 1)
    const now = ++this.examples
    const last = this.lastSeen[slot]!
    this.lastSeen[slot] = now
    if (last === 0) return
    const count = this.gaps[slot]! + 1
    const rate = Math.max(this.#rate, 1 / count)
    this.gap[slot] = (1 - rate) * this.gap[slot]! + rate * (now - last)
    this.gaps[slot] = Math.min(count, 1 / this.#rate)
  }

  /** Probability that an example names the item: at most 1, above 0. */
  probability(slot: number): number {
    const last = this.lastSeen[slot] ?? 0
    // Once in all examples so far, or less than that: what is not known yet is rare.
    if (last === 0) return 1 / (2 * (this.examples + 1))
    const quiet = this.examples - last
    const gap = this.gap[slot]! > 0 ? this.gap[slot]! : this.examples
    return 1 / Math.max(1, gap, quiet / newsAfter)
  }
}
