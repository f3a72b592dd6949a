import { grown } from './typed-arrays.ts'

type Column = Uint32Array<ArrayBuffer> | Float64Array<ArrayBuffer>

const capacityMin = 4

/**
 * Many short lists whose entries are numbers in one or more columns. A list lies in one piece, so reading it does not jump through memory; its piece has room
 * for a power of two, and one that has become too small is given to another list.
 */
export class ShortLists<C extends readonly Column[]> {
  #columns: C
  /** [list] place of its first entry */
  #starts = new Uint32Array(16)
  /** [list] */
  #lengths = new Uint32Array(16)
  #used = 0
  /** [capacity] starts of pieces without a list */
  readonly #free = new Map<number, number[]>()

  /** @param columns to begin with; they give the types */
  constructor(...columns: C) {
    this.#columns = columns
  }

  /** As they are until the next `shift`. */
  get columns(): C {
    return this.#columns
  }

  start(list: number): number {
    return this.#starts[list] ?? 0
  }

  length(list: number): number {
    return this.#lengths[list] ?? 0
  }

  /**
   * Moves entries [at, end) of a list one on: over the entry `end`, which is lost, or, where that is the length, into new room.
   * @returns the place in the columns where entry `at` is to be written
   */
  shift(list: number, at: number, end: number): number {
    if (end === this.length(list)) this.#lengthen(list)
    const start = this.#starts[list]!
    for (const column of this.#columns) column.copyWithin(start + at + 1, start + at, start + end)
    return start + at
  }

  clear(list: number): void {
    const length = this.length(list)
    if (length === 0) return
    this.#release(this.#starts[list]!, capacityOf(length))
    this.#lengths[list] = 0
  }

  #lengthen(list: number): void {
    this.#starts = grown(this.#starts, list + 1)
    this.#lengths = grown(this.#lengths, list + 1)
    const length = this.#lengths[list]!++
    const [before, capacity] = [capacityOf(length), capacityOf(length + 1)]
    if (capacity === before) return
    const old = this.#starts[list]!
    const start = this.#free.get(capacity)?.pop() ?? this.#append(capacity)
    for (const column of this.#columns) column.copyWithin(start, old, old + length)
    this.#starts[list] = start
    if (before > 0) this.#release(old, before)
  }

  #append(capacity: number): number {
    const start = this.#used
    this.#used += capacity
    this.#columns = this.#columns.map((column) =>
      grown(column, this.#used),
    ) as readonly Column[] as C
    return start
  }

  #release(start: number, capacity: number): void {
    const free = this.#free.get(capacity)
    if (free === undefined) this.#free.set(capacity, [start])
    else free.push(start)
  }
}

function capacityOf(length: number): number {
  if (length === 0) return 0
  return Math.max(capacityMin, 2 ** (32 - Math.clz32(length - 1)))
}
