import type { EmbeddingTable } from './embedding-table.ts'
import { RowSums } from './row-sums.ts'

export interface SgdOptions {
  readonly optimizer: 'sgd' | 'adagrad'
  readonly learningRate: number
  /** The gradient of one row is scaled down to this norm. */
  readonly gradientNormMax: number
  /** A row is scaled down to this norm. */
  readonly rowNormMax: number
}

/** The gradients of one batch, summed by row, so that each row gets one update however often it occurs. */
export class RowGradients {
  readonly #sums: RowSums

  constructor(dim: number) {
    this.#sums = new RowSums(dim)
  }

  /** Adds one gradient, d floats of `gradients` from `at` on. */
  add(slot: number, gradients: Float32Array, at: number): void {
    this.#sums.add(slot, gradients, at, 1)
  }

  /**
   * Updates the rows, marks them dirty and forgets the gradients. A row whose gradient is not finite stays as it is.
   * @returns how many rows were left alone for that reason
   */
  apply(table: EmbeddingTable, options: SgdOptions): number {
    let quarantined = 0
    this.#sums.take((slot, sums, at) => {
      if (updateRow(table, slot, sums, at, options)) table.markDirty(slot)
      else quarantined++
    })
    return quarantined
  }
}

/**
 * One SGD step on one row; with `adagrad` the rate is divided by the root of the row's accumulated mean squared gradient (row-wise
 * Adagrad, as in FBGEMM's EXACT_ROWWISE_ADAGRAD). False: the gradient was not finite, nothing has changed.
 */
function updateRow(
  table: EmbeddingTable,
  slot: number,
  gradients: Float32Array,
  at: number,
  options: SgdOptions,
): boolean {
  const dim = table.dim
  const row = table.chunkOf(slot)
  const start = table.startOf(slot)
  let squares = 0
  for (let i = 0; i < dim; i++) squares += gradients[at + i]! * gradients[at + i]!
  if (!Number.isFinite(squares)) return false

  const norm = Math.sqrt(squares)
  const clip = norm > options.gradientNormMax ? options.gradientNormMax / norm : 1
  let rate = options.learningRate * clip
  if (options.optimizer === 'adagrad') {
    table.accumulators[slot]! += (squares * clip * clip) / dim
    rate /= Math.sqrt(table.accumulators[slot]!) + 1e-8
  }
  let rowSquares = 0
  for (let i = 0; i < dim; i++) {
    row[start + i]! -= rate * gradients[at + i]!
    rowSquares += row[start + i]! * row[start + i]!
  }
  if (rowSquares > options.rowNormMax * options.rowNormMax) {
    const scale = options.rowNormMax / Math.sqrt(rowSquares)
    for (let i = 0; i < dim; i++) row[start + i]! *= scale
  }
  return true
}
