import { expect, test } from 'vitest'
import { configSchema } from '../../../src/config/schema.ts'
import { initialise } from '../../../src/model/initialise.ts'
import { oracleEngine } from '../../../src/model/oracle.ts'
import { decodeOverride } from '../../../src/records/codec.ts'
import { noFeatures } from '../../../src/records/types.ts'
import { overrideRecords, reconcile } from '../../../src/runtime/learner-overrides.ts'
import { learnerOptions } from '../../../src/runtime/learner-state.ts'
import { createLearner } from '../../../src/streams/learner.ts'

const tower = { features: [], hidden: [4] }
const model = { dim: 4, outputDim: 3, temperature: 0.2, user: tower, item: tower }
const noRows = { ids: [], rows: new Float32Array(0) }

async function learnerWith(itemIds: readonly string[]) {
  const { dense, userDefaultRow, itemDefaultRow } = initialise(model, 1)
  const learner = createLearner(
    {
      ...{ model, dense },
      engine: await oracleEngine.open(model, dense),
      options: learnerOptions(configSchema.parse({}).learner),
    },
    {
      ...{ userDefaultRow, itemDefaultRow, eventTimeMs: 0, users: noRows },
      items: { ...noRows, vectors: new Float32Array(0) },
    },
  )
  const changes = itemIds.map((itemId) => ({
    itemId,
    item: { itemId, title: itemId, createdAtMs: 0, features: noFeatures },
  }))
  await learner.applyCatalogue({ topic: 'i', partition: 0, from: 0, to: 9 }, changes)
  return learner
}

const idsOf = (overrides: readonly { itemId: string }[]) => overrides.map(({ itemId }) => itemId)

test('what serving has from a run before, and the learner would not publish, is published again or withdrawn', async () => {
  const learner = await learnerWith([
    ...['same', 'moved', 'of another model', 'withdrawn-before', 'new', 'withdrawn-now'],
  ])
  const { overrides } = await learner.sync()
  const vector = overrides[0]!.vector!
  const withdrawal = [{ itemId: 'withdrawn-now', item: null }]
  await learner.applyCatalogue({ topic: 'i', partition: 0, from: 9, to: 10 }, withdrawal)
  await learner.sync()

  const withdrawals = reconcile(
    learner,
    new Map([
      ['same', vector],
      ['moved', vector.map((value) => -value)],
      ['of another model', new Float32Array(model.dim)],
      ['withdrawn-before', null],
      ['withdrawn-now', vector],
      ['forgotten', vector],
      ['long gone', null],
    ]),
  )
  expect(withdrawals).toEqual([
    { itemId: 'withdrawn-now', vector: null, eventTimeMs: 0 },
    { itemId: 'forgotten', vector: null, eventTimeMs: 0 },
  ])
  const next = await learner.sync()
  expect(idsOf(next.overrides)).toEqual(['moved', 'of another model', 'withdrawn-before'])
  expect(next.overrides[0]!.vector).toEqual(vector)
})

test('a set is its overrides and then its end, which counts them', () => {
  const vector = Float32Array.of(1, 0)
  const overrides = [
    { itemId: 'a', vector, eventTimeMs: 5 },
    { itemId: 'b', vector: null, eventTimeMs: 6 },
  ]
  const set = { generation: 'g', sequence: 3, overrides, eventTimeMs: 9 }
  const records = overrideRecords('t', set, (itemId) => (itemId === 'a' ? 100 : 50))
  expect(records.map(({ key, timestampMs }) => [key, timestampMs])).toEqual([
    ['g/a', 100],
    ['g/b', 50],
    ['g/', 100],
  ])
  expect(records.map(({ value }) => decodeOverride(value!))).toEqual([
    { kind: 'override', generation: 'g', sequence: 3, ...overrides[0] },
    { kind: 'override', generation: 'g', sequence: 3, ...overrides[1] },
    { kind: 'set-end', generation: 'g', sequence: 3, count: 2, eventTimeMs: 9 },
  ])
})
