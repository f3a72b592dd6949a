import { IdTable } from '../model/id-table.ts'
import { grown } from '../model/typed-arrays.ts'

/** As many clicks as the online store keeps beside a user's row. */
export const recentClicksMax = 50

/**
 * The last distinct items each user clicked. Lists are chains of nodes in typed arrays, and each item id is kept once, however many
 * users clicked it.
 */
export class RecentClicks {
  #names = new IdTable()
  /** [name] how many nodes point to it */
  #uses = new Uint32Array(16)
  /** [name] */
  #ids: string[] = []
  /** [user] first node, 0 for none */
  #heads = new Uint32Array(16)
  /** [node] */
  #name = new Uint32Array(16)
  #next = new Uint32Array(16)
  #nodeCount = 1
  /** Chain of nodes to be used again. */
  #free = 0

  /** Puts an item in front of a user's list. */
  push(user: number, itemId: string): void {
    this.#heads = grown(this.#heads, user + 1)
    const name = this.#nameOf(itemId)
    // Counted first: the node that is taken out below may be the only other one with this name.
    this.#uses[name]!++
    let before = 0
    let length = 0
    for (let node = this.#heads[user]!; node !== 0; node = this.#next[node]!) {
      const isLast = this.#name[node] === name || ++length === recentClicksMax
      if (!isLast) {
        before = node
        continue
      }
      // Either the item itself, which moves to the front, or the oldest, which has to go.
      this.#unlink(user, before, node)
      break
    }
    const node = this.#newNode()
    this.#name[node] = name
    this.#next[node] = this.#heads[user]!
    this.#heads[user] = node
  }

  /** Newest first. */
  list(user: number): string[] {
    const items: string[] = []
    for (let node = this.#heads[user] ?? 0; node !== 0; node = this.#next[node]!) {
      items.push(this.#ids[this.#name[node]!]!)
    }
    return items
  }

  clear(user: number): void {
    while ((this.#heads[user] ?? 0) !== 0) this.#unlink(user, 0, this.#heads[user]!)
  }

  #unlink(user: number, before: number, node: number): void {
    const after = this.#next[node]!
    if (before === 0) this.#heads[user] = after
    else this.#next[before] = after
    this.#next[node] = this.#free
    this.#free = node
    const name = this.#name[node]!
    if (--this.#uses[name]! > 0) return
    this.#names.release(name)
    this.#ids[name] = ''
  }

  #newNode(): number {
    const node = this.#free
    if (node !== 0) {
      this.#free = this.#next[node]!
      return node
    }
    this.#name = grown(this.#name, this.#nodeCount + 1)
    this.#next = grown(this.#next, this.#nodeCount + 1)
    return this.#nodeCount++
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
