import { createHash } from 'node:crypto'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ComputedFeatures, computedNames, levelOf } from '../../../src/model/computed-features.ts'
import { mix32 } from '../../../src/model/hash.ts'
import { initialise } from '../../../src/model/initialise.ts'
import { listwise } from '../../../src/model/loss.ts'
import type { ModelSpec } from '../../../src/model/spec.ts'
import type { Example, Features, Item } from '../../../src/records/types.ts'
import { noFeatures } from '../../../src/records/types.ts'
import { openEngine } from '../../../src/runtime/engines/index.ts'
import type {
  ExampleRecord,
  LearnerBase,
  LearnerCounters,
  LearnerOptions,
  LearnerSetup,
  LearnerSync,
} from '../../../src/streams/learner-types.ts'
import type { Learner } from '../../../src/streams/learner.ts'
import {
  createLearner,
  createLearnerInSlices,
  restoreLearner,
} from '../../../src/streams/learner.ts'
import { expectClose } from '../../support/engine-conformance.ts'
import { asOpaque, type OpaqueSides } from '../../support/opaque.ts'

const model: ModelSpec = {
  dim: 16,
  outputDim: 16,
  temperature: 0.2,
  user: {
    features: [{ kind: 'numeric', name: 'age', transform: 'none', mean: 40, deviation: 20 }],
    hidden: [8],
  },
  item: { features: [{ kind: 'categorical', name: 'genre', buckets: 16, dim: 4 }], hidden: [8] },
}
const initial = initialise(model, 17)
const minuteMs = 60_000
const dayMs = 86_400_000
const startMs = 1_000 * dayMs

const options: LearnerOptions = {
  onlineRows: 'user+item',
  optimizer: 'sgd',
  learningRate: 0.05,
  batchMax: 32,
  batchSpanMs: dayMs,
  loss: listwise,
  logQ: true,
  hardNegativeShare: 0,
  negatives: 24,
  popularityShare: 0.75,
  popularityHalfLifeMs: dayMs,
  skewEpsilon: 0.001,
  gradientNormMax: 5,
  rowNormMax: 10,
  userRowsMax: 1_000,
  itemRowsMax: 1_000,
  expireAfterMs: 90 * dayMs,
  admitAfterUsers: 1,
  admitAfterItems: 1,
  examplesPerUserPerMinuteMax: 1_000,
  evaluationSample: 1,
}

const emptyBase: LearnerBase = {
  userDefaultRow: initial.userDefaultRow,
  itemDefaultRow: initial.itemDefaultRow,
  users: { ids: [], rows: new Float32Array(0) },
  items: { ids: [], rows: new Float32Array(0), vectors: new Float32Array(0) },
  eventTimeMs: startMs,
}

async function setUp(
  changed: Partial<LearnerOptions> = {},
  engine: 'onnx' | 'typescript' = 'typescript',
): Promise<LearnerSetup> {
  return {
    model,
    dense: initial.dense,
    engine: await openEngine(engine).open(model, initial.dense),
    options: { ...options, ...changed },
  }
}

