/** What the queue orders: first what may be forgotten first; offsets are unique, so the order is total. */
export interface Expiring {
  keepUntilMs: number
  readonly firstOffset: number
  /** Place in the queue; only the queue writes it. */
  queueIndex: number
}

/** A binary min-heap that knows where each entry is, so that one can leave or move before its time. */
export class ExpiryQueue<T extends Expiring> {
  private readonly entries: T[] = []

  get first(): T | undefined {
    return this.entries[0]
  }

  add(entry: T): void {
    this.entries.push(entry)
    this.rise(entry, this.entries.length - 1)
  }

  /** Call after `keepUntilMs` has grown. */
  postponed(entry: T): void {
    this.sink(entry, entry.queueIndex)
  }

  remove(entry: T): void {
    const last = this.entries.pop()!
    if (last === entry) return
    this.rise(last, entry.queueIndex)
    this.sink(last, last.queueIndex)
  }

  private rise(entry: T, from: number): void {
    let index = from
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = this.entries[parentIndex]!
      if (!isBefore(entry, parent)) break
      this.place(parent, index)
      index = parentIndex
    }
    this.place(entry, index)
  }

  private sink(entry: T, from: number): void {
    const count = this.entries.length
    let index = from
    for (;;) {
      let childIndex = 2 * index + 1
      if (childIndex >= count) break
      let child = this.entries[childIndex]!
      const other = this.entries[childIndex + 1]
      if (other !== undefined && isBefore(other, child)) {
        child = other
        childIndex++
      }
      if (!isBefore(child, entry)) break
      this.place(child, index)
      index = childIndex
    }
    this.place(entry, index)
  }

  private place(entry: T, index: number): void {
    this.entries[index] = entry
    entry.queueIndex = index
  }
}

function isBefore(a: Expiring, b: Expiring): boolean {
  return (
    a.keepUntilMs < b.keepUntilMs ||
    (a.keepUntilMs === b.keepUntilMs && a.firstOffset < b.firstOffset)
  )
}
