import { mix32 } from './hash.ts'

const depth = 4

/**
 * Counts how often an id was seen before it gets a row: a count-min sketch (Cormode and Muthukrishnan) with conservative update, in
 * bounded memory. Where it errs, it admits too early. All counts are halved after as many sightings as a line has counters, so that
 * it neither fills up nor remembers for ever.
 */
export class Admission {
  readonly #after: number
  readonly #counters: Uint8Array
  readonly #width: number
  #sightings = 0

  /** @param after an id is admitted at its `after`-th sighting, 1..255 */
  constructor(after: number, width = 1 << 16) {
    this.#after = after
    this.#width = width
    this.#counters = new Uint8Array(after > 1 ? depth * width : 0)
  }

  /** Counts one sighting of an id, given by its hash; true once it may have a row. */
  admits(hash: number): boolean {
    if (this.#after <= 1) return true
    if (this.#sightings++ >= this.#width) this.#halve()
    let lowest = 255
    for (let line = 0; line < depth; line++) {
      lowest = Math.min(lowest, this.#counters[this.#place(line, hash)]!)
    }
    for (let line = 0; line < depth; line++) {
      const place = this.#place(line, hash)
      if (this.#counters[place] === lowest && lowest < 255) this.#counters[place] = lowest + 1
    }
    return lowest + 1 >= this.#after
  }

  snapshot(): AdmissionSnapshot {
    return { counters: this.#counters.slice(), sightings: this.#sightings }
  }

  restore(snapshot: AdmissionSnapshot): void {
    this.#counters.set(snapshot.counters)
    this.#sightings = snapshot.sightings
  }

  #place(line: number, hash: number): number {
    return line * this.#width + (mix32(hash + Math.imul(line + 1, 0x9e3779b9)) % this.#width)
  }

  #halve(): void {
    for (let i = 0; i < this.#counters.length; i++) this.#counters[i]! >>>= 1
    this.#sightings = 0
  }
}

export interface AdmissionSnapshot {
  readonly counters: Uint8Array
  readonly sightings: number
}
