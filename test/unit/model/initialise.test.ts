import { expect, test } from 'vitest'
import { encodeFeatures } from '../../../src/model/features.ts'
import { initialise } from '../../../src/model/initialise.ts'
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
