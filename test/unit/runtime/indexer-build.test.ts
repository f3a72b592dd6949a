import { expect, test } from 'vitest'
import type { Override } from '../../../src/records/types.ts'
import { bootstrapGeneration } from '../../../src/runtime/generation/generation.ts'
import { withOverrides } from '../../../src/runtime/indexer-build.ts'
import { deepModel } from '../../support/engine-conformance.ts'
import { flat } from '../../support/hnsw.ts'
import { randomFrom, unitVector } from '../../support/vectors.ts'

const model = deepModel(8, [], [])
const random = randomFrom(3)
const vectorOf = (width: number) => unitVector(width, random)

test('overrides fold in where their vectors are as wide as the model makes them, not as its rows', () => {
  const own = [vectorOf(8), vectorOf(8), vectorOf(8)]
  const content = {
    ...bootstrapGeneration('g', model, 3, 0),
    ...{ itemIds: ['moved', 'kept', 'withdrawn'], itemVectors: flat(own, 8) },
  }
  const [moved, added] = [vectorOf(8), vectorOf(8)]
  const overrides = new Map(
    Object.entries({
      ...{ moved, kept: vectorOf(model.dim), withdrawn: null },
      ...{ added, 'of another model': vectorOf(model.dim) },
    }).map(([itemId, vector]): [string, Override] => [
      itemId,
      { kind: 'override', generation: 'g', sequence: 1, itemId, vector, eventTimeMs: 0 },
    ]),
  )
  const { itemIds, itemVectors } = withOverrides(content, overrides)
  expect(itemIds).toEqual(['moved', 'kept', 'added'])
  expect(itemVectors).toEqual(flat([moved, own[1]!, added], 8))
})
