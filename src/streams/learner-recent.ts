import { Chains } from '../model/chains.ts'
import { IdTable } from '../model/id-table.ts'
import { grown } from '../model/typed-arrays.ts'

/** As many clicks as the online store keeps beside a user's row. */
export const recentClicksMax = 50

/**
 * The last distinct items each user clicked. Each item id is kept once, however many
 * users clicked it.
 */
export class RecentClicks {
  #names = new IdTable()
  /** [name] how many nodes point to it */
  #uses = new Uint32Array(16)
  /** [name] */
  #ids: string[] = []
  readonly #lists = new Chains()
  /** [node] */
  #name = new Uint32Array(16)

  /** Puts an item in front of a user's list. */
  push(user: number, itemId: string): void {
    const lists = this.#lists
    const name = this.#nameOf(itemId)
    // Counted first: the node that is taken out below may be the only other one with this name.
    this.#uses[name]!++
    let before = 0
    let length = 0
    for (let node = lists.first(user); node !== 0; node = lists.after(node)) {
      const isLast = this.#name[node] === name || ++length === recentClicksMax
      if (!isLast) {
        before = node
        continue
      }
      // Either the item itself, which moves to the front, or the oldest, which has to go.
      this.#unlink(user, before, node)
      break
    }
    const node = lists.insert(user, 0)
    this.#name = grown(this.#name, node + 1)
    this.#name[node] = name
  }

  /** Newest first. */
  list(user: number): string[] {
    const items: string[] = []
    for (let node = this.#lists.first(user); node !== 0; node = this.#lists.after(node)) {
      items.push(this.#ids[this.#name[node]!]!)
    }
    return items
  }

  clear(user: number): void {
    const lists = this.#lists
    for (let node = lists.first(user); node !== 0; node = lists.first(user)) {
      this.#unlink(user, 0, node)
    }
  }

  #unlink(user: number, before: number, node: number): void {
    this.#lists.remove(user, before)
    const name = this.#name[node]!
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
