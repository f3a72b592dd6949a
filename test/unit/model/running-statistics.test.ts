import { expect, test } from 'vitest'
import { encodeFeatures } from '../../../src/model/features.ts'
import { initialise } from '../../../src/model/initialise.ts'
import { observeNumbers } from '../../../src/model/running-statistics.ts'
import type { ModelSpec, TowerSpec } from '../../../src/model/spec.ts'
import { noFeatures } from '../../../src/records/types.ts'
import { Random } from '../../../src/model/hash.ts'

const item: TowerSpec = {
  hidden: [2],
  features: [
    { kind: 'dense', name: 'image', dim: 1 },
    { kind: 'numeric', name: 'price', transform: 'log1p', mean: null, deviation: null },
    { kind: 'numeric', name: 'year', transform: 'none', mean: null, deviation: null },
  ],
}
const model: ModelSpec = {
  dim: 2,
  outputDim: 2,
  temperature: 1,
  item,
  user: { hidden: [2], features: [] },
}
const width = 5
const newParameters = () => initialise(model, 1).dense.item

function encoded(parameters: ReturnType<typeof newParameters>, price?: number): number[] {
  const out = new Float32Array(width)
  const numeric = new Map(price === undefined ? [] : [['price', price]])
  encodeFeatures(item, parameters, { ...noFeatures, numeric }, out, 0)
  return [...out.subarray(1, 3)]
}

/** As they are before they are standardised: [value, is missing] of the price, the year is missing. */
function batchOf(values: readonly (number | null)[]): Float32Array {
  return Float32Array.from(values.flatMap((value) => [0, value ?? 0, value === null ? 1 : 0, 0, 1]))
}

test('mean and variance are those of all values together, however they were cut into batches', () => {
  const random = new Random(1, 2)
  const values = Array.from({ length: 1_000 }, () => 50 + 3 * random.nextNormal())
  const parameters = newParameters()
  for (let from = 0, size = 1; from < values.length; from += size, size = (size * 7) % 31) {
    const some = values.slice(from, from + size)
    observeNumbers(item, parameters, batchOf([...some, null]), some.length + 1, width)
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  const [count, ownMean, ownVariance] = parameters.statistics['price']!
  expect(count).toBe(1_000)
  expect(ownMean).toBeCloseTo(mean, 4)
  expect(ownVariance).toBeCloseTo(variance, 3)
  expect([...parameters.statistics['year']!]).toEqual([0, 0, 0])
})

test('a number is transformed, then standardised; what lies far out is limited', () => {
  const parameters = newParameters()
  parameters.statistics['price']!.set([10, 2, 4])
  expect(encoded(parameters, Math.expm1(5))).toEqual([1.5, 0])
  expect(encoded(parameters, 1e14)).toEqual([10, 0])
  parameters.statistics['price']!.set([10, 2, 0])
  expect(encoded(parameters, Math.expm1(2.5))[0]).toBeCloseTo(0.5)
})

test('missing where there is no value, no usable one, or nothing is known of its mean', () => {
  const parameters = newParameters()
  expect(encoded(parameters, 3)).toEqual([0, 1])
  parameters.statistics['price']!.set([10, 2, 4])
  for (const value of [undefined, NaN, Infinity, -2]) {
    expect(encoded(parameters, value)).toEqual([0, 1])
  }
})

test('what is old counts less and less: a world that has changed is followed', () => {
  const parameters = newParameters()
  parameters.statistics['price']!.set([1e9, 0, 1])
  for (let n = 0; n < 3_000; n++) {
    observeNumbers(item, parameters, batchOf(Array<number>(1_000).fill(7)), 1_000, width)
  }
  const [, mean, variance] = parameters.statistics['price']!
  expect(mean).toBeGreaterThan(6.5)
  expect(variance).toBeLessThan(5)
})