describe('computed features', () => {
  const features = Object.values(computedNames).map((name) => {
    return { kind: 'numeric', name, transform: 'log1p', mean: 1, deviation: 1 } as const
  })
  const own: ModelSpec = { ...model, item: { hidden: [8], features } }
  const { dense } = initialise(own, 17)
  const hourMs = 60 * minuteMs

  const setUpOwn = async (onlineRows: LearnerOptions['onlineRows'] = 'user+item') => ({
    ...(await setUp({ onlineRows, learningRate: 0 })),
    ...{ model: own, dense, engine: await openEngine('typescript').open(own, dense) },
  })
  /** Nothing trains: vectors move because of their features alone. */
  const click = (learner: Learner, offset: number, itemId: string, hour: number) =>
    learner.applyExamples({ topic: 'examples', partition: 0, from: offset, to: offset + 1 }, [
      { offset, record: example('u', itemId, { eventTimeMs: startMs + hour * hourMs }) },
    ])
  const published = async (learner: Learner) =>
    (await learner.sync()).overrides.map(({ itemId }) => itemId).sort()

  test('vectors follow them from hour to hour, and are left alone where they stay', async () => {
    const learner = createLearner(await setUpOwn(), emptyBase)
    await catalogue(
      learner,
      ['a', 'b', 'quiet'].map((id) => item(id, 'x')),
    )
    expect(await published(learner)).toEqual(['a', 'b', 'quiet'])
    await click(learner, 0, 'a', 0)
    expect(await published(learner)).toEqual([])
    await click(learner, 1, 'b', 0.5)
    expect(await published(learner)).toEqual([])
    // Both are known to have been clicked from the next hour on.
    await click(learner, 2, 'a', 1)
    expect(await published(learner)).toEqual(['a', 'b'])
    await click(learner, 3, 'a', 24 * 7)
    expect(await published(learner)).toEqual(['a', 'b'])
  })

  test('go on to the bit after a restart', async () => {
    const setup = await setUpOwn()
    const learner = createLearner(setup, emptyBase)
    await catalogue(
      learner,
      ['a', 'b'].map((id) => item(id, 'x')),
    )
    await click(learner, 0, 'a', 0)
    await learner.sync()
    const restored = restoreLearner(setup, structuredClone(learner.snapshot()))
    const syncs = await Promise.all(
      [learner, restored].map(async (one) => {
        await click(one, 1, 'b', 3)
        return one.sync()
      }),
    )
    expect(syncs[0]!.overrides.length).toBeGreaterThan(0)
    expect(syncs[1]).toEqual(syncs[0])
    expect(restored.snapshot()).toEqual(learner.snapshot())
  })

  test('begin where the generation ends', async () => {
    const one = (value: number) => Float64Array.of(value)
    const startHour = startMs / hourMs
    const activity = {
      ...{ firstMs: one(startMs - 5 * hourMs), hours: one(startHour - 1) },
      ...{ before: one(4), within: one(2) },
    }
    const setup = await setUpOwn()
    const rows = initial.itemDefaultRow
    const base: LearnerBase = {
      ...emptyBase,
      items: { ids: ['a'], rows, vectors: new Float32Array(model.dim).fill(0.25), activity },
    }
    const learner = createLearner(setup, base)
    await catalogue(learner, [item('a', 'x')])
    const { overrides } = await learner.sync()
    const encoded = new Float32Array(4)
    const recentClicks = 6 * 2 ** (-1 / 24)
    new ComputedFeatures(own.item).writeStandardised(
      ...([levelOf(5), levelOf(recentClicks), dense.item, encoded, 0] as const),
    )
    const wanted = await setup.engine.vectors('item', rows, encoded, 1)
    expect(overrides).toMatchObject([{ itemId: 'a', vector: wanted }])
  })

  test('stay those of the generation where item rows do not train', async () => {
    const learner = createLearner(await setUpOwn('user'), emptyBase)
    await catalogue(learner, [item('a', 'x')])
    await learner.sync()
    for (const hour of [0, 1, 200]) await click(learner, hour, 'a', hour)
    expect(await published(learner)).toEqual([])
  })
})

describe('opaque towers', () => {
  const setUpOpaque = async (sides: OpaqueSides, changed: Partial<LearnerOptions> = {}) => {
    const own = asOpaque(model, initial.dense, sides)
    const engine = await openEngine('onnx').open(own.model, own.dense)
    onTestFinished(() => engine.close())
    return { ...own, engine, options: { ...options, ...changed } }
  }
  const learnt = async (sides: OpaqueSides, changed: Partial<LearnerOptions> = {}) => {
    const setup = await setUpOpaque(sides, changed)
    const learner = createLearner(setup, emptyBase)
    await catalogue(learner, items30)
    const first = await learner.sync()
    await apply(learner, clicks(200))
    return { setup, learner, first, sync: await learner.sync() }
  }
  const rowsOf = ({ partitions }: LearnerSync) =>
    partitions.flatMap(({ rows }) => rows.map(({ row }) => row))

  test('with gradient graphs rows learn as through matrices', async () => {
    const { learner, sync } = await learnt({ user: 'learning', item: 'learning' })
    const plain = createLearner(await setUp(), emptyBase)
    await catalogue(plain, items30)
    await plain.sync()
    await apply(plain, clicks(200))
    const expected = await plain.sync()
    rowsOf(sync).forEach((row, i) => expectClose(row, rowsOf(expected)[i]!, 1e-3))
    expect(sync.overrides.length).toBeGreaterThan(0)
    expect(learner.counters).toMatchObject({ trained: 200, frozen: 0 })
    expect(learner.counters.lossSum).toBeCloseTo(plain.counters.lossSum, 2)
    expect(learner.frozen).toEqual([])
  })

  test('frozen rows stay those of whoever is new, and clicks are remembered and counted', async () => {
    const { setup, learner, first, sync } = await learnt({ user: 'frozen', item: 'frozen' })
    expect(first.overrides).toHaveLength(30)
    expect(sync.overrides).toEqual([])
    expect(rowsOf(sync)).toHaveLength(23)
    for (const row of rowsOf(sync)) expect(row).toEqual(initial.userDefaultRow)
    for (const { rows } of sync.partitions) {
      for (const { recentItems } of rows) expect(recentItems.length).toBeGreaterThan(0)
    }
    expect(learner.counters).toMatchObject({ examples: 200, trained: 0, frozen: 200 })
    expect(learner.figures.all.cases).toBeGreaterThan(0)
    await catalogue(learner, [item('new', 'comedy')])
    expect((await learner.sync()).overrides.map(({ itemId }) => itemId)).toEqual(['new'])
    const { counters, ...snapshot } = learner.snapshot()
    const { frozen: _, ...before } = counters
    // Of a version that knew no frozen rows.
    const older = { ...snapshot, counters: before as LearnerCounters }
    expect(restoreLearner(setup, older).counters).toEqual({ ...counters, frozen: 0 })
  })

  test('one side alone learns', async () => {
    const users = await learnt({ item: 'frozen' })
    expect(users.sync.overrides).toEqual([])
    expect(rowsOf(users.sync).every((row) => row[0] !== initial.userDefaultRow[0])).toBe(true)
    expect(users.learner.counters).toMatchObject({ trained: 200, frozen: 0 })
    // Frozen rows are not shortened either.
    const items = await learnt({ user: 'frozen' }, { rowNormMax: 0.1 })
    expect(items.sync.overrides.length).toBeGreaterThan(0)
    for (const row of rowsOf(items.sync)) expect(row).toEqual(initial.userDefaultRow)
    const none = await learnt({ user: 'frozen' }, { onlineRows: 'user' })
    expect(none.sync.overrides).toEqual([])
    expect(none.learner.counters).toMatchObject({ trained: 0, frozen: 200 })
  })
})

