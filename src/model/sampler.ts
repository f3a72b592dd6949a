import type { Random } from './hash.ts'
import { grown } from './typed-arrays.ts'

/** Weights grow as 2^(event time / half-life); at this exponent all of them are scaled back. */
const exponentMax = 32

export interface SamplerOptions {
  /** A click counts half after this long, in event time. */
  readonly halfLifeMs: number
  /** Share of draws by decayed click counts; the rest is uniform over all known items. */
  readonly popularityShare: number
}

/**
 * Draws negatives from a mixture of decayed click counts and the uniform distribution over known items. Decay costs nothing: new clicks
 * weigh more instead of old ones less, and the scale is taken back by a power of two, which is exact in floating point. The
 * weights lie in a binary tree whose inner nodes are the sums of their two children, so that it is a function of its leaves.
 */
export class NegativeSampler {
  readonly #options: SamplerOptions
  /** Node 1 is the root, children of n are 2n and 2n + 1, the leaf of slot s is capacity + s. */
  #tree = new Float64Array(32)
  #capacity = 16
  /** Event time at which a click weighs 1; null before the first. */
  #originMs: number | null = null
  #known: number[] = []
  /** [slot] 1 + place in #known, 0 for unknown. */
  #places = new Int32Array(16)
  #multiplicities = new Int32Array(16)

  constructor(options: SamplerOptions) {
    this.#options = options
  }

  /** Number of items that can be drawn. */
  get size(): number {
    return this.#known.length
  }

  has(slot: number): boolean {
    return (this.#places[slot] ?? 0) !== 0
  }

  add(slot: number): void {
    if (this.has(slot)) return
    this.#cover(slot)
    this.#places[slot] = this.#known.push(slot)
  }

  /** Forgets an item and its clicks. */
  remove(slot: number): void {
    if (!this.has(slot)) return
    const last = this.#known.pop()!
    if (last !== slot) {
      this.#known[this.#places[slot]! - 1] = last
      this.#places[last] = this.#places[slot]!
    }
    this.#places[slot] = 0
    this.#setWeight(slot, 0)
  }

  /** Counts one click on a known item. */
  observe(slot: number, eventTimeMs: number): void {
    if (!this.has(slot)) return
    this.#originMs ??= eventTimeMs
    let exponent = (eventTimeMs - this.#originMs) / this.#options.halfLifeMs
    if (exponent > exponentMax) {
      const whole = Math.floor(exponent)
      this.#scale(2 ** -whole)
      this.#originMs += whole * this.#options.halfLifeMs
      exponent -= whole
    }
    this.#setWeight(slot, this.#tree[this.#capacity + slot]! + 2 ** exponent)
  }

  /** Probability that one draw gives this item. An item that cannot be drawn counts like one without clicks. */
  probability(slot: number): number {
    const total = this.#tree[1]!
    const share = total > 0 ? this.#options.popularityShare : 0
    const weight = this.has(slot) ? this.#tree[this.#capacity + slot]! : 0
    const byClicks = share > 0 ? (share * weight) / total : 0
    return byClicks + (1 - share) / Math.max(1, this.size)
  }

  /**
   * `count` independent draws. Each item drawn is written once to `slots`, with how often it came to `multiplicities`.
   * @returns the number of different items
   */
  draw(random: Random, count: number, slots: Int32Array, multiplicities: Int32Array): number {
    const total = this.#tree[1]!
    const share = total > 0 ? this.#options.popularityShare : 0
    let distinct = 0
    for (let i = 0; i < count; i++) {
      const slot =
        random.nextFloat() < share
          ? this.#byClicks(random.nextFloat() * total)
          : this.#known[Math.floor(random.nextFloat() * this.size)]!
      if (this.#multiplicities[slot]!++ === 0) slots[distinct++] = slot
    }
    for (let i = 0; i < distinct; i++) {
      multiplicities[i] = this.#multiplicities[slots[i]!]!
      this.#multiplicities[slots[i]!] = 0
    }
    return distinct
  }

  snapshot(): SamplerSnapshot {
    return {
      originMs: this.#originMs,
      known: Uint32Array.from(this.#known),
      weights: this.#tree.slice(this.#capacity),
    }
  }

  restore(snapshot: SamplerSnapshot): void {
    this.#originMs = snapshot.originMs
    this.#cover(snapshot.weights.length - 1)
    this.#tree.set(snapshot.weights, this.#capacity)
    this.#sumUp()
    for (const slot of snapshot.known) this.add(slot)
  }

  #byClicks(target: number): number {
    let node = 1
    let rest = target
    while (node < this.#capacity) {
      node *= 2
      // Rounding may leave a rest beyond the last item: never step into an empty branch.
      if (rest >= this.#tree[node]! && this.#tree[node + 1]! > 0) rest -= this.#tree[node++]!
    }
    return node - this.#capacity
  }

  #setWeight(slot: number, weight: number): void {
    let node = this.#capacity + slot
    this.#tree[node] = weight
    for (node >>>= 1; node >= 1; node >>>= 1) {
      this.#tree[node] = this.#tree[2 * node]! + this.#tree[2 * node + 1]!
    }
  }

  #scale(factor: number): void {
    for (let i = this.#capacity; i < this.#tree.length; i++) this.#tree[i]! *= factor
    this.#sumUp()
  }

  #sumUp(): void {
    for (let node = this.#capacity - 1; node >= 1; node--) {
      this.#tree[node] = this.#tree[2 * node]! + this.#tree[2 * node + 1]!
    }
  }

  #cover(slot: number): void {
    this.#places = grown(this.#places, slot + 1)
    this.#multiplicities = grown(this.#multiplicities, slot + 1)
    if (slot < this.#capacity) return
    const leaves = this.#tree.slice(this.#capacity)
    while (this.#capacity <= slot) this.#capacity *= 2
    this.#tree = new Float64Array(2 * this.#capacity)
    this.#tree.set(leaves, this.#capacity)
    this.#sumUp()
  }
}

export interface SamplerSnapshot {
  readonly originMs: number | null
  /** Known items in the order that uniform draws index. */
  readonly known: Uint32Array
  /** [slot] */
  readonly weights: Float64Array
}
