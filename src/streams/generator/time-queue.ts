/** Events waiting for their time: a binary heap by (time, order of arrival), so that equal times keep their order. */
export class TimeQueue<T> {
  readonly #entries: { readonly timeMs: number; readonly order: number; readonly value: T }[] = []
  #added = 0

  get size(): number {
    return this.#entries.length
  }

  /** Infinity when nothing waits. */
  get nextMs(): number {
    return this.#entries[0]?.timeMs ?? Infinity
  }

  add(timeMs: number, value: T): void {
    const entries = this.#entries
    const entry = { timeMs, order: this.#added++, value }
    let at = entries.length
    entries.push(entry)
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (!isBefore(entry, entries[parent]!)) break
      entries[at] = entries[parent]!
      at = parent
    }
    entries[at] = entry
  }

  /** Takes the earliest; undefined when nothing waits. */
  take(): T | undefined {
    const entries = this.#entries
    const first = entries[0]
    const last = entries.pop()
    if (first === undefined || last === undefined || entries.length === 0) return first?.value
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= entries.length) break
      const right = child + 1
      if (right < entries.length && isBefore(entries[right]!, entries[child]!)) child = right
      if (!isBefore(entries[child]!, last)) break
      entries[at] = entries[child]!
      at = child
    }
    entries[at] = last
    return first.value
  }
}

interface Order {
  readonly timeMs: number
  readonly order: number
}

function isBefore(a: Order, b: Order): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.order < b.order)
}