async function newLearner(changed: Partial<LearnerOptions> = {}): Promise<Learner> {
  return createLearner(await setUp(changed), emptyBase)
}

function example(userId: string, itemId: string, changed: Partial<Example> = {}): Example {
  return {
    kind: 'example',
    requestId: `${userId}-${itemId}`,
    userId,
    itemId,
    eventTimeMs: startMs,
    impressionTimeMs: startMs,
    position: 0,
    weight: 1,
    scenario: '',
    hardNegatives: [],
    features: noFeatures,
    ...changed,
  }
}

function item(itemId: string, genre: string): Item {
  const features = { ...noFeatures, categorical: new Map([['genre', [genre]]]) }
  return { itemId, title: itemId, createdAtMs: startMs, features }
}

async function catalogue(learner: Learner, items: readonly (Item | string)[]): Promise<void> {
  const from = learner.positions.find(({ topic }) => topic === 'items')?.offset ?? 0
  await learner.applyCatalogue(
    { topic: 'items', partition: 0, from, to: from + items.length },
    items.map((each) =>
      typeof each === 'string' ? { itemId: each, item: null } : { itemId: each.itemId, item: each },
    ),
  )
}

async function apply(
  learner: Learner,
  examples: readonly ExampleRecord['record'][],
  partition = 0,
  casesMax?: number,
): Promise<number> {
  const position = learner.positions.find(
    (each) => each.topic === 'examples' && each.partition === partition,
  )
  const from = position?.offset ?? 100
  return learner.applyExamples(
    { topic: 'examples', partition, from, to: from + examples.length },
    examples.map((record, i) => ({ offset: from + i, record })),
    casesMax,
  )
}

const genres = ['comedy', 'horror', 'drama']

/** Clicks of 23 users who each like one genre: a function of their place in the sequence. */
function clicks(count: number, from = 0, itemsPerGenre = 10): Example[] {
  return Array.from({ length: count }, (_, n) => {
    const i = from + n
    const user = (i * 7919) % 23
    const liked = (user % 3) + 3 * (mix32(i) % itemsPerGenre)
    return example(`user${user}`, `item${liked}`, {
      requestId: `r${i}`,
      eventTimeMs: startMs + i * minuteMs,
      features: { ...noFeatures, numeric: new Map([['age', 20 + user]]) },
    })
  })
}

const items30 = manyItems(30)

function manyItems(count: number): Item[] {
  return Array.from({ length: count }, (_, i) => item(`item${i}`, genres[i % 3]!))
}

