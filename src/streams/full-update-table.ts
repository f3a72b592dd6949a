import { EmbeddingTable } from '../model/embedding-table.ts'
import type { TableEntries } from '../model/embedding-table.ts'
import type { SideState } from './full-update-types.ts'

const options = { rowsMax: Number.MAX_SAFE_INTEGER }

/** A table to train on, from the state before; slot i + 1 holds its row i. Row 0 trains as well. */
export function openTable(side: SideState): EmbeddingTable {
  const { defaultRow, defaultAccumulator, ids, rows, accumulators, seenMs } = side
  const dim = defaultRow.length
  const table = new EmbeddingTable({ ...options, defaultRow })
  table.accumulators[0] = defaultAccumulator
  ids.forEach((id, i) => {
    const slot = table.insert(id, seenMs[i]!)
    table.row(slot).set(rows.subarray(i * dim, (i + 1) * dim))
    table.accumulators[slot] = accumulators[i]!
  })
  return table
}

export interface TableSnapshot {
  readonly entries: TableEntries
  readonly defaultAccumulator: number
}

export function tableSnapshot(table: EmbeddingTable): TableSnapshot {
  return { entries: table.entries(), defaultAccumulator: table.accumulators[0]! }
}

export function restoreTable({ entries, defaultAccumulator }: TableSnapshot): EmbeddingTable {
  const table = EmbeddingTable.restore(entries, options)
  table.accumulators[0] = defaultAccumulator
  return table
}

/** The state after, of the slots that stay, in their order. */
export function sideState(table: EmbeddingTable, slots: readonly number[]): SideState {
  const rows = new Float32Array(slots.length * table.dim)
  slots.forEach((slot, i) => table.copyRow(slot, rows, i * table.dim))
  return {
    defaultRow: table.row(0).slice(),
    defaultAccumulator: table.accumulators[0]!,
    ids: slots.map((slot) => table.idOf(slot)),
    rows,
    accumulators: Float32Array.from(slots, (slot) => table.accumulators[slot]!),
    seenMs: Float64Array.from(slots, (slot) => table.timesMs[slot]!),
  }
}
