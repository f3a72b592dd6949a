import { IdTable } from '../model/id-table.ts'
import { ShortLists } from '../model/short-lists.ts'
import { grown } from '../model/typed-arrays.ts'

/** As many clicks as the online store keeps beside a user's row. */
export const recentClicksMax = 50

/**
 * The last distinct items each user clicked. Each item id is kept once, however many
 * users clicked it.
 */
export class RecentClicks {
  #names = new IdTable()
  /** [name] how many entries are it */
  #uses = new Uint32Array(16)
  /** [name] */
  #ids: string[] = []
  readonly #lists = new ShortLists(new Uint32Array(16))

  /** Puts an item in front of a user's list. */
  push(user: number, itemId: string): void {
    const lists = this.#lists
    const name = this.#nameOf(itemId)
    // Counted first: the entry that is lost below may be the only other one with this name.
    this.#uses[name]!++
    const [names] = lists.columns
    const [start, length] = [lists.start(user), lists.length(user)]
    let end = 0
    // The item itself, which moves to the front, or else the oldest of a full list.
    while (end < length && names[start + end] !== name && end < recentClicksMax - 1) end++
    if (end < length) this.#forget(names[start + end]!)
    const place = lists.shift(user, 0, end)
    lists.columns[0][place] = name
  }

  /** Newest first. */
  list(user: number): string[] {
    return Array.from(this.#namesOf(user), (name) => this.#ids[name]!)
  }

  clear(user: number): void {
    for (const name of this.#namesOf(user)) this.#forget(name)
    this.#lists.clear(user)
  }

  #namesOf(user: number): Uint32Array {
    const start = this.#lists.start(user)
    return this.#lists.columns[0].subarray(start, start + this.#lists.length(user))
  }

  #forget(name: number): void {
    if (--this.#uses[name]! > 0) return
    this.#names.release(name)
    this.#ids[name] = ''
  }

  #nameOf(itemId: string): number {
    const known = this.#names.find(itemId)
    if (known !== 0) return known
    const name = this.#names.insert(itemId)
    this.#uses = grown(this.#uses, name + 1)
    this.#ids[name] = itemId
    return name
  }
}
