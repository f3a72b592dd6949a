import { expect, test } from 'vitest'
import { initialise } from '../../../src/model/initialise.ts'
import type { ModelSpec } from '../../../src/model/spec.ts'
import type { Example } from '../../../src/records/types.ts'
import { noFeatures } from '../../../src/records/types.ts'
import { LearnerBatch } from '../../../src/streams/learner-batch.ts'
import { LearnerItems } from '../../../src/streams/learner-items.ts'

const model: ModelSpec = {
  dim: 4,
  temperature: 0.2,
  user: { features: [], hidden: 2 },
  item: { features: [], hidden: 2 },
}

function setUp(): { items: LearnerItems; batch: LearnerBatch; examples: Example[] } {
  const { dense, itemDefaultRow } = initialise(model, 1)
  const items = new LearnerItems(
    {
      itemRowsMax: 100,
      admitAfterItems: 1,
      popularityHalfLifeMs: 86_400_000,
      popularityShare: 0.5,
      skewEpsilon: 0,
    },
    model,
    dense,
    { defaultRow: itemDefaultRow },
  )
  const examples = ['a', 'b', 'a', 'c'].map((itemId, i): Example => ({
    kind: 'example',
    requestId: `r${i}`,
    userId: `u${i}`,
    itemId,
    eventTimeMs: 1_000,
    impressionTimeMs: 1_000,
    position: 0,
    weight: i,
    scenario: '',
    hardNegatives: [],
    features: noFeatures,
  }))
  return { items, batch: new LearnerBatch(model, 8, 600), examples }
}

test('biases correct for the expected count of each item, and mask an example of its own positive', () => {
  const { items, batch, examples } = setUp()
  batch.batch = examples.length
  batch.gatherPositives(examples, items)
  batch.gatherNegatives(examples, items, 600)
  expect(batch.negatives).toBe(3)
  const drawn = [...batch.negativeSlots.subarray(0, 3)]
  for (let b = 0; b < 4; b++) {
    const positive = batch.positiveSlots[b]!
    expect(batch.positiveBias[b]).toBeCloseTo(
      -Math.log(600 * items.sampler.probability(positive)),
      5,
    )
    drawn.forEach((slot, m) => {
      const bias = batch.negativeBias[b * 3 + m]!
      // 600 draws of three items: each comes about as often as expected, so the logarithm of the ratio is near 0.
      if (slot === positive) expect(bias).toBe(-1e9)
      else expect(Math.abs(bias)).toBeLessThan(0.2)
    })
  }
  expect(items.sampler.probability(items.table.find('a'))).toBeCloseTo(0.5 / 2 + 0.5 / 3, 10)
  expect([...batch.weights.subarray(0, 4)]).toEqual([0, 1, 2, 3])
})

test('negatives depend on the examples, and on nothing else', () => {
  const drawn = [0, 0, 1].map((swap) => {
    const { items, batch, examples } = setUp()
    for (let i = 0; i < 60; i++) items.sight(`other${i}`, 0)
    if (swap === 1) examples[0] = { ...examples[0]!, requestId: 'another' }
    batch.batch = examples.length
    batch.gatherPositives(examples, items)
    batch.gatherNegatives(examples, items, 20)
    return [...batch.negativeSlots.subarray(0, batch.negatives)]
  })
  expect(drawn[1]).toEqual(drawn[0])
  expect(drawn[2]).not.toEqual(drawn[0])
})

test('buffers left over from a larger batch do not show', () => {
  const { items, batch, examples } = setUp()
  batch.batch = 4
  batch.gatherPositives(examples, items)
  batch.gatherNegatives(examples, items, 600)
  const large = [...batch.negativeSlots.subarray(0, 3)]
  batch.batch = 1
  batch.gatherPositives([examples[3]!], items)
  batch.gatherNegatives([examples[3]!], items, 600)
  const masked = [...batch.negativeBias.subarray(0, batch.negatives)].filter(
    (bias) => bias === -1e9,
  )
  expect(large).toHaveLength(3)
  expect(masked).toHaveLength(1)
})