describe('learning', () => {
  test('ranks what users like higher and higher, evaluated before it is trained on', async () => {
    const learner = await newLearner()
    await catalogue(learner, manyItems(300))
    await learner.sync()
    const areas: number[] = []
    for (let round = 0; round < 10; round++) {
      const before = { ...learner.figures.all }
      await apply(learner, clicks(100, round * 100, 100))
      await learner.sync()
      const { all } = learner.figures
      areas.push((all.areas - before.areas) / (all.cases - before.cases))
    }
    // By chance .5; who knows the genre and nothing more reaches 1 - (100 / 2) / 300 = .83.
    expect(areas[0]).toBeLessThan(0.6)
    expect(Math.min(...areas.slice(7))).toBeGreaterThan(0.75)
  })

  test('changes rows only: dense parameters and rows 0 stay the same to the byte', async () => {
    const hash = () => {
      const digest = createHash('sha256')
      for (const tower of [initial.dense.user, initial.dense.item]) {
        const { tensors, embeddings, statistics } = tower
        for (const array of [tensors, embeddings, statistics].flatMap((each) =>
          Object.values<Float32Array | Float64Array>(each),
        ))
          digest.update(array)
      }
      return digest.digest('hex')
    }
    const before = hash()
    const learner = await newLearner()
    await catalogue(learner, items30)
    await apply(learner, clicks(300))
    expect(hash()).toBe(before)
    expect(learner.users.table.row(0)).toEqual(initial.userDefaultRow)
    expect(learner.items.table.row(0)).toEqual(initial.itemDefaultRow)
    expect(learner.users.table.row(1)).not.toEqual(initial.userDefaultRow)
  })

  test('onlineRows user leaves item rows as they are', async () => {
    const learner = await newLearner({ onlineRows: 'user' })
    await catalogue(learner, items30)
    await apply(learner, clicks(100))
    const { rows } = learner.items.table.entries()
    for (let i = 0; i < rows.length; i++)
      expect(rows[i]).toBe(initial.itemDefaultRow[i % model.dim])
    expect((await learner.sync()).partitions[0]!.rows).toHaveLength(23)
  })

  test('an item that no catalogue names is learnt by its id and published', async () => {
    const learner = await newLearner()
    await catalogue(learner, items30)
    await learner.sync()
    await apply(learner, [example('u', 'unheard-of')])
    const { overrides } = await learner.sync()
    expect(overrides.map(({ itemId }) => itemId)).toContain('unheard-of')
    expect(learner.figures.all).toMatchObject({ cases: 1, hitsAt100: 0 })
    expect(learner.figures.freshItems.cases).toBe(1)
    expect(learner.figures.scenarios).toEqual({ '': learner.figures.all })
  })

  test('cases are counted by scenario, of which twenty have a name', async () => {
    const learner = await newLearner()
    await catalogue(learner, items30)
    await learner.sync()
    const named = Array.from({ length: 30 }, (_, i) => ({
      ...example(`u${i}`, `item${i % 30}`),
      scenario: `page${i}`,
    }))
    await apply(learner, named)
    const { scenarios, all } = learner.figures
    expect(Object.keys(scenarios)).toEqual([
      ...Array.from({ length: 20 }, (_, i) => `page${i}`),
      'other',
    ])
    expect(scenarios['other']!.cases).toBe(10)
    expect(Object.values(scenarios).reduce((sum, { cases }) => sum + cases, 0)).toBe(all.cases)
  })

  test('an item row trains from the click that admits it on', async () => {
    const learner = await newLearner({ admitAfterItems: 2 })
    await catalogue(learner, items30)
    await apply(learner, [example('u', 'item4')])
    const slot = learner.items.table.find('item4')
    expect(learner.items.table.row(slot)).toEqual(initial.itemDefaultRow)
    await apply(learner, [example('v', 'item4')])
    expect(learner.items.table.row(slot)).not.toEqual(initial.itemDefaultRow)
  })

  test('a user who is not admitted trains with row 0, which stays', async () => {
    const learner = await newLearner({ admitAfterUsers: 2 })
    await catalogue(learner, items30)
    await apply(learner, [example('u', 'item4')])
    expect(learner.users.table.size).toBe(0)
    expect(learner.counters.trained).toBe(1)
    expect(learner.users.table.row(0)).toEqual(initial.userDefaultRow)
    await apply(learner, [example('u', 'item5')])
    expect(learner.users.table.find('u')).toBeGreaterThan(0)
  })

  test('without any known item it trains nothing, and says so', async () => {
    const learner = await newLearner({ admitAfterItems: 2 })
    await apply(learner, [example('u', 'a')])
    expect(learner.counters).toMatchObject({ examples: 1, trained: 0, withoutNegatives: 1 })
  })
})

