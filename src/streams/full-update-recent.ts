import { Chains } from '../model/chains.ts'
import { grown } from '../model/typed-arrays.ts'
import type { RecentState } from './full-update-types.ts'
import { recentClicksMax } from './learner-recent.ts'

/**
 * The last distinct items that each user clicked, newest first, from examples in any order: by event time, of equal ones the one that came last.
 */
export class FullUpdateRecent {
  readonly #lists = new Chains()
  /** [node] */
  #items = new Uint32Array(16)
  /** [node] event time */
  #timesMs = new Float64Array(16)

  /** @param state of users and items whose slots are their numbers + 1 */
  constructor({ counts, items, timesMs }: RecentState) {
    let end = 0
    counts.forEach((count, user) => {
      end += count
      for (let at = end - 1; at >= end - count; at--) {
        this.#insert(user + 1, 0, items[at]! + 1, timesMs[at]!)
      }
    })
  }

  add(user: number, item: number, timeMs: number): void {
    let before = 0
    let length = 0
    let node = this.#lists.first(user)
    for (; node !== 0 && this.#timesMs[node]! > timeMs; node = this.#lists.after(node)) {
      if (this.#items[node] === item || ++length === recentClicksMax) return
      before = node
    }
    const added = this.#insert(user, before, item, timeMs)
    this.#dropAfter(user, added, item, length + 1)
  }

  /** Of these slots, numbered by their order; items that are not among them are left out. */
  state(userSlots: readonly number[], itemSlots: readonly number[]): RecentState {
    const numbers = new Map(itemSlots.map((slot, number) => [slot, number]))
    const counts = new Uint32Array(userSlots.length)
    const items = new Uint32Array(this.#lists.nodeCount)
    const timesMs = new Float64Array(this.#lists.nodeCount)
    let total = 0
    userSlots.forEach((user, i) => {
      for (let node = this.#lists.first(user); node !== 0; node = this.#lists.after(node)) {
        const number = numbers.get(this.#items[node]!)
        if (number === undefined) continue
        counts[i]!++
        items[total] = number
        timesMs[total++] = this.#timesMs[node]!
      }
    })
    return { counts, items: items.slice(0, total), timesMs: timesMs.slice(0, total) }
  }

  /** The rest of the list loses the item's older click, or else what is too much. */
  #dropAfter(user: number, node: number, item: number, length: number): void {
    let before = node
    for (let next = this.#lists.after(before); next !== 0; next = this.#lists.after(before)) {
      if (this.#items[next] === item || length === recentClicksMax) {
        this.#lists.remove(user, before)
        return
      }
      length++
      before = next
    }
  }

  #insert(user: number, before: number, item: number, timeMs: number): number {
    const node = this.#lists.insert(user, before)
    this.#items = grown(this.#items, node + 1)
    this.#timesMs = grown(this.#timesMs, node + 1)
    this.#items[node] = item
    this.#timesMs[node] = timeMs
    return node
  }
}

/** Nothing that anybody has clicked. */
export function noRecent(users: number): RecentState {
  const none = { items: new Uint32Array(0), timesMs: new Float64Array(0) }
  return { counts: new Uint32Array(users), ...none }
}
