import { describe, expect, test } from 'vitest'
import { computedNames } from '../../../src/model/computed-features.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { encodeFeatures } from '../../../src/model/features.ts'
import { initialise } from '../../../src/model/initialise.ts'
import { noActivity } from '../../../src/model/item-activity.ts'
import { listwise } from '../../../src/model/loss.ts'
import { oracleEngine } from '../../../src/model/oracle.ts'
import type { ModelSpec } from '../../../src/model/spec.ts'
import { towerTensors } from '../../../src/model/spec.ts'
import type { Example, Features } from '../../../src/records/types.ts'
import { noFeatures } from '../../../src/records/types.ts'
import { packState } from '../../../src/runtime/checkpoint-state.ts'
import { openEngine } from '../../../src/runtime/engines/index.ts'
import { learnerOptions } from '../../../src/runtime/learner-state.ts'
import { FullUpdate, type FullOptions } from '../../../src/streams/full-update.ts'
import { noRecent } from '../../../src/streams/full-update-recent.ts'
import { copyDense, zerosLike } from '../../../src/streams/full-update-dense.ts'
import type { FullState, SideState } from '../../../src/streams/full-update-types.ts'
import { createLearner, restoreLearner } from '../../../src/streams/learner.ts'
import type { CatalogueChange } from '../../../src/streams/learner-types.ts'
import { expectClose } from '../../support/engine-conformance.ts'
import { asOpaque, type OpaqueSides } from '../../support/opaque.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const dayMs = 86_400_000
const startMs = Date.UTC(2026, 0, 1)
const kinds = 4

const model: ModelSpec = {
  ...{ dim: 6, outputDim: 6, temperature: 0.2 },
  user: { hidden: [4], features: [{ kind: 'categorical', name: 'country', buckets: 8, dim: 2 }] },
  item: { hidden: [5], features: [{ kind: 'categorical', name: 'kind', buckets: 16, dim: 3 }] },
}
const deep: ModelSpec = {
  ...{ ...model, outputDim: 4 },
  user: { ...model.user, hidden: [6, 4] },
  item: { ...model.item, hidden: [7, 5] },
}
const options: FullOptions = {
  loss: listwise,
  logQ: true,
  ...{ batch: 16, negatives: 8, learningRate: 0.01, rowLearningRate: 0.1, frequencyRate: 0.01 },
  ...{ gradientNormMax: 5, rowNormMax: 10, userDropout: 0.1, itemDropout: 0.1 },
  ...{
    gateFrom: 200,
    gateEvery: 1,
    gateMinExamples: 50,
    maxRegression: 0.01,
    expireAfterMs: 90 * dayMs,
    seed: 5,
  },
}

test('one pass over a day separates what is liked from what is not', async () => {
  const { state, figures } = await trained(examplesOf(600), { gateFrom: 480 })
  expect(figures.gate.difference).toBeGreaterThan(0.2)
  expect(figures).toMatchObject({ steps: 38, gate: { verdict: 'passed', examples: 120 } })
  expect(state.users.ids.length).toBe(40)
  expect(state.adam.steps).toBe(38)
  expect(state.frequency.examples).toBe(600)
})

test('towers of two layers with narrower vectors learn, and the learner goes on from their vectors', async () => {
  const parent = parentState(deep)
  const first = await trained(examplesOf(600), { gateFrom: 480 }, parent)
  const { state, itemVectors, figures } = first
  expect(figures.gate.difference).toBeGreaterThan(0.2)
  const next = await trained(examplesOf(600, startMs + dayMs), {}, state)
  expect(next.figures.loss).toBeLessThan(figures.loss)

  const { dense, users, items } = state
  const engine = await oracleEngine.open(deep, dense)
  const features = new Float32Array(items.ids.length * 3)
  const kindOf = (id: string) => Number(id.slice(1)) % kinds
  items.ids.forEach((id, i) =>
    encodeFeatures(deep.item, dense.item, featuresOf('kind', `k${kindOf(id)}`), features, i * 3),
  )
  expect(itemVectors).toEqual(await engine.vectors('item', items.rows, features, items.ids.length))

  const learning = learnerOptions(configSchema.parse({}).learner)
  const setup = { model: deep, dense, engine, options: learning }
  const learner = createLearner(setup, {
    ...{ userDefaultRow: users.defaultRow, itemDefaultRow: items.defaultRow },
    ...{ users, items: { ...items, vectors: itemVectors }, eventTimeMs: startMs + dayMs },
  })
  await learner.applyCatalogue({ topic: 'i', partition: 0, from: 0, to: 20 }, catalogueOf())
  // Nothing has been learnt yet, so serving has every vector already.
  expect((await learner.sync()).overrides).toEqual([])
  const losses: number[] = []
  for (let pass = 0; pass < 4; pass++) {
    const before = { ...learner.counters }
    const records = examplesOf(300, startMs + (pass + 1) * dayMs).map((record, i) => ({
      ...{ offset: pass * 300 + i, record },
    }))
    const cut = { topic: 'e', partition: 0, from: pass * 300, to: (pass + 1) * 300 }
    await learner.applyExamples(cut, records)
    const { lossSum, trained } = learner.counters
    losses.push((lossSum - before.lossSum) / (trained - before.trained))
  }
  expect(losses.at(-1)).toBeLessThan(losses[0]!)
  const { overrides, partitions } = await learner.sync()
  expect(overrides.length).toBeGreaterThan(0)
  for (const { vector } of overrides) {
    expect(vector).toHaveLength(deep.outputDim)
    expect(Math.hypot(...vector!)).toBeCloseTo(1, 5)
  }
  for (const { row } of partitions[0]!.rows) expect(row).toHaveLength(deep.dim)
  const { all } = learner.figures
  expect(all.areas / all.cases).toBeGreaterThan(0.8)
  const snapshot = learner.snapshot()
  expect(restoreLearner(setup, snapshot).snapshot()).toEqual(snapshot)
})

