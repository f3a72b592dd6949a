import { expect, test } from 'vitest'
import { encodeFeatures } from '../../../src/model/features.ts'
import { Random } from '../../../src/model/hash.ts'
import { initialise } from '../../../src/model/initialise.ts'
import { OracleTower } from '../../../src/model/oracle-tower.ts'
import { oracleEngine } from '../../../src/model/oracle.ts'
import type { ModelSpec } from '../../../src/model/spec.ts'
import { featureWidth } from '../../../src/model/spec.ts'

const model: ModelSpec = {
  dim: 64,
  outputDim: 64,
  temperature: 0.2,
  user: { features: [], hidden: [64] },
  item: { features: [{ kind: 'categorical', name: 'genre', buckets: 64, dim: 16 }], hidden: [64] },
}

test('the same seed gives the same bytes, another seed others', () => {
  expect(initialise(model, 3)).toEqual(initialise(model, 3))
  expect(initialise(model, 3)).not.toEqual(initialise(model, 4))
})

test('rows 0 have length 1; features tell items apart without leading', async () => {
  const { dense, itemDefaultRow, userDefaultRow } = initialise(model, 17)
  expect(Math.hypot(...userDefaultRow)).toBeCloseTo(1, 5)
  const genres = Array.from({ length: 20 }, (_, i) => `genre${i}`)
  const width = featureWidth(model.item)
  const features = new Float32Array(20 * width)
  genres.forEach((genre, i) => {
    const own = { categorical: new Map([['genre', [genre]]]), numeric: new Map(), dense: new Map() }
    encodeFeatures(model.item, dense.item, own, features, i * width)
  })
  const rows = new Float32Array(20 * 64)
  for (let i = 0; i < 20; i++) rows.set(itemDefaultRow, i * 64)
  const engine = await oracleEngine.open(model, dense)
  const vectors = await engine.vectors('item', rows, features, 20)
  const cosines = await engine.scores(vectors, 20, vectors, 20)
  let sum = 0
  for (let i = 0; i < 20; i++) for (let j = 0; j < i; j++) sum += cosines[i * 20 + j]!
  expect(sum / 190).toBeGreaterThan(0.5)
  expect(sum / 190).toBeLessThan(0.97)
})

test('one hidden layer and vectors as wide as rows draw what they always drew, in that order', () => {
  const { dense, userDefaultRow } = initialise(model, 3)
  const random = new Random(0x66726573, 3)
  const drawn = (count: number, deviation: number) =>
    Float32Array.from({ length: count }, () => deviation * random.nextNormal())
  const biases = { hidden_bias: new Float32Array(64), output_bias: new Float32Array(64) }
  expect(dense.user.tensors).toEqual({
    ...{ projection: new Float32Array(0), ...biases },
    hidden_weights: drawn(64 * 64, Math.sqrt(2)),
    output_weights: drawn(64 * 64, 0.25 / 64),
  })
  expect(dense.item).toEqual({
    statistics: {},
    embeddings: { genre: drawn(64 * 16, 1) },
    tensors: {
      ...biases,
      projection: drawn(16 * 64, 0.5 / Math.sqrt(16 * 64)),
      hidden_weights: drawn(80 * 64, Math.sqrt(2 / 17)),
      output_weights: drawn(64 * 64, 0.25 / 64),
    },
  })
  const row = drawn(64, 1)
  const length = Math.hypot(...row)
  expect(userDefaultRow).toEqual(row.map((value) => value / length))
})

test.each([
  { outputDim: 16, hidden: [64, 64, 64] },
  { outputDim: 48, hidden: [128, 32] },
  { outputDim: 128, hidden: [64] },
])('$hidden to $outputDim: the ID row keeps its length, the layers bend it', (widths) => {
  const user = { features: [], hidden: widths.hidden }
  const deep: ModelSpec = { ...model, user, outputDim: widths.outputDim }
  const { tensors } = initialise(deep, 5).dense.user
  const random = new Random(1, 1)
  const rows = Float32Array.from({ length: 200 * 64 }, () => random.nextNormal() / 8)
  const meanLengthWithout = (name: string) => {
    const without = { ...tensors, [name]: new Float32Array(tensors[name]!.length) }
    const tower = new OracleTower(deep, 'user', {
      tensors: without,
      embeddings: {},
      statistics: {},
    })
    const { lengths } = tower.forward(rows, new Float32Array(0), 200)
    return lengths.reduce((sum, length) => sum + length / 200, 0)
  }
  expect(meanLengthWithout('output_weights')).toBeGreaterThan(0.8)
  expect(meanLengthWithout('output_weights')).toBeLessThan(1.2)
  expect(meanLengthWithout('shortcut')).toBeGreaterThan(0.15)
  expect(meanLengthWithout('shortcut')).toBeLessThan(0.4)
})