describe('the same cuts give the same bytes', () => {
  test.each(['typescript', 'onnx'] as const)(
    'straight through, or stopped and restored in the middle, with %s',
    async (engine) => {
      const changed = {
        admitAfterItems: 2,
        itemRowsMax: 34,
        userRowsMax: 32,
        evaluationSample: 0.5,
      }
      const run = async (isRestored: boolean) => {
        const setup = await setUp(changed, engine)
        let learner = createLearner(setup, emptyBase)
        await catalogue(learner, items30)
        for (let cut = 0; cut < 12; cut++) {
          await apply(learner, structuredClone(clicks(40, cut * 40)), cut % 3)
          const strangers = [0, 1, 2, 3, 4].map((i) =>
            example(`stranger${cut}-${i}`, `odd${cut % 5}`, { eventTimeMs: startMs + cut * 3e6 }),
          )
          await apply(learner, strangers, 1)
          if (cut % 4 === 1) await learner.sync()
          if (cut === 6) await catalogue(learner, ['item3', item('item40', 'comedy')])
          if (cut === 7 && isRestored) {
            learner = restoreLearner(setup, structuredClone(learner.snapshot()))
          }
        }
        const synced = await learner.sync()
        return { synced, snapshot: learner.snapshot() }
      }
      const straight = await run(false)
      expect(straight.snapshot.counters.evictedUsers).toBeGreaterThan(0)
      expect(await run(true)).toEqual(straight)
    },
  )

  test('a restart does not bring an expiry forward', async () => {
    const setup = await setUp({ expireAfterMs: 32 * dayMs })
    const at = (days: number, user: string) => [
      example(user, 'item1', { eventTimeMs: startMs + days * dayMs }),
    ]
    const run = async (isRestored: boolean) => {
      let learner = createLearner(setup, emptyBase)
      await catalogue(learner, items30)
      for (const [days, user] of [
        [0.5, 'a'],
        [32.2, 'b'],
        [32.8, 'c'],
      ] as const) {
        await apply(learner, at(days, user))
      }
      if (isRestored) learner = restoreLearner(setup, learner.snapshot())
      await apply(learner, at(32.9, 'd'))
      return learner.snapshot()
    }
    const straight = await run(false)
    expect(straight.users.table.ids).toEqual(['a', 'b', 'c', 'd'])
    expect(await run(true)).toEqual(straight)
  })

  test('evaluating more or less does not change what is learnt', async () => {
    const tables = []
    for (const casesMax of [0, 10, Infinity]) {
      const learner = await newLearner()
      await catalogue(learner, items30)
      await learner.sync()
      const cases = await apply(learner, clicks(64), 0, casesMax)
      expect(cases).toBeLessThanOrEqual(casesMax)
      const { users, items } = learner.snapshot()
      tables.push({ users, items })
    }
    expect(tables[1]).toEqual(tables[0])
    expect(tables[2]).toEqual(tables[0])
  })

  test('heartbeats change nothing but how far a partition is, wherever they come', async () => {
    const examples = clicks(70)
    const lastMs = examples.at(-1)!.eventTimeMs
    const run = async (isBeating: boolean) => {
      const learner = await newLearner({ expireAfterMs: 8 * minuteMs })
      await catalogue(learner, items30)
      await learner.sync()
      for (const from of [0, 35]) {
        const records = examples.slice(from, from + 35).flatMap((record, i): ExampleRecord[] => {
          const eventTimeMs = record.eventTimeMs + 20 * minuteMs
          const beat = { offset: from + i, record: { kind: 'heartbeat', eventTimeMs } } as const
          const one = { offset: from + i, record }
          return isBeating && i % 3 === 1 ? [beat, one, beat] : [one]
        })
        const cut = { topic: 'examples', partition: 0, from, to: from + 35 }
        await learner.applyExamples(cut, records)
      }
      const { positions, ...state } = learner.snapshot()
      return {
        state,
        eventTimeMs: positions.find(({ topic }) => topic === 'examples')!.eventTimeMs,
      }
    }
    const [quiet, beating] = [await run(false), await run(true)]
    expect(beating.state).toEqual(quiet.state)
    expect(quiet.state.counters.expiredUsers).toBeGreaterThan(0)
    expect([quiet.eventTimeMs, beating.eventTimeMs]).toEqual([lastMs, lastMs + 20 * minuteMs])
  })

  test('records far apart in event time are learnt in order, not at once', async () => {
    const two = [example('u', 'item1'), example('u', 'item2', { eventTimeMs: startMs + dayMs })]
    const rows = []
    for (const cuts of [[two], two.map((each) => [each])]) {
      const learner = await newLearner({ batchSpanMs: 3_600_000 })
      await catalogue(learner, items30)
      for (const cut of cuts) await apply(learner, cut)
      rows.push(learner.users.table.entries().rows)
    }
    expect(rows[1]).toEqual(rows[0])
  })

  test('a cut that would train an offset twice is refused, and so are overlapping calls', async () => {
    const learner = await newLearner()
    await catalogue(learner, items30)
    const records = [{ offset: 5, record: example('u', 'item1') }]
    const cut = { topic: 'examples', partition: 0, from: 5, to: 6 }
    const first = learner.applyExamples(cut, records)
    await expect(learner.sync()).rejects.toMatchObject({ code: 'INVARIANT_VIOLATED' })
    await first
    await expect(learner.applyExamples(cut, records)).rejects.toMatchObject({
      code: 'CHECKPOINT_INVALID',
    })
    await learner.applyExamples({ ...cut, partition: 1 }, records)
    expect(learner.counters.trained).toBe(2)
  })
})

