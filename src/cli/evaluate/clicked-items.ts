import type { JoinedDay } from './joined-days.ts'

/** Items by number, in the order of their first clicks: those clicked before some moment are the first so many. */
export class ClickedItems {
  readonly #numbers = new Map<string, number>()
  readonly #ids: string[] = []
  readonly #firstMs: number[] = []

  constructor(days: readonly JoinedDay[]) {
    for (const { itemId, eventTimeMs } of days.flatMap((day) => day.examples)) {
      if (this.#numbers.has(itemId)) continue
      this.#numbers.set(itemId, this.#ids.push(itemId) - 1)
      this.#firstMs.push(eventTimeMs)
    }
  }

  get size(): number {
    return this.#firstMs.length
  }

  /** -1: nobody ever clicks it */
  numberOf(itemId: string): number {
    return this.#numbers.get(itemId) ?? -1
  }

  idOf(number: number): string {
    return this.#ids[number]!
  }

  firstClickMs(number: number): number {
    return this.#firstMs[number]!
  }

  /** How many were clicked before. */
  countBefore(timeMs: number): number {
    let [low, high] = [0, this.#firstMs.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#firstMs[middle]! < timeMs) low = middle + 1
      else high = middle
    }
    return low
  }
}