test('the gate compares every so manieth step, spread over its share of the day', async () => {
  // Steps 30 to 37 are of the share, 32 and 36 are compared; the last one has 8 examples.
  const { figures } = await trained(examplesOf(600), { gateFrom: 480, gateEvery: 4 })
  expect(figures.gate.examples).toBe(32)
})

test.each([
  ['one hidden layer', model],
  ['two, and narrower vectors', deep],
])('every parameter has moved, and nothing of the parent: %s', async (_, model) => {
  const parent = parentState(model)
  const before = bytesOf(parent)
  const { state } = await trained(examplesOf(300), {}, parent)
  expect(bytesOf(parent)).toBe(before)
  expect(state.users.defaultRow).not.toEqual(parent.users.defaultRow)
  expect(state.items.defaultRow).not.toEqual(parent.items.defaultRow)
  for (const side of ['user', 'item'] as const) {
    const { tensors, embeddings } = state.dense[side]
    const old = parent.dense[side]
    expect(Object.keys(tensors)).toHaveLength(towerTensors(model, side).length)
    for (const [name, values] of Object.entries(tensors)) {
      expect(values, name).not.toEqual(old.tensors[name])
      expect(state.adam.first[side].tensors[name]!.some((moment) => moment !== 0)).toBe(true)
    }
    for (const [name, table] of Object.entries(embeddings)) {
      expect(table).not.toEqual(old.embeddings[name])
    }
  }
})

test('however the examples are handed over, and however often it is stopped, the bytes are the same', async () => {
  const examples = examplesOf(333)
  const wanted = bytesOf(await trained(examples))
  const update = await FullUpdate.open(setupOf())
  for (let from = 0; from < examples.length; from += 7) {
    await update.train(examples.slice(from, from + 7))
  }
  expect(bytesOf(await update.finish())).toBe(wanted)
  for (const stopAt of [0, 16, 100, 250, 333]) {
    const first = await FullUpdate.open(setupOf())
    await first.train(examples.slice(0, stopAt))
    const snapshot = structuredClone(first.snapshot())
    await first.train(examples.slice(stopAt))
    const second = await FullUpdate.open(setupOf(), snapshot)
    await second.train(examples.slice(second.trained))
    expect(bytesOf(await second.finish()), `stopped at ${stopAt}`).toBe(wanted)
  }
})

test('the next day goes on: rows, moments, frequencies, and how long ago each id was seen', async () => {
  const first = await trained(examplesOf(200))
  const next = await trained(examplesOf(200, startMs + dayMs), {}, first.state)
  expect(next.state.adam.steps).toBe(26)
  expect(next.state.frequency.examples).toBe(400)
  expect(next.state.users.ids.slice(0, first.state.users.ids.length)).toEqual(first.state.users.ids)
  expect(Math.max(...next.state.users.seenMs)).toBeGreaterThan(startMs + dayMs)
})

test('an item nobody clicked is row 0 with its features; a withdrawn one, and one long gone, leaves', async () => {
  const parent = (await trained(examplesOf(200))).state
  const withdrawn = parent.items.ids[0]!
  const catalogue = [
    ...catalogueOf().filter(({ itemId }) => itemId !== withdrawn),
    { itemId: withdrawn, item: null },
    itemOf('unseen', 1),
  ]
  const { state, itemVectors } = await trained(
    examplesOf(200, startMs + 100 * dayMs).filter(({ userId }) => userId !== 'u0'),
    {},
    parent,
    catalogue,
  )
  expect(state.items.ids).not.toContain(withdrawn)
  expect(state.users.ids).not.toContain('u0')
  const place = state.items.ids.indexOf('unseen')
  const row = state.items.rows.subarray(place * model.dim, (place + 1) * model.dim)
  expect(row).toEqual(state.items.defaultRow)
  const vector = itemVectors.subarray(place * model.dim, (place + 1) * model.dim)
  expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
})

