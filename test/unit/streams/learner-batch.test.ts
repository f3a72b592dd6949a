import { expect, test } from 'vitest'
import { initialise } from '../../../src/model/initialise.ts'
import { listwise, lossOf, type Loss } from '../../../src/model/loss.ts'
import type { ModelSpec } from '../../../src/model/spec.ts'
import type { Example } from '../../../src/records/types.ts'
import { noFeatures } from '../../../src/records/types.ts'
import { LearnerBatch } from '../../../src/streams/learner-batch.ts'
import { LearnerItems } from '../../../src/streams/learner-items.ts'

const model: ModelSpec = {
  dim: 4,
  outputDim: 4,
  temperature: 0.2,
  user: { features: [], hidden: [2] },
  item: { features: [], hidden: [2] },
}

const draws = (negatives: number, loss: Loss = listwise, hardNegativeShare = 0) => ({
  ...{ negatives, loss, logQ: true, hardNegativeShare },
})

function setUp(): { items: LearnerItems; batch: LearnerBatch; examples: Example[] } {
  const { dense, itemDefaultRow } = initialise(model, 1)
  const items = new LearnerItems(
    {
      itemRowsMax: 100,
      admitAfterItems: 1,
      popularityHalfLifeMs: 86_400_000,
      popularityShare: 0.5,
      skewEpsilon: 0,
      onlineRows: 'user+item',
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
  batch.gatherNegatives(examples, items, draws(600))
  expect(batch.negatives).toBe(3)
  const drawn = [...batch.negativeSlots.subarray(0, 3)]
  for (let b = 0; b < 4; b++) {
    const positive = batch.positiveSlots[b]!
    expect(batch.positiveBias[b]).toBe(0)
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

/** Items of unequal popularity, four of them eliminated on the pages of the examples, and cosines for all. */
function catalogueOf(count: number) {
  const { items, examples } = setUp()
  for (let i = 0; i < count; i++) {
    for (let clicks = 0; clicks <= i % 5; clicks++) items.sight(`other${i}`, 0)
  }
  const eliminated = ['other3', 'other9', 'other9', 'other12', 'unknown', 'b']
  const pages = examples.map((one, b) => (b === 1 ? { ...one, hardNegatives: eliminated } : one))
  const large = new LearnerBatch(model, 4, 200_000)
  large.batch = pages.length
  large.gatherPositives(pages, items)
  const scoreOf = (slot: number): number => 3 * Math.sin(7 * slot)
  return { items, batch: large, pages, scoreOf, slots: [...items.table.entries().slots] }
}

test.each([0, 0.5, 0.9])(
  'with logQ, and %d of the draws from what ranking eliminated, many draws come to the softmax over the catalogue',
  (hardNegativeShare) => {
    const { items, batch, pages, scoreOf, slots } = catalogueOf(20)
    batch.gatherNegatives(pages, items, draws(200_000, listwise, hardNegativeShare))
    for (let b = 0; b < batch.batch; b++) {
      const positive = batch.positiveSlots[b]!
      const total = slots.reduce((sum, slot) => sum + Math.exp(scoreOf(slot)), 0)
      const logits = Float64Array.of(
        scoreOf(positive) + batch.positiveBias[b]!,
        ...Array.from({ length: batch.negatives }, (_, m) => {
          const bias = batch.negativeBias[b * batch.negatives + m]!
          return scoreOf(batch.negativeSlots[m]!) + bias
        }),
      )
      lossOf(listwise, logits, new Float64Array(0), logits.length)
      const shareOf = (slot: number) => Math.exp(scoreOf(slot)) / total
      const isNear = (found: number, wanted: number) =>
        expect(Math.abs(found - wanted)).toBeLessThanOrEqual(0.1 * wanted + 0.002)
      isNear(logits[0]! + 1, shareOf(positive))
      batch.negativeSlots.subarray(0, batch.negatives).forEach((slot, m) => {
        isNear(logits[m + 1]!, slot === positive ? 0 : shareOf(slot))
      })
    }
  },
)

test('pointwise, the logit that minimises the loss is the log of how often the item is clicked, times the number of items', () => {
  const { items, batch, pages } = catalogueOf(20)
  const loss: Loss = { kind: 'pointwise', negativesPerPositive: 3 }
  batch.gatherNegatives(pages, items, draws(200_000, loss, 0.5))
  // With clicks of item i in a share c of all examples, weights w and biases b, the slope at s = log(c n) is 0:
  const click = 0.04
  const b = 0
  for (let m = 0; m < batch.negatives; m++) {
    const at = b * batch.negatives + m
    if (batch.negativeSlots[m] === batch.positiveSlots[b]) {
      expect(batch.negativeWeights[at]).toBe(0)
      continue
    }
    const share =
      1 / (1 + Math.exp(-(Math.log(click * items.sampler.size) + batch.negativeBias[at]!)))
    const slope = click * (share - 1) + batch.negativeWeights[at]! * share
    // Draws differ from what is expected of them by a few in a hundred.
    expect(Math.abs(slope)).toBeLessThan(0.1 * click)
  }
  const weights = batch.negativeWeights.subarray(0, batch.negatives)
  expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(3, 4)
})

test('without logQ a draw counts as it comes', () => {
  const { items, batch, pages } = catalogueOf(20)
  batch.gatherNegatives(pages, items, { ...draws(400), logQ: false })
  const drawn = [...batch.negativeBias.subarray(0, batch.negatives)].filter((bias) => bias > -1e9)
  const own = batch.negativeSlots.subarray(0, batch.negatives).includes(batch.positiveSlots[0]!)
  const total = drawn.reduce((sum, bias) => sum + Math.exp(bias), 0)
  if (own) expect(total).toBeLessThan(400)
  else expect(total).toBeCloseTo(400, 2)
  drawn.forEach((bias) => expect(Math.exp(bias)).toBeCloseTo(Math.round(Math.exp(bias)), 3))
  const loss: Loss = { kind: 'pairwise', form: 'logistic' }
  batch.gatherNegatives(pages, items, { ...draws(400, loss), logQ: false })
  expect(new Set(batch.negativeBias.subarray(0, batch.negatives))).toEqual(new Set([0]))
})

test('pairwise weights come to one an example, and none is on its own item', () => {
  const { items, batch, pages } = catalogueOf(20)
  batch.gatherNegatives(pages, items, draws(400, { kind: 'pairwise', form: 'logistic' }, 0.5))
  for (let b = 0; b < batch.batch; b++) {
    const from = b * batch.negatives
    const weights = [...batch.negativeWeights.subarray(from, from + batch.negatives)]
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5)
    const own = batch.negativeSlots.indexOf(batch.positiveSlots[b]!)
    if (own >= 0 && own < batch.negatives) expect(weights[own]).toBe(0)
  }
})

test('hard negatives are what ranking eliminated: nothing that was shown, and nothing unknown', () => {
  const { items, batch, pages } = catalogueOf(20)
  batch.gatherNegatives(pages, items, draws(1_000, listwise, 0.9))
  const countOf = (id: string) => {
    const m = batch.negativeSlots.subarray(0, batch.negatives).indexOf(items.table.find(id))
    // log(m / expected) is near 0 for what comes as often as expected.
    return m < 0 ? null : batch.negativeBias[m]!
  }
  for (const id of ['other3', 'other9', 'other12']) {
    expect(Math.abs(countOf(id)!), id).toBeLessThan(0.25)
  }
  const none = pages.map((one) => ({ ...one, hardNegatives: [] }))
  batch.gatherNegatives(none, items, draws(1_000, listwise, 0.9))
  const drawnSlots = new Set(batch.negativeSlots.subarray(0, batch.negatives))
  expect(drawnSlots.size).toBeGreaterThan(15)
})

test('negatives depend on the examples, and on nothing else', () => {
  const drawn = [0, 0, 1].map((swap) => {
    const { items, batch, examples } = setUp()
    for (let i = 0; i < 60; i++) items.sight(`other${i}`, 0)
    if (swap === 1) examples[0] = { ...examples[0]!, requestId: 'another' }
    batch.batch = examples.length
    batch.gatherPositives(examples, items)
    batch.gatherNegatives(examples, items, draws(20))
    return [...batch.negativeSlots.subarray(0, batch.negatives)]
  })
  expect(drawn[1]).toEqual(drawn[0])
  expect(drawn[2]).not.toEqual(drawn[0])
})

test('buffers left over from a larger batch do not show', () => {
  const { items, batch, examples } = setUp()
  batch.batch = 4
  batch.gatherPositives(examples, items)
  batch.gatherNegatives(examples, items, draws(600))
  const large = [...batch.negativeSlots.subarray(0, 3)]
  batch.batch = 1
  batch.gatherPositives([examples[3]!], items)
  batch.gatherNegatives([examples[3]!], items, draws(600))
  const masked = [...batch.negativeBias.subarray(0, batch.negatives)].filter(
    (bias) => bias === -1e9,
  )
  expect(large).toHaveLength(3)
  expect(masked).toHaveLength(1)
})
