import { invariant } from '../errors.ts'
import type { IdTableSnapshot } from './id-table.ts'
import { IdTable } from './id-table.ts'
import { grown } from './typed-arrays.ts'

const chunkRowsLog2 = 12
const chunkRows = 1 << chunkRowsLog2

export interface TableOptions {
  /** [d] the default row: what unknown ids read and what a new row starts as. Never changed here. */
  readonly defaultRow: Float32Array
  readonly rowsMax: number
  /** Told of each slot that expires or is evicted, before it is given out again. */
  readonly released?: (slot: number) => void
  readonly hash?: (id: string) => number
}

/**
 * ID embeddings of one side: id -> row of d floats, with a row-wise Adagrad accumulator and the event time of the newest example.
 * Rows lie in chunks, so growing never copies them. Slot 0 is the default row; `find` gives 0 for an unknown id.
 */
export class EmbeddingTable {
  readonly dim: number
  readonly rowsMax: number
  /** [slot] mean squared gradients so far. */
  accumulators = new Float32Array(16)
  /** [slot] event time of the newest example, or of the row's birth. */
  timesMs = new Float64Array(16)
  #ids: IdTable
  readonly #chunks: Float32Array[] = []
  #isDirty = new Uint8Array(16)
  #dirty: number[] = []
  readonly #released: (slot: number) => void

  constructor(options: TableOptions) {
    this.dim = options.defaultRow.length
    this.rowsMax = options.rowsMax
    this.#ids = new IdTable(options.hash)
    this.#released = options.released ?? (() => {})
    this.#cover(1)
    this.#chunks[0]!.set(options.defaultRow)
  }

  get size(): number {
    return this.#ids.size
  }

  get slotCount(): number {
    return this.#ids.slotCount
  }

  find(id: string): number {
    return this.#ids.find(id)
  }

  idOf(slot: number): string {
    return this.#ids.idOf(slot)
  }

  isLive(slot: number): boolean {
    return this.#ids.isLive(slot)
  }

  /** A new row: a copy of row 0 with fresh optimiser state. Call `makeRoom` first. */
  insert(id: string, eventTimeMs: number): number {
    invariant(this.size < this.rowsMax, 'insert without makeRoom')
    const slot = this.#ids.insert(id)
    this.#cover(slot + 1)
    this.reset(slot)
    this.timesMs[slot] = eventTimeMs
    return slot
  }

  /** Back to a copy of row 0 with fresh optimiser state. */
  reset(slot: number): void {
    this.chunkOf(slot).set(this.#chunks[0]!.subarray(0, this.dim), this.startOf(slot))
    this.accumulators[slot] = 0
  }

  touch(slot: number, eventTimeMs: number): void {
    if (eventTimeMs > this.timesMs[slot]!) this.timesMs[slot] = eventTimeMs
  }

  /** The chunk that holds the row, which begins at `startOf(slot)`. */
  chunkOf(slot: number): Float32Array {
    return this.#chunks[slot >>> chunkRowsLog2]!
  }

  startOf(slot: number): number {
    return (slot & (chunkRows - 1)) * this.dim
  }

  /** A view of the row. */
  row(slot: number): Float32Array {
    return this.chunkOf(slot).subarray(this.startOf(slot), this.startOf(slot) + this.dim)
  }

  copyRow(slot: number, out: Float32Array, at: number): void {
    const chunk = this.chunkOf(slot)
    const start = this.startOf(slot)
    for (let i = 0; i < this.dim; i++) out[at + i] = chunk[start + i]!
  }

  markDirty(slot: number): void {
    if (this.#isDirty[slot] === 1) return
    this.#isDirty[slot] = 1
    this.#dirty.push(slot)
  }

  /** Slots changed since the last call, in the order of their first change. */
  takeDirty(): number[] {
    const taken = this.#dirty
    for (const slot of taken) this.#isDirty[slot] = 0
    this.#dirty = []
    return taken
  }

  /** Evicts the oldest rows by event time (ties: lower slot first) until `count` more fit. Returns how many went. */
  makeRoom(count: number): number {
    const excess = this.size + count - this.rowsMax
    if (excess <= 0) return 0
    invariant(count <= this.rowsMax, `${count} rows cannot fit in rowsMax ${this.rowsMax}`)
    // Finding the oldest reads every row, so some more than needed go at once.
    const victims = Math.min(this.size, Math.max(excess, this.rowsMax >>> 6))
    const slots = this.#ids.slots()
    const times = Float64Array.from(slots, (slot) => this.timesMs[slot]!).sort()
    const newest = times[victims - 1]!
    let ties = victims - firstIndexOf(times, newest)
    for (const slot of slots) {
      const time = this.timesMs[slot]!
      if (time < newest || (time === newest && ties-- > 0)) this.release(slot)
    }
    return victims
  }

  /** Releases rows whose newest example is older than `beforeMs`, except those `keep` names. Returns how many went. */
  expire(beforeMs: number, keep: (slot: number) => boolean = () => false): number {
    let expired = 0
    for (const slot of this.#ids.slots()) {
      if (this.timesMs[slot]! >= beforeMs || keep(slot)) continue
      this.release(slot)
      expired++
    }
    return expired
  }

  release(slot: number): void {
    this.#released(slot)
    if (this.#isDirty[slot] === 1) {
      this.#isDirty[slot] = 0
      this.#dirty.splice(this.#dirty.indexOf(slot), 1)
    }
    this.#ids.release(slot)
  }

  /** A copy of everything, slots included: a table restored from it behaves, to the bit, like this one. */
  entries(): TableEntries {
    const ids = this.#ids.snapshot()
    const rows = new Float32Array(ids.slots.length * this.dim)
    ids.slots.forEach((slot, i) => this.copyRow(slot, rows, i * this.dim))
    return {
      ...ids,
      defaultRow: this.row(0).slice(),
      rows,
      accumulators: Float32Array.from(ids.slots, (slot) => this.accumulators[slot]!),
      timesMs: Float64Array.from(ids.slots, (slot) => this.timesMs[slot]!),
      dirty: Uint32Array.from(this.#dirty),
    }
  }

  static restore(entries: TableEntries, options: Omit<TableOptions, 'defaultRow'>): EmbeddingTable {
    const table = new EmbeddingTable({ ...options, defaultRow: entries.defaultRow })
    table.#ids = IdTable.restore(entries, options.hash)
    table.#cover(entries.slotCount)
    entries.slots.forEach((slot, i) => {
      const row = entries.rows.subarray(i * table.dim, (i + 1) * table.dim)
      table.chunkOf(slot).set(row, table.startOf(slot))
      table.accumulators[slot] = entries.accumulators[i]!
      table.timesMs[slot] = entries.timesMs[i]!
    })
    for (const slot of entries.dirty) table.markDirty(slot)
    return table
  }

  #cover(slotCount: number): void {
    while (this.#chunks.length << chunkRowsLog2 < slotCount) {
      this.#chunks.push(new Float32Array(chunkRows * this.dim))
    }
    this.accumulators = grown(this.accumulators, slotCount)
    this.timesMs = grown(this.timesMs, slotCount)
    this.#isDirty = grown(this.#isDirty, slotCount)
  }
}

/** Arrays are parallel: entry i is row `slots[i]`. */
export interface TableEntries extends IdTableSnapshot {
  /** [d] */
  readonly defaultRow: Float32Array
  /** [n x d] */
  readonly rows: Float32Array
  readonly accumulators: Float32Array
  readonly timesMs: Float64Array
  /** Slots not yet taken by `takeDirty`. */
  readonly dirty: Uint32Array
}

function firstIndexOf(sorted: Float64Array, value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}