test('examples with a weight that is no number change nothing', async () => {
  const examples = examplesOf(96)
  const broken = { ...examples[3]!, weight: NaN, userId: 'nobody' }
  const update = await FullUpdate.open(setupOf())
  await update.train(examples.toSpliced(3, 0, broken))
  const { state } = await update.finish()
  expect(state.users.ids).not.toContain('nobody')
  expect([...state.users.rows, ...state.items.rows].every(Number.isFinite)).toBe(true)
})

test('numbers are standardised by what the lineage has seen, the computed ones as well; stopped or not', async () => {
  const running = { kind: 'numeric', transform: 'log1p', mean: null, deviation: null } as const
  const own: ModelSpec = {
    ...model,
    user: { hidden: [4], features: [{ ...running, transform: 'none', name: 'height' }] },
    item: {
      hidden: [5],
      features: Object.values(computedNames).map((name) => ({ ...running, name })),
    },
  }
  const withHeight = (example: Example): Example => ({
    ...example,
    features: { ...noFeatures, numeric: new Map([['height', 170 + (example.eventTimeMs % 20)]]) },
  })
  const days = [0, 1].map((day) => examplesOf(200, startMs + day * dayMs).map(withHeight))
  const update = async (parent: FullState, day: readonly Example[], stopAt?: number) => {
    let one = await FullUpdate.open(setupOf({}, parent))
    expect(one.observes).toBe(true)
    one.observe(day)
    if (stopAt !== undefined) {
      await one.train(day.slice(0, stopAt))
      one = await FullUpdate.open(setupOf({}, parent), structuredClone(one.snapshot()))
      one.observe(day)
    }
    await one.train(day.slice(one.trained))
    return one.finish()
  }
  const first = await update(parentState(own), days[0]!)
  const wanted = await update(first.state, days[1]!)
  expect(bytesOf(await update(first.state, days[1]!, 64))).toBe(bytesOf(wanted))

  const heights = days.flat().map((example) => example.features.numeric.get('height')!)
  const [count, mean] = wanted.state.dense.user.statistics['height']!
  expect(count).toBe(400)
  expect(mean).toBeCloseTo(heights.reduce((sum, each) => sum + each, 0) / 400, 3)
  expect(wanted.state.dense.item.statistics[computedNames.recentClicks]![1]).toBeGreaterThan(0)
  const { activity, items } = wanted.state
  items.ids.forEach((itemId, i) => {
    const own = days.flat().filter((example) => example.itemId === itemId)
    const firstMs = own.length === 0 ? 0 : Math.min(...own.map((each) => each.eventTimeMs))
    expect(activity.firstMs[i]).toBe(firstMs)
  })
  // The vectors are of these numbers: without what the log says they would be others.
  const forgetful = await update({ ...first.state, activity: noActivity() }, days[1]!)
  expect(forgetful.itemVectors).not.toEqual(wanted.itemVectors)
})