describe('evaluation', () => {
  const half = (from: number) => clicks(60, from)

  test('is handed from one learner to the next, which goes on with the figures and counts no example twice', async () => {
    const [one, other] = [await newLearner(), await newLearner()]
    expect(other.endEvaluation()).toMatchObject({ examples: 0 })
    for (const learner of [one, other]) {
      await catalogue(learner, items30)
      await learner.sync()
    }
    await apply(one, half(0))
    expect(await apply(other, half(0).slice(0, 40))).toBe(0)
    expect(other.isEvaluating).toBe(false)
    const before = structuredClone(one.figures)
    other.beginEvaluation(one.endEvaluation())
    expect(other.figures).toEqual(before)
    // The last twenty of these have been scored by the other.
    expect(await apply(other, half(0).slice(40))).toBe(0)
    expect([other.evaluatedExamples, other.figures]).toEqual([60, before])
    expect(await apply(other, half(60))).toBeGreaterThan(0)
    expect(other.evaluatedExamples).toBe(120)
    expect(await apply(one, half(60))).toBe(0)
    const { evaluation } = restoreLearner(await setUp(), other.snapshot()).snapshot()
    expect(evaluation).toEqual(other.snapshot().evaluation)
    expect(restoreLearner(await setUp(), one.snapshot()).isEvaluating).toBe(false)
  })
})

