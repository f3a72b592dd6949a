import type { World } from './world.ts'

/** Counts how often a perfect recommender would have had the clicked item among its first k: the ceiling of recall@k. */
export class OptimalRecall {
  readonly #world: World
  readonly #ks: readonly number[]
  readonly #hits: number[]
  #cases = 0

  constructor(world: World, ks: readonly number[] = [50, 100]) {
    this.#world = world
    this.#ks = ks
    this.#hits = ks.map(() => 0)
  }

  get cases(): number {
    return this.#cases
  }

  /** @param shownMs time of the page, where the click was decided (an example's `impressionTimeMs`) */
  add(userId: string, itemId: string, shownMs: number): void {
    const rank = this.#world.optimalRank(userId, itemId, shownMs)
    this.#cases++
    if (rank === null) return
    this.#ks.forEach((k, i) => {
      if (rank < k) this.#hits[i]!++
    })
  }

  /** Recall@k of the optimal ranking on the cases so far; NaN without cases, undefined for a k that is not counted. */
  recallAt(k: number): number | undefined {
    const index = this.#ks.indexOf(k)
    return index < 0 ? undefined : this.#hits[index]! / this.#cases
  }
}