describe('with opaque towers', () => {
  const numbered: ModelSpec = {
    ...model,
    user: {
      ...model.user,
      features: [
        ...model.user.features,
        { kind: 'numeric', name: 'age', transform: 'none', mean: null, deviation: null },
      ],
    },
  }
  const opaqueParent = (of: ModelSpec, sides: OpaqueSides): FullState => {
    const parent = parentState(of)
    return { ...parent, ...asOpaque(of, parent.dense, sides) }
  }
  const aged = ({ features, ...example }: Example, i: number): Example => ({
    ...example,
    features: { ...features, numeric: new Map([['age', 20 + (i % 50)]]) },
  })
  const update = async (
    parent: FullState,
    { stopAt, ...change }: Partial<FullOptions> & { stopAt?: number } = {},
  ) => {
    const setup = { ...setupOf(change, parent), engine: openEngine('onnx') }
    const examples = examplesOf(300).map(aged)
    let one = await FullUpdate.open(setup)
    if (stopAt !== undefined) {
      await one.train(examples.slice(0, stopAt))
      const snapshot = structuredClone(one.snapshot())
      await one.close()
      one = await FullUpdate.open(setup, snapshot)
    }
    await one.train(examples.slice(one.trained))
    const result = await one.finish()
    await one.close()
    return result
  }

  test('ID rows train, through these graphs, and nothing else does; stopped or not', async () => {
    const still = await trained(examplesOf(300), { learningRate: 0 })
    const learning = { user: 'learning', item: 'learning' } as const
    const found = await update(opaqueParent(model, learning))
    expect(found.figures.loss).toBeCloseTo(still.figures.loss, 4)
    for (const side of ['users', 'items'] as const) {
      expect(found.state[side].ids).toEqual(still.state[side].ids)
      expectClose(found.state[side].rows, still.state[side].rows, 1e-3)
      expectClose(found.state[side].defaultRow, still.state[side].defaultRow, 1e-3)
    }
    expectClose(found.itemVectors, still.itemVectors, 1e-3)
    const parent = opaqueParent(numbered, { user: 'learning' })
    const wanted = await update(parent)
    expect(wanted.state.dense).toEqual(parent.dense)
    expect(bytesOf(await update(parent, { stopAt: 128 }))).toBe(bytesOf(wanted))
  })

  test('where one side is frozen the other one trains; where both are, it is refused', async () => {
    // Frozen rows are not shortened either.
    const parent = opaqueParent(model, { user: 'frozen' })
    const { state } = await update(parent, { rowNormMax: 0.1 })
    expect(state.users.defaultRow).toEqual(parent.users.defaultRow)
    expect(state.users.ids.length).toBe(40)
    state.users.rows.forEach((value, i) =>
      expect(value).toBe(parent.users.defaultRow[i % model.dim]),
    )
    expect(state.items.rows.some((value, i) => value !== state.items.rows[i % model.dim])).toBe(
      true,
    )
    await expect(update(opaqueParent(model, { user: 'frozen', item: 'frozen' }))).rejects.toThrow(
      'The parent has towers that are ONNX graphs without gradient graphs',
    )
  })
})

function setupOf(
  change: Partial<FullOptions> = {},
  parent = parentState(model),
  catalogue = catalogueOf(),
) {
  return { engine: oracleEngine, parent, catalogue, options: { ...options, ...change } }
}

async function trained(
  examples: readonly Example[],
  change: Partial<FullOptions> = {},
  parent = parentState(model),
  catalogue = catalogueOf(),
) {
  const update = await FullUpdate.open(setupOf(change, parent, catalogue))
  await update.train(examples)
  const result = await update.finish()
  await update.close()
  return result
}

function parentState(model: ModelSpec): FullState {
  const { dense, userDefaultRow, itemDefaultRow } = initialise(model, 3)
  const none = new Float64Array(0)
  const side = (defaultRow: Float32Array): SideState => ({
    ...{ defaultRow, defaultAccumulator: 0, ids: [], rows: new Float32Array(0) },
    ...{ accumulators: new Float32Array(0), seenMs: none },
  })
  return {
    ...{
      model,
      dense: copyDense(dense),
      users: side(userDefaultRow),
      items: side(itemDefaultRow),
    },
    adam: { steps: 0, first: zerosLike(dense), second: zerosLike(dense) },
    frequency: { examples: 0, lastSeen: none, gap: none, gaps: none },
    ...{ recent: noRecent(0), activity: noActivity() },
  }
}

/** Users like one kind of item each. */
function examplesOf(count: number, fromMs = startMs): Example[] {
  const random = seededRandom(count)
  return Array.from({ length: count }, (_, i) => {
    const user = random.between(0, 39)
    const item = (user % kinds) + kinds * random.between(0, 4)
    const eventTimeMs = fromMs + random.between(0, dayMs - 1)
    return {
      ...{ kind: 'example', requestId: `r${fromMs}-${i}`, userId: `u${user}`, itemId: `i${item}` },
      ...{ eventTimeMs, impressionTimeMs: eventTimeMs, position: 0, weight: 1, scenario: '' },
      ...{ hardNegatives: [], features: featuresOf('country', `c${user % 3}`) },
    }
  })
}

function catalogueOf(): CatalogueChange[] {
  return Array.from({ length: 5 * kinds }, (_, i) => itemOf(`i${i}`, i % kinds))
}

function itemOf(itemId: string, kind: number): CatalogueChange {
  const features = featuresOf('kind', `k${kind}`)
  return { itemId, item: { itemId, title: '', createdAtMs: 0, features } }
}

function featuresOf(name: string, value: string): Features {
  return { ...noFeatures, categorical: new Map([[name, [value]]]) }
}

function bytesOf(state: unknown): string {
  const { json, tensors } = packState(state)
  return [
    json,
    ...[...tensors].map(([name, { data }]) => `${name} ${Array.from(data as Float32Array).join()}`),
  ].join('\n')
}