describe('sync', () => {
  test('gives changed user rows once, by partition, with their newest offset and clicks', async () => {
    const learner = await newLearner()
    await catalogue(learner, items30)
    await apply(learner, [example('u', 'item1'), example('u', 'item2'), example('v', 'item1')], 2)
    await apply(learner, [example('w', 'item1', { eventTimeMs: startMs + 5 })], 0)
    const heartbeat = { kind: 'heartbeat', eventTimeMs: startMs + 99 } as const
    await apply(learner, [heartbeat], 2)
    const { partitions } = await learner.sync()
    expect(
      partitions.map(({ partition, learnedThrough }) => ({ partition, learnedThrough })),
    ).toEqual([
      { partition: 2, learnedThrough: { offset: 104, eventTimeMs: startMs + 99 } },
      { partition: 0, learnedThrough: { offset: 101, eventTimeMs: startMs + 5 } },
    ])
    const [u, v] = partitions[0]!.rows
    expect(u).toMatchObject({ userId: 'u', offset: 101, recentItems: ['item2', 'item1'] })
    expect(v).toMatchObject({ userId: 'v', offset: 102, eventTimeMs: startMs })
    expect((await learner.sync()).partitions.flatMap(({ rows }) => rows)).toEqual([])
  })

  test('publishes a new catalogue item, with the vector that the tower gives for row 0 and its features', async () => {
    const learner = await newLearner({ admitAfterItems: 2 })
    await catalogue(learner, items30)
    const { overrides, sequence } = await learner.sync()
    expect(overrides).toHaveLength(30)
    expect(sequence).toBe(1)
    for (const { vector } of overrides) expect(Math.hypot(...vector!)).toBeCloseTo(1, 5)
    expect(overrides[0]!.vector).toEqual(overrides[3]!.vector)
    expect(overrides[0]!.vector).not.toEqual(overrides[1]!.vector)
    expect(await learner.sync()).toMatchObject({ overrides: [], sequence: 1 })
  })

  test('publishes an item again only when it has turned by more than skewEpsilon', async () => {
    const moved = async (skewEpsilon: number) => {
      const learner = await newLearner({ skewEpsilon })
      await catalogue(learner, items30)
      await learner.sync()
      await apply(learner, [example('u', 'item1')])
      return (await learner.sync()).overrides.length
    }
    expect(await moved(0.5)).toBe(0)
    expect(await moved(1e-12)).toBeGreaterThan(0)
  })

  test('withdraws an item, which is no negative any more, and publishes it when it comes back', async () => {
    const learner = await newLearner({ skewEpsilon: 0.5 })
    await catalogue(learner, items30)
    await learner.sync()
    await catalogue(learner, ['item7', 'never-seen'])
    await apply(learner, [example('u', 'item7')])
    const { overrides } = await learner.sync()
    expect(overrides).toEqual([{ itemId: 'item7', vector: null, eventTimeMs: startMs }])
    expect(learner.items.sampler.has(learner.items.table.find('item7'))).toBe(false)
    await catalogue(learner, [items30[7]!])
    const back = await learner.sync()
    expect(back.overrides.map(({ itemId, vector }) => [itemId, vector !== null])).toEqual([
      ['item7', true],
    ])
  })

  test('an item withdrawn and brought back between two syncs is left alone', async () => {
    const learner = await newLearner()
    await catalogue(learner, items30)
    await learner.sync()
    await catalogue(learner, ['item7', items30[7]!])
    expect((await learner.sync()).overrides).toEqual([])
  })

  test('only what differs from the generation is an override', async () => {
    const setup = await setUp({ skewEpsilon: 0.01 })
    const rows = Float32Array.from({ length: 3 * model.dim }, (_, i) => Math.sin(i))
    const none = new Float32Array(3 * 4)
    const vectors = await setup.engine.vectors('item', rows, none, 3)
    const base: LearnerBase = {
      ...emptyBase,
      users: { ids: ['old'], rows: rows.slice(0, model.dim), recentItems: () => ['c', 'b'] },
      items: { ids: ['a', 'b', 'c'], rows, vectors },
    }
    const learner = createLearner(setup, base)
    expect((await learner.sync()).overrides).toEqual([])
    expect([...learner.users.all()]).toEqual([
      {
        ...{ userId: 'old', offset: -1, eventTimeMs: startMs },
        ...{ row: base.users.rows, recentItems: ['c', 'b'] },
      },
    ])
    for (let i = 0; i < 20; i++) await apply(learner, [example('old', 'b', { requestId: `r${i}` })])
    const { overrides, partitions } = await learner.sync()
    expect(overrides.map(({ itemId }) => itemId)).toContain('b')
    expect(partitions[0]!.rows).toMatchObject([
      { userId: 'old', offset: 119, recentItems: ['b', 'c'] },
    ])
    expect(() =>
      createLearner({ ...setup, options: { ...options, batchMax: 2, itemRowsMax: 2 } }, base),
    ).toThrow(/learner\.itemRowsMax allows 2/)
  })

  test('a generation loaded in slices is the same as one loaded at once', async () => {
    const ids = Array.from({ length: 12_000 }, (_, i) => `base${i}`)
    const rows = Float32Array.from({ length: ids.length * model.dim }, (_, i) => i)
    const base = { ...emptyBase, users: { ids, rows } }
    const setup = await setUp({ userRowsMax: 20_000 })
    let pauses = 0
    const sliced = await createLearnerInSlices(setup, base, () => Promise.resolve(void pauses++))
    expect(sliced.snapshot()).toEqual(createLearner(setup, base).snapshot())
    expect(sliced.users.table.size).toBe(12_000)
    expect(pauses).toBe(2)
  })

  test('a row of the generation is as old as its newest example', async () => {
    const setup = await setUp()
    const rows = new Float32Array(2 * model.dim).fill(0.1)
    const users = { ids: ['seen', 'unknown'], rows, seenMs: Float64Array.of(startMs - 5, 0) }
    const learner = createLearner(setup, { ...emptyBase, users })
    expect([...learner.users.all()].map(({ eventTimeMs }) => eventTimeMs)).toEqual([
      startMs - 5,
      startMs,
    ])
  })
})

