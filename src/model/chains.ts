import { grown } from './typed-arrays.ts'

/** Many short lists of numbered nodes, as chains in typed arrays; whoever uses them keeps the columns of the nodes. Nodes taken out are given out again. */
export class Chains {
  /** [list] first node, 0 for none */
  #heads = new Uint32Array(16)
  /** [node] */
  #next = new Uint32Array(16)
  #nodeCount = 1
  /** Chain of nodes to be used again. */
  #free = 0

  /** One more than the highest node so far. */
  get nodeCount(): number {
    return this.#nodeCount
  }

  /** First node of a list, 0 for none. */
  first(list: number): number {
    return this.#heads[list] ?? 0
  }

  /** The node behind another one, 0 for none. */
  after(node: number): number {
    return this.#next[node]!
  }

  /** A node of a list behind `before`, in front of all where that is 0. */
  insert(list: number, before: number): number {
    this.#heads = grown(this.#heads, list + 1)
    const node = this.#newNode()
    this.#next[node] = before === 0 ? this.#heads[list]! : this.#next[before]!
    this.#link(list, before, node)
    return node
  }

  /** Takes the node behind `before` out of a list, the first one where that is 0. */
  remove(list: number, before: number): void {
    const node = before === 0 ? this.#heads[list]! : this.#next[before]!
    this.#link(list, before, this.#next[node]!)
    this.#next[node] = this.#free
    this.#free = node
  }

  #link(list: number, before: number, node: number): void {
    if (before === 0) this.#heads[list] = node
    else this.#next[before] = node
  }

  #newNode(): number {
    const node = this.#free
    if (node !== 0) {
      this.#free = this.#next[node]!
      return node
    }
    this.#next = grown(this.#next, this.#nodeCount + 1)
    return this.#nodeCount++
  }
}
