import { grown } from './typed-arrays.ts'

/** Sums of rows of floats by the number of the row, over a batch. The order of rows and of sums is the order of `add`: the result is a function of the batch alone. */
export class RowSums {
  readonly #dim: number
  /** [row] 1 + place among the rows of this batch, 0 for none */
  #places = new Int32Array(16)
  /** [place] row */
  #rows = new Int32Array(16)
  #count = 0
  #sums: Float32Array<ArrayBuffer>

  constructor(dim: number) {
    this.#dim = dim
    this.#sums = new Float32Array(64 * dim)
  }

  /** Adds `share` times d floats of `values` from `at` on. */
  add(row: number, values: Float32Array, at: number, share: number): void {
    const dim = this.#dim
    const start = this.#startOf(row)
    const sums = this.#sums
    for (let i = 0; i < dim; i++) sums[start + i]! += share * values[at + i]!
  }

  /** Hands over the sum of each row, d floats from `at` on, and forgets them. */
  take(each: (row: number, sums: Float32Array, at: number) => void): void {
    for (let place = 0; place < this.#count; place++) {
      const row = this.#rows[place]!
      this.#places[row] = 0
      each(row, this.#sums, place * this.#dim)
    }
    this.#count = 0
  }

  #startOf(row: number): number {
    const dim = this.#dim
    if (row >= this.#places.length) this.#places = grown(this.#places, row + 1)
    const known = this.#places[row]!
    if (known > 0) return (known - 1) * dim
    const start = this.#count * dim
    this.#rows = grown(this.#rows, this.#count + 1)
    this.#rows[this.#count++] = row
    this.#places[row] = this.#count
    this.#sums = grown(this.#sums, start + dim)
    this.#sums.fill(0, start, start + dim)
    return start
  }
}
