import { invariant } from '../errors.ts'
import { hash32 } from './hash.ts'
import { grown } from './typed-arrays.ts'

const slabBytes = 1 << 20

/**
 * String id -> slot, without collisions: open addressing over typed arrays, and every id is kept and compared in full. V8's
 * `Map` stops at 16.7 M entries and keeps each string on the heap; this does neither. Slot 0 is never given out, so that 0 can
 * say "unknown". Released slots are given out again, last released first.
 */
export class IdTable {
  /** [slot, hash] pairs; slot 0 marks an empty place. Linear probing, at most half full. */
  #index = new Uint32Array(32)
  #mask = 15
  #size = 0
  #slotCount = 1
  #free: number[] = []
  #isLive = new Uint8Array(16)
  #hashes = new Uint32Array(16)
  #bytes = new IdBytes()
  readonly #hash: (id: string) => number

  /** @param hash only tests pass one, to force collisions */
  constructor(hash: (id: string) => number = hash32) {
    this.#hash = hash
  }

  get size(): number {
    return this.#size
  }

  /** One past the highest slot ever given out; per-slot columns have at least this length. */
  get slotCount(): number {
    return this.#slotCount
  }

  /** The slot of `id`, or 0. */
  find(id: string): number {
    const hash = this.#hash(id)
    for (let place = hash & this.#mask; ; place = (place + 1) & this.#mask) {
      const slot = this.#index[2 * place]!
      if (slot === 0) return 0
      if (this.#index[2 * place + 1] === hash && this.#bytes.equals(slot, id)) return slot
    }
  }

  /** A slot for an id that has none. */
  insert(id: string): number {
    const slot = this.#free.pop() ?? this.#slotCount++
    this.#place(slot, id)
    return slot
  }

  release(slot: number): void {
    invariant(this.isLive(slot), `slot ${slot} is not in use`)
    this.#unindex(slot)
    this.#isLive[slot] = 0
    this.#free.push(slot)
    this.#size--
    this.#bytes.release(slot, this.#slotCount, this.#isLive)
  }

  isLive(slot: number): boolean {
    return this.#isLive[slot] === 1
  }

  idOf(slot: number): string {
    return this.#bytes.read(slot)
  }

  /** Slots in use, ascending. */
  slots(): Uint32Array<ArrayBuffer> {
    const slots = new Uint32Array(this.#size)
    let at = 0
    for (let slot = 1; slot < this.#slotCount; slot++) if (this.isLive(slot)) slots[at++] = slot
    return slots
  }

  /** The exact layout, so that a restored table gives out the same slots as this one. */
  snapshot(): IdTableSnapshot {
    const slots = this.slots()
    return {
      ids: Array.from(slots, (slot) => this.idOf(slot)),
      slots,
      free: Uint32Array.from(this.#free),
      slotCount: this.#slotCount,
    }
  }

  static restore(snapshot: IdTableSnapshot, hash?: (id: string) => number): IdTable {
    const table = new IdTable(hash)
    table.#slotCount = snapshot.slotCount
    table.#free = Array.from(snapshot.free)
    snapshot.slots.forEach((slot, i) => table.#place(slot, snapshot.ids[i]!))
    return table
  }

  #place(slot: number, id: string): void {
    if (2 * (this.#size + 1) > this.#mask) this.#rehash()
    this.#isLive = grown(this.#isLive, slot + 1)
    this.#hashes = grown(this.#hashes, slot + 1)
    const hash = this.#hash(id)
    this.#isLive[slot] = 1
    this.#hashes[slot] = hash
    this.#bytes.write(slot, id)
    this.#size++
    this.#enterIndex(slot, hash)
  }

  #enterIndex(slot: number, hash: number): void {
    let place = hash & this.#mask
    while (this.#index[2 * place] !== 0) place = (place + 1) & this.#mask
    this.#index[2 * place] = slot
    this.#index[2 * place + 1] = hash
  }

  /** Backward-shift deletion: later entries of the run move up, so there are no tombstones to slow lookups down. */
  #unindex(slot: number): void {
    const index = this.#index
    let hole = this.#hashes[slot]! & this.#mask
    while (index[2 * hole] !== slot) hole = (hole + 1) & this.#mask
    for (
      let next = (hole + 1) & this.#mask;
      index[2 * next] !== 0;
      next = (next + 1) & this.#mask
    ) {
      const home = index[2 * next + 1]! & this.#mask
      if (((next - home) & this.#mask) < ((next - hole) & this.#mask)) continue
      index[2 * hole] = index[2 * next]!
      index[2 * hole + 1] = index[2 * next + 1]!
      hole = next
    }
    index[2 * hole] = 0
  }

  #rehash(): void {
    this.#mask = 2 * this.#mask + 1
    this.#index = new Uint32Array(2 * (this.#mask + 1))
    for (let slot = 1; slot < this.#isLive.length; slot++) {
      if (this.isLive(slot)) this.#enterIndex(slot, this.#hashes[slot]!)
    }
  }
}

export interface IdTableSnapshot {
  readonly ids: readonly string[]
  /** Slot of each id, ascending. */
  readonly slots: Uint32Array
  /** Released slots, the next to be given out last. */
  readonly free: Uint32Array
  readonly slotCount: number
}

/**
 * The bytes of ids, in slabs. Each UTF-16 unit is written as UTF-8 writes a code point of that value (CESU-8), which can be
 * compared with a string unit by unit, without encoding it first.
 */
class IdBytes {
  #slabs: Uint8Array[] = [new Uint8Array(slabBytes)]
  #used = 0
  #liveBytes = 0
  #deadBytes = 0
  #slab = new Uint32Array(16)
  #start = new Uint32Array(16)
  #length = new Uint32Array(16)

  equals(slot: number, id: string): boolean {
    const bytes = this.#slabs[this.#slab[slot]!]!
    let at = this.#start[slot]!
    const end = at + this.#length[slot]!
    for (let i = 0; i < id.length; i++) {
      const unit = id.charCodeAt(i)
      if (unit < 0x80) {
        if (at >= end || bytes[at++] !== unit) return false
        continue
      }
      const width = unit < 0x800 ? 2 : 3
      if (at + width > end || unitAt(bytes, at) !== unit) return false
      at += width
    }
    return at === end
  }

  read(slot: number): string {
    const bytes = this.#slabs[this.#slab[slot]!]!
    const end = this.#start[slot]! + this.#length[slot]!
    let id = ''
    for (let at = this.#start[slot]!; at < end; at += widthAt(bytes, at)) {
      id += String.fromCharCode(unitAt(bytes, at))
    }
    return id
  }

  write(slot: number, id: string): void {
    let length = 0
    for (let i = 0; i < id.length; i++) length += widthOf(id.charCodeAt(i))
    this.#allocate(slot, length)
    const bytes = this.#slabs[this.#slab[slot]!]!
    let at = this.#start[slot]!
    for (let i = 0; i < id.length; i++) at = writeUnit(bytes, at, id.charCodeAt(i))
  }

  release(slot: number, slotCount: number, isLive: Uint8Array): void {
    this.#liveBytes -= this.#length[slot]!
    this.#deadBytes += this.#length[slot]!
    this.#length[slot] = 0
    if (this.#deadBytes > this.#liveBytes + slabBytes) this.#compact(slotCount, isLive)
  }

  #allocate(slot: number, length: number): void {
    this.#slab = grown(this.#slab, slot + 1)
    this.#start = grown(this.#start, slot + 1)
    this.#length = grown(this.#length, slot + 1)
    if (this.#used + length > this.#slabs.at(-1)!.length) {
      this.#slabs.push(new Uint8Array(Math.max(slabBytes, length)))
      this.#used = 0
    }
    this.#slab[slot] = this.#slabs.length - 1
    this.#start[slot] = this.#used
    this.#length[slot] = length
    this.#used += length
    this.#liveBytes += length
  }

  #compact(slotCount: number, isLive: Uint8Array): void {
    const old = this.#slabs
    this.#slabs = [new Uint8Array(slabBytes)]
    this.#used = this.#liveBytes = this.#deadBytes = 0
    for (let slot = 1; slot < slotCount; slot++) {
      if (isLive[slot] !== 1) continue
      const start = this.#start[slot]!
      const bytes = old[this.#slab[slot]!]!.subarray(start, start + this.#length[slot]!)
      this.#allocate(slot, bytes.length)
      this.#slabs[this.#slab[slot]!]!.set(bytes, this.#start[slot])
    }
  }
}

function widthOf(unit: number): number {
  return unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3
}

function widthAt(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : 3
}

function unitAt(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!
  if (lead < 0x80) return lead
  if (lead < 0xe0) return ((lead & 0x1f) << 6) | (bytes[at + 1]! & 0x3f)
  return ((lead & 0x0f) << 12) | ((bytes[at + 1]! & 0x3f) << 6) | (bytes[at + 2]! & 0x3f)
}

function writeUnit(bytes: Uint8Array, at: number, unit: number): number {
  if (unit < 0x80) {
    bytes[at] = unit
    return at + 1
  }
  if (unit < 0x800) {
    bytes[at] = 0xc0 | (unit >> 6)
    bytes[at + 1] = 0x80 | (unit & 0x3f)
    return at + 2
  }
  bytes[at] = 0xe0 | (unit >> 12)
  bytes[at + 1] = 0x80 | ((unit >> 6) & 0x3f)
  bytes[at + 2] = 0x80 | (unit & 0x3f)
  return at + 3
}
