import { expect, onTestFinished, test } from 'vitest'
import { Spaces } from '../../../src/console/spaces.ts'
import type { ModelSpec } from '../../../src/model/spec.ts'
import { openDirectoryStore } from '../../../src/runtime/generation/artifact-store.ts'
import { bootstrapGeneration, writeGeneration } from '../../../src/runtime/generation/generation.ts'
import { temporaryDir } from '../../support/own-servers.ts'

const tower = { features: [], hidden: [3] }
const model: ModelSpec = { dim: 4, outputDim: 2, temperature: 1, user: tower, item: tower }

test('vectors have the width of vectors, rows that of rows; engines that only train are not asked', async () => {
  const store = openDirectoryStore(await temporaryDir(onTestFinished))
  const start = bootstrapGeneration('g1', model, 1, 0)
  const two = () => Float32Array.of(0, 0)
  const none = () => new Float64Array(2)
  await writeGeneration(store, {
    ...start,
    ...{ itemIds: ['a', 'b'], itemRows: new Float32Array(8), itemSeenMs: none() },
    itemVectors: Float32Array.of(1, 0, 0.6, 0.8),
    optimiser: {
      ...start.optimiser,
      itemAccumulators: two(),
      frequency: { examples: 0, lastSeen: none(), gap: none(), gaps: none() },
    },
  })
  const overrides = { of: () => Promise.resolve(new Map()) }
  const spaces = new Spaces({ store, engine: 'tfjs', overrides })
  onTestFinished(() => spaces.close())
  const space = await spaces.of('g1')
  expect(await space.vectorOf('b')).toEqual(Float32Array.of(0.6, 0.8))
  expect(await space.userVector(Float32Array.of(1, 0, 0, 0))).toHaveLength(2)
  const found = await space.search(Float32Array.of(0, 1), 2, new Set())
  expect(found.ids).toEqual(['b', 'a'])
})