describe('limits', () => {
  test('a batch that does not fit in the tables is refused by the names of its settings', async () => {
    await expect(newLearner({ batchMax: 32, itemRowsMax: 31 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('learner.batchMax 32') as string,
    })
  })

  test('a user has so many examples a minute, the rest is counted', async () => {
    const learner = await newLearner({ examplesPerUserPerMinuteMax: 3 })
    await catalogue(learner, items30)
    await apply(
      learner,
      Array.from({ length: 10 }, (_, i) => example('bot', `item${i}`)),
    )
    await apply(learner, [
      example('human', 'item1'),
      example('bot', 'item1', { eventTimeMs: startMs + minuteMs }),
    ])
    expect(learner.counters).toMatchObject({ examples: 12, overRate: 7, trained: 5 })
  })

  test('garbage is counted and harms nothing', async () => {
    const learner = await newLearner({ learningRate: 1 })
    await catalogue(learner, items30)
    const poison = (numbers: Partial<Example>, features: Partial<Features> = {}) =>
      example('poisoned', 'item1', { ...numbers, features: { ...noFeatures, ...features } })
    await apply(learner, [
      poison({ weight: NaN }),
      poison({ weight: -1 }),
      poison({ weight: Infinity }),
      poison({}, { numeric: new Map([['age', NaN]]) }),
      poison({}, { numeric: new Map([['age', 1e300]]) }),
      poison({ weight: 1e6 }),
      example('healthy', 'item2'),
    ])
    expect(learner.counters).toMatchObject({
      examples: 7,
      quarantinedExamples: 3,
      unusableFeatures: 2,
      trained: 4,
      quarantinedRows: 0,
    })
    const rows = [learner.users.table.entries().rows, learner.items.table.entries().rows].flatMap(
      (each) => [...each],
    )
    expect(rows.every(Number.isFinite)).toBe(true)
    expect(Math.max(...rows.map(Math.abs))).toBeLessThanOrEqual(options.rowNormMax)
  })

  test('an engine that returns NaN changes no row', async () => {
    const setup = await setUp()
    const broken = {
      ...setup.engine,
      step: async (input: Parameters<typeof setup.engine.step>[0]) => {
        const output = await setup.engine.step(input)
        return {
          ...output,
          losses: output.losses.fill(NaN),
          userGradients: output.userGradients.fill(NaN),
        }
      },
    }
    const learner = createLearner({ ...setup, engine: broken }, emptyBase)
    await catalogue(learner, items30)
    await apply(learner, [example('u', 'item1')])
    expect(learner.counters).toMatchObject({
      trained: 0,
      quarantinedExamples: 1,
      quarantinedRows: 1,
    })
    expect(learner.users.table.row(1)).toEqual(initial.userDefaultRow)
  })

  test('rows expire by event time, catalogue items stay', async () => {
    const learner = await newLearner({ expireAfterMs: 10 * dayMs })
    await catalogue(learner, items30)
    await apply(learner, [example('u', 'item1'), example('u', 'loose')])
    await learner.sync()
    for (const days of [11, 12])
      await apply(learner, [example('v', 'item2', { eventTimeMs: startMs + days * dayMs })])
    expect(learner.counters).toMatchObject({ expiredUsers: 1, expiredItems: 1 })
    expect(learner.users.table.find('u')).toBe(0)
    expect((await learner.sync()).overrides.filter(({ vector }) => vector === null)).toEqual([
      { itemId: 'loose', vector: null, eventTimeMs: 0 },
    ])
    await apply(learner, [example('u', 'loose', { eventTimeMs: startMs + 12 * dayMs })])
    expect((await learner.sync()).overrides.map(({ itemId }) => itemId)).toContain('loose')
  })

  test('tables keep to their size, the oldest go', async () => {
    const learner = await newLearner({ userRowsMax: 40, itemRowsMax: 40 })
    await catalogue(learner, items30)
    for (let i = 0; i < 300; i++) {
      await apply(learner, [example(`u${i}`, `i${i}`, { eventTimeMs: startMs + i })])
    }
    expect(learner.users.table.size).toBeLessThanOrEqual(40)
    expect(learner.items.table.size).toBeLessThanOrEqual(40)
    expect(learner.users.table.find('u299')).toBeGreaterThan(0)
    expect(learner.users.table.find('u0')).toBe(0)
    expect(learner.counters.evictedUsers).toBe(300 - learner.users.table.size)
  })

  test('who lost a row is said once, over a restart too, and not of users who have one again', async () => {
    const setup = await setUp({ expireAfterMs: 10 * dayMs })
    let learner = createLearner(setup, emptyBase)
    await catalogue(learner, items30)
    await apply(learner, [example('gone', 'item1'), example('back', 'item1')])
    await learner.sync()
    const later = (days: number) => ({ eventTimeMs: startMs + days * dayMs, requestId: `r${days}` })
    await apply(learner, [example('v', 'item2', later(11))])
    await apply(learner, [example('back', 'item2', later(12))])
    learner = restoreLearner(setup, structuredClone(learner.snapshot()))
    const { removedUsers, partitions } = await learner.sync()
    expect(removedUsers).toEqual(['gone'])
    expect(partitions[0]!.rows.map(({ userId }) => userId)).toContain('back')
    expect((await learner.sync()).removedUsers).toEqual([])
  })
})

test('the oracle and onnx learn the same, to rounding', async () => {
  const rows: Float32Array[] = []
  for (const engine of ['typescript', 'onnx'] as const) {
    const learner = createLearner(await setUp({}, engine), emptyBase)
    await catalogue(learner, items30)
    await apply(learner, clicks(200))
    rows.push(learner.users.table.entries().rows)
  }
  rows[0]!.forEach((value, i) => expect(rows[1]![i]).toBeCloseTo(value, 4))
})
