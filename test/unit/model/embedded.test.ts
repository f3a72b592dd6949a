import { expect, test } from 'vitest'
import { encodeFeatures } from '../../../src/model/features.ts'
import { initialise } from '../../../src/model/initialise.ts'
import { EmbeddingGradients, PreparedFeatures } from '../../../src/model/prepared-features.ts'
import { featureWidth, type ModelSpec } from '../../../src/model/spec.ts'
import { loadConfig } from '../../../src/config/load.ts'
import type { Features } from '../../../src/records/types.ts'
import { noFeatures } from '../../../src/records/types.ts'

const model: ModelSpec = {
  ...{ dim: 4, outputDim: 4, temperature: 0.2 },
  user: { hidden: [2], features: [] },
  item: {
    hidden: [2],
    features: [
      { kind: 'vocabulary', name: 'tier', values: ['free', 'paid'], dim: 3 },
      { kind: 'numeric', name: 'price', transform: 'none', mean: 10, deviation: 5 },
      { kind: 'bucketised', name: 'price', boundaries: [0, 10, 100], dim: 2 },
      { kind: 'categorical', name: 'tags', buckets: 8, dim: 2 },
    ],
  },
}
const { dense } = initialise(model, 5)
const width = featureWidth(model.item)

function encode(features: Partial<Features>): { values: number[]; unusable: number } {
  const out = new Float32Array(width)
  const unusable = encodeFeatures(model.item, dense.item, { ...noFeatures, ...features }, out, 0)
  return { values: [...out], unusable }
}

function rowOf(name: string, row: number, dim: number): number[] {
  return [...dense.item.embeddings[name]!.subarray(row * dim, (row + 1) * dim)]
}

test('tables have a row for each value or interval, and one for what is unknown or missing', () => {
  expect(width).toBe(3 + 2 + 2 + 2)
  expect(dense.item.embeddings['tier']).toHaveLength(3 * 3)
  expect(dense.item.embeddings['price']).toHaveLength(5 * 2)
})

test.each([
  ['free', 1],
  ['paid', 2],
  ['never heard of', 0],
])('vocabulary value %s is row %i', (value, row) => {
  const { values } = encode({ categorical: new Map([['tier', [value]]]) })
  expect(values.slice(0, 3)).toEqual(rowOf('tier', row, 3))
})

test('several values are the mean of their rows, none is zeros', () => {
  const { values } = encode({ categorical: new Map([['tier', ['free', 'paid']]]) })
  const [free, paid] = [rowOf('tier', 1, 3), rowOf('tier', 2, 3)]
  values.slice(0, 3).forEach((value, i) => expect(value).toBeCloseTo((free[i]! + paid[i]!) / 2, 6))
  expect(encode({}).values.slice(0, 3)).toEqual([0, 0, 0])
})

test.each([
  [-1, 1],
  [0, 2],
  [9.99, 2],
  [10, 3],
  [1e30, 4],
])('%d lies in interval %i, whatever the standardised number makes of it', (value, row) => {
  const { values } = encode({ numeric: new Map([['price', value]]) })
  expect(values.slice(5, 7)).toEqual(rowOf('price', row, 2))
})

test('a number that is missing or no number is row 0', () => {
  expect(encode({}).values.slice(5, 7)).toEqual(rowOf('price', 0, 2))
  const { values, unusable } = encode({ numeric: new Map([['price', NaN]]) })
  expect(values.slice(5, 7)).toEqual(rowOf('price', 0, 2))
  // The standardised one of the same name counts as well.
  expect(unusable).toBe(2)
})

test('prepared features are the encoded ones, and take gradients to the rows that they are made of', () => {
  const some: Features[] = [
    noFeatures,
    {
      categorical: new Map([
        ['tier', ['paid', 'else']],
        ['tags', ['a', 'b', 'c']],
      ]),
      numeric: new Map([['price', 12]]),
      dense: new Map(),
    },
  ]
  const prepared = new PreparedFeatures(model.item)
  const gradients = Float32Array.from({ length: width }, (_, i) => i + 1)
  const sums = new EmbeddingGradients(model.item)
  for (const [number, features] of some.entries()) {
    expect(prepared.add(features)).toBe(number)
    const out = new Float32Array(width)
    prepared.write(dense.item, number, out, 0)
    encode(features).values.forEach((value, i) => expect(out[i]).toBeCloseTo(value, 6))
    sums.add(prepared, number, gradients, 0)
  }
  const found: [string, number, number[]][] = []
  sums.apply((name, row, values, at, dim) => {
    if (name !== 'tags') found.push([name, row, [...values.subarray(at, at + dim)]])
  })
  expect(found).toEqual([
    ['tier', 2, [0.5, 1, 1.5]],
    ['tier', 0, [0.5, 1, 1.5]],
    ['price', 0, [6, 7]],
    ['price', 3, [6, 7]],
  ])
})

test.each([
  ['{ kind: vocabulary, name: a, values: [x, x] }', 'each value may stand there once'],
  ['{ kind: bucketised, name: a, boundaries: [1, 1] }', 'each boundary must be above'],
  [
    '{ kind: vocabulary, name: a, values: [x] }, { kind: categorical, name: a }',
    'would share an embedding table',
  ],
  [
    '{ kind: numeric, name: a }, { kind: numeric, name: a, transform: log1p }',
    'would share their statistics: give one of them a mean and a deviation',
  ],
  ['{ kind: numeric, name: a, mean: 3 }', 'mean and deviation go together'],
  [
    '{ kind: categorical, name: freshet.age_hours }',
    'those of computed features, which are numeric: freshet.age_hours, freshet.recent_clicks',
  ],
  ['{ kind: numeric, name: freshet.age }', 'freshet.age_hours, freshet.recent_clicks'],
])('%s is refused', (features, why) => {
  const load = () =>
    loadConfig({ texts: [], environment: {}, settings: [`model.item.features=[${features}]`] })
  expect(load).toThrow(why)
})

test('computed features are of items', () => {
  const settings = ['model.user.features=[{ kind: numeric, name: freshet.age_hours }]']
  const load = () => loadConfig({ texts: [], environment: {}, settings })
  expect(load).toThrow('freshet.age_hours and freshet.recent_clicks are features of items')
})
