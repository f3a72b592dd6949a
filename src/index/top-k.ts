import { isBetter } from './vector-index.ts'
import type { Neighbours } from './vector-index.ts'

/** The k best of what is offered: a heap of at most k entries with the worst on top. */
export class TopK {
  readonly #k: number
  readonly #ids: string[] = []
  readonly #scores: number[] = []

  constructor(k: number) {
    this.#k = Math.max(0, k)
  }

  /** A score below this cannot get in; one that equals it may, by its id. */
  get threshold(): number {
    if (this.#k === 0) return Infinity
    return this.#ids.length < this.#k ? -Infinity : this.#scores[0]!
  }

  offer(id: string, score: number): void {
    if (this.#ids.length < this.#k) {
      this.#ids.push(id)
      this.#scores.push(score)
      this.#siftUp(this.#ids.length - 1)
    } else if (this.#k > 0 && isBetter(score, id, this.#scores[0]!, this.#ids[0]!)) {
      this.#ids[0] = id
      this.#scores[0] = score
      this.#siftDown(0, this.#k)
    }
  }

  /** Sorts in place, best first; nothing can be offered afterwards. */
  take(): Neighbours {
    for (let end = this.#ids.length - 1; end > 0; end--) {
      this.#swap(0, end)
      this.#siftDown(0, end)
    }
    return { ids: this.#ids, scores: Float32Array.from(this.#scores) }
  }

  #siftUp(from: number): void {
    let child = from
    while (child > 0) {
      const parent = (child - 1) >> 1
      if (!this.#isWorse(child, parent)) return
      this.#swap(child, parent)
      child = parent
    }
  }

  #siftDown(from: number, end: number): void {
    let parent = from
    for (;;) {
      const left = 2 * parent + 1
      if (left >= end) return
      const right = left + 1
      const worst = right < end && this.#isWorse(right, left) ? right : left
      if (!this.#isWorse(worst, parent)) return
      this.#swap(worst, parent)
      parent = worst
    }
  }

  #isWorse(a: number, b: number): boolean {
    return isBetter(this.#scores[b]!, this.#ids[b]!, this.#scores[a]!, this.#ids[a]!)
  }

  #swap(a: number, b: number): void {
    const id = this.#ids[a]!
    const score = this.#scores[a]!
    this.#ids[a] = this.#ids[b]!
    this.#scores[a] = this.#scores[b]!
    this.#ids[b] = id
    this.#scores[b] = score
  }
}
