import { ShortLists } from '../model/short-lists.ts'
import type { RecentState } from './full-update-types.ts'
import { recentClicksMax } from './learner-recent.ts'

/**
 * The last distinct items that each user clicked, newest first, from examples in any order: by event time, of equal ones the one that came last.
 */
export class FullUpdateRecent {
  /** Items and event times. */
  readonly #lists = new ShortLists(new Uint32Array(16), new Float64Array(16))

  /** @param state of users and items whose slots are their numbers + 1 */
  constructor({ counts, items, timesMs }: RecentState) {
    let from = 0
    counts.forEach((count, user) => {
      for (let i = 0; i < count; i++) {
        this.#write(user + 1, i, i, items[from + i]! + 1, timesMs[from + i]!)
      }
      from += count
    })
  }

  add(user: number, item: number, timeMs: number): void {
    const [items, timesMs] = this.#lists.columns
    const start = this.#lists.start(user)
    const length = this.#lists.length(user)
    let at = 0
    for (; at < length && timesMs[start + at]! > timeMs; at++) {
      if (items[start + at] === item) return
    }
    if (at === recentClicksMax) return
    let end = at
    // The item's older click is lost, or else the oldest of a full list.
    while (end < length && items[start + end] !== item && end < recentClicksMax - 1) end++
    this.#write(user, at, end, item, timeMs)
  }

  /** Of these slots, numbered by their order; items that are not among them are left out. */
  state(userSlots: readonly number[], itemSlots: readonly number[]): RecentState {
    const numbers = new Map(itemSlots.map((slot, number) => [slot, number]))
    const [allItems, allTimesMs] = this.#lists.columns
    const counts = new Uint32Array(userSlots.length)
    const most = userSlots.reduce((sum, user) => sum + this.#lists.length(user), 0)
    const items = new Uint32Array(most)
    const timesMs = new Float64Array(most)
    let total = 0
    userSlots.forEach((user, i) => {
      const start = this.#lists.start(user)
      for (let at = start; at < start + this.#lists.length(user); at++) {
        const number = numbers.get(allItems[at]!)
        if (number === undefined) continue
        counts[i]!++
        items[total] = number
        timesMs[total++] = allTimesMs[at]!
      }
    })
    return { counts, items: items.slice(0, total), timesMs: timesMs.slice(0, total) }
  }

  #write(user: number, at: number, end: number, item: number, timeMs: number): void {
    const place = this.#lists.shift(user, at, end)
    const [items, timesMs] = this.#lists.columns
    items[place] = item
    timesMs[place] = timeMs
  }
}

/** Nothing that anybody has clicked. */
export function noRecent(users: number): RecentState {
  const none = { items: new Uint32Array(0), timesMs: new Float64Array(0) }
  return { counts: new Uint32Array(users), ...none }
}
