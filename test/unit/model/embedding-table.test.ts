import { expect, test } from 'vitest'
import type { TableOptions } from '../../../src/model/embedding-table.ts'
import { EmbeddingTable } from '../../../src/model/embedding-table.ts'

const defaultRow = Float32Array.of(1, 2, 3)

function newTable(options: Partial<TableOptions> = {}): EmbeddingTable {
  return new EmbeddingTable({ defaultRow, rowsMax: 10_000, ...options })
}

test('a new row is a copy of row 0 with fresh optimiser state, also in a slot used before', () => {
  const table = newTable()
  const slot = table.insert('a', 5)
  table.row(slot).fill(9)
  table.accumulators[slot] = 7
  table.release(slot)
  expect(table.find('a')).toBe(0)
  expect(table.insert('b', 6)).toBe(slot)
  expect([...table.row(slot)]).toEqual([1, 2, 3])
  expect(table.accumulators[slot]).toBe(0)
  expect(table.timesMs[slot]).toBe(6)
  expect([...table.row(0)]).toEqual([1, 2, 3])
})

test('rows stay where they are while the table grows over many chunks', () => {
  const table = newTable()
  const first = table.insert('first', 0)
  const view = table.row(first)
  for (let i = 0; i < 9_000; i++) table.row(table.insert(`id${i}`, i))[0] = i
  view[1] = 42
  expect(table.row(first)[1]).toBe(42)
  expect(table.row(table.find('id8500'))[0]).toBe(8500)
})

test('makeRoom evicts the oldest by event time, of equal ones the lower slot, and tells', () => {
  const released: number[] = []
  const table = newTable({ rowsMax: 5, released: (slot) => released.push(slot) })
  const slots = [30, 10, 20, 10, 10].map((time, i) => table.insert(`id${i}`, time))
  expect(table.makeRoom(0)).toBe(0)
  expect(table.makeRoom(2)).toBe(2)
  expect(released).toEqual([slots[1], slots[3]])
  expect(['id0', 'id2', 'id4'].every((id) => table.find(id) > 0)).toBe(true)
})

test('touch keeps a row from being the oldest, and never makes it older', () => {
  const table = newTable({ rowsMax: 2 })
  const a = table.insert('a', 10)
  table.insert('b', 20)
  table.touch(a, 30)
  table.touch(a, 5)
  table.makeRoom(1)
  expect([table.find('a') > 0, table.find('b')]).toEqual([true, 0])
})

test('expire releases what is older, except what is to be kept', () => {
  const table = newTable()
  const old = table.insert('old', 1)
  const kept = table.insert('kept', 1)
  table.insert('young', 9)
  expect(table.expire(9, (slot) => slot === kept)).toBe(1)
  expect(table.isLive(old)).toBe(false)
  expect(table.size).toBe(2)
})

test('takeDirty gives each changed row once, and not those released since', () => {
  const table = newTable()
  const [a, b, c] = ['a', 'b', 'c'].map((id) => table.insert(id, 0)) as [number, number, number]
  for (const slot of [c, a, c, b]) table.markDirty(slot)
  table.release(a)
  expect(table.takeDirty()).toEqual([c, b])
  expect(table.takeDirty()).toEqual([])
})

test('a restored table equals the original, to the bit, and goes on like it', () => {
  const table = newTable({ rowsMax: 8 })
  for (let i = 0; i < 8; i++) {
    const slot = table.insert(`id${i}`, i % 3)
    table.row(slot).set([i, i / 3, Math.PI * i])
    table.accumulators[slot] = i / 7
    table.markDirty(slot)
  }
  table.release(table.find('id4'))
  const restored = EmbeddingTable.restore(table.entries(), { rowsMax: 8 })
  expect(restored.entries()).toEqual(table.entries())
  for (const each of [table, restored]) {
    each.makeRoom(3)
    for (const id of ['x', 'y', 'z']) each.insert(id, 4)
  }
  expect(restored.entries()).toEqual(table.entries())
})
