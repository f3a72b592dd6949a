import { grown } from '../model/typed-arrays.ts'
import type { RecentState } from './full-update-types.ts'
import { recentClicksMax } from './learner-recent.ts'

/**
 * The last distinct items that each user clicked, newest first, from examples in any order: by event time, of equal ones the one that came last. Lists
 * are chains of nodes in typed arrays.
 */
export class FullUpdateRecent {
  /** [user] first node, 0 for none */
  #heads = new Uint32Array(16)
  /** [node] */
  #items = new Uint32Array(16)
  /** [node] event time */
  #timesMs = new Float64Array(16)
  /** [node] */
  #next = new Uint32Array(16)
  #nodeCount = 1
  /** Chain of nodes to be used again. */
  #free = 0

  /** @param state of users and items whose slots are their numbers + 1 */
  constructor({ counts, items, timesMs }: RecentState) {
    this.#heads = grown(this.#heads, counts.length + 1)
    let end = 0
    counts.forEach((count, user) => {
      end += count
      for (let at = end - 1; at >= end - count; at--) {
        this.#insert(user + 1, 0, items[at]! + 1, timesMs[at]!)
      }
    })
  }

  add(user: number, item: number, timeMs: number): void {
    this.#heads = grown(this.#heads, user + 1)
    let before = 0
    let length = 0
    let node = this.#heads[user]!
    for (; node !== 0 && this.#timesMs[node]! > timeMs; node = this.#next[node]!) {
      if (this.#items[node] === item || ++length === recentClicksMax) return
      before = node
    }
    const added = this.#insert(user, before, item, timeMs)
    this.#dropAfter(added, item, length + 1)
  }

  /** Of these slots, numbered by their order; items that are not among them are left out. */
  state(userSlots: readonly number[], itemSlots: readonly number[]): RecentState {
    const numbers = new Map(itemSlots.map((slot, number) => [slot, number]))
    const counts = new Uint32Array(userSlots.length)
    const items = new Uint32Array(this.#nodeCount)
    const timesMs = new Float64Array(this.#nodeCount)
    let total = 0
    userSlots.forEach((user, i) => {
      for (let node = this.#heads[user] ?? 0; node !== 0; node = this.#next[node]!) {
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
  #dropAfter(node: number, item: number, length: number): void {
    let before = node
    for (let next = this.#next[before]!; next !== 0; next = this.#next[before]!) {
      if (this.#items[next] === item || length === recentClicksMax) {
        this.#next[before] = this.#next[next]!
        this.#next[next] = this.#free
        this.#free = next
        return
      }
      length++
      before = next
    }
  }

  #insert(user: number, before: number, item: number, timeMs: number): number {
    const node = this.#newNode()
    this.#items[node] = item
    this.#timesMs[node] = timeMs
    if (before === 0) {
      this.#next[node] = this.#heads[user]!
      this.#heads[user] = node
    } else {
      this.#next[node] = this.#next[before]!
      this.#next[before] = node
    }
    return node
  }

  #newNode(): number {
    const node = this.#free
    if (node !== 0) {
      this.#free = this.#next[node]!
      return node
    }
    this.#items = grown(this.#items, this.#nodeCount + 1)
    this.#timesMs = grown(this.#timesMs, this.#nodeCount + 1)
    this.#next = grown(this.#next, this.#nodeCount + 1)
    return this.#nodeCount++
  }
}

/** Nothing that anybody has clicked. */
export function noRecent(users: number): RecentState {
  const none = { items: new Uint32Array(0), timesMs: new Float64Array(0) }
  return { counts: new Uint32Array(users), ...none }
}
