import { expect, test } from 'vitest'
import { EmbeddingTable } from '../../../src/model/embedding-table.ts'
import type { SgdOptions } from '../../../src/model/sgd.ts'
import { RowGradients } from '../../../src/model/sgd.ts'

const options: SgdOptions = {
  optimizer: 'sgd',
  learningRate: 0.5,
  gradientNormMax: 100,
  rowNormMax: 100,
}

function setUp(): { table: EmbeddingTable; gradients: RowGradients; a: number; b: number } {
  const table = new EmbeddingTable({ defaultRow: Float32Array.of(1, 1), rowsMax: 10 })
  const a = table.insert('a', 0)
  return { table, gradients: new RowGradients(2), a, b: table.insert('b', 0) }
}

test('gradients of the same row are summed into one update', () => {
  const { table, gradients, a, b } = setUp()
  const values = Float32Array.of(1, 0, 0, 4, 2, 0)
  gradients.add(a, values, 0)
  gradients.add(b, values, 2)
  gradients.add(a, values, 4)
  expect(gradients.apply(table, options)).toBe(0)
  expect([...table.row(a)]).toEqual([-0.5, 1])
  expect([...table.row(b)]).toEqual([1, -1])
  expect(table.takeDirty()).toEqual([a, b])
  expect(gradients.apply(table, options)).toBe(0)
  expect(table.takeDirty()).toEqual([])
})

test('row-wise Adagrad divides by the root of the mean squared gradient of the row', () => {
  const { table, gradients, a } = setUp()
  for (let i = 0; i < 2; i++) {
    gradients.add(a, Float32Array.of(3, 4), 0)
    gradients.apply(table, { ...options, optimizer: 'adagrad' })
  }
  const first = 0.5 / Math.sqrt(12.5)
  const second = 0.5 / Math.sqrt(25)
  expect(table.accumulators[a]).toBe(25)
  expect(table.row(a)[0]).toBeCloseTo(1 - 3 * (first + second), 5)
})

test('a long gradient and a long row are cut to their limits', () => {
  const { table, gradients, a } = setUp()
  gradients.add(a, Float32Array.of(30, 40), 0)
  gradients.apply(table, { ...options, gradientNormMax: 5 })
  expect(table.row(a)[0]).toBeCloseTo(1 - 0.5 * 3, 5)
  gradients.add(a, Float32Array.of(-60, -80), 0)
  gradients.apply(table, { ...options, rowNormMax: 2 })
  expect(Math.hypot(...table.row(a))).toBeCloseTo(2, 5)
})

test.each([NaN, Infinity])('a row with a gradient of %d stays as it is and is counted', (bad) => {
  const { table, gradients, a, b } = setUp()
  gradients.add(a, Float32Array.of(bad, 0), 0)
  gradients.add(b, Float32Array.of(1, 0), 0)
  expect(gradients.apply(table, options)).toBe(1)
  expect([...table.row(a)]).toEqual([1, 1])
  expect(table.takeDirty()).toEqual([b])
})
