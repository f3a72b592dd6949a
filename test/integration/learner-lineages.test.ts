import { existsSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, inject, onTestFinished, test, vi } from 'vitest'
import { FreshetError } from '../../src/errors.ts'
import type { StepOutput, TensorEngine } from '../../src/model/engine.ts'
import { decodeOverride } from '../../src/records/codec.ts'
import { partitionOf } from '../../src/records/partition.ts'
import type { Lineage } from '../../src/records/reports.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'
import type { Learner } from '../../src/streams/learner.ts'
import type { ProgressiveFigures } from '../../src/streams/learner-evaluation.ts'
import { generation as first, learnerRig, tablesOf, untilLive } from '../support/learner-rig.ts'
import type { LearnerRig } from '../support/learner-rig.ts'
import { ownRedis } from '../support/own-servers.ts'

const within = { timeout: 20_000, interval: 25 }
const day = '2023-11-14'
const second = 'full-2'
const baseUsers = ['u1', 'u2', 'quiet-1', 'quiet-2', 'quiet-3', 'quiet-4']

interface LearnedBody {
  readonly overrideSequence: number
  readonly lineages: readonly Lineage[]
  readonly counters: { readonly examples: number }
  readonly figures: ProgressiveFigures
}

async function learned(rig: LearnerRig): Promise<{ generation: string; body: LearnedBody }[]> {
  const reports = await rig.reports('learned')
  return reports.map(({ generation, body }) => ({
    generation,
    body: body as unknown as LearnedBody,
  }))
}

/** Until a report says that these generations have learnt all there is, and no other is trained. */
async function untilLearned(rig: LearnerRig, generations: readonly string[]): Promise<LearnedBody> {
  const ends = await rig.kafka.offsets(rig.topics.examples)
  return vi.waitFor(async () => {
    const newest = (await learned(rig)).at(-1)
    expect(newest).toBeDefined()
    const { lineages } = newest!.body
    expect(lineages.map(({ generation }) => generation).sort()).toEqual([...generations].sort())
    for (const { isLoaded, learnedThrough } of lineages) {
      expect(isLoaded).toBe(true)
      expect(learnedThrough.map(({ offset }) => offset)).toEqual(ends.map(({ high }) => high))
    }
    return newest!.body
  }, within)
}

async function untilVisible(rig: LearnerRig, generation: string): Promise<void> {
  for (const { partition, high } of await rig.kafka.offsets(rig.topics.examples)) {
    await vi.waitFor(async () => {
      const read = await rig.store.read(generation, partition, 'nobody', 1_000)
      expect(read.isLoaded).toBe(true)
      expect(read.learnedThrough?.offset).toBe(high)
    }, within)
  }
}

/** Every row of the learner's table is what Redis holds of this generation, to the bit. */
async function expectRowsInRedis(rig: LearnerRig, generation: string, learner: Learner) {
  let count = 0
  for (const { userId, ...row } of learner.users.all()) {
    const partition = partitionOf(userId, rig.partitions)
    expect((await rig.store.read(generation, partition, userId, 1_000)).row).toEqual(row)
    count++
  }
  expect(count).toBe(learner.users.table.size)
}

/** Generation -> items that have an override, as a reader of the whole topic sees it. */
async function overridden(rig: LearnerRig): Promise<Record<string, number>> {
  const items = new Map<string, string>()
  const [range] = await rig.kafka.offsets(rig.topics.overrides)
  const topic = { topic: rig.topics.overrides, partition: 0 }
  await rig.kafka.readRange(topic, range!.low, range!.high, ({ records }) => {
    for (const { key, value } of records) {
      const text = key!.toString()
      if (value === null) items.delete(text)
      else items.set(text, decodeOverride(value).generation)
    }
  })
  const counts: Record<string, number> = {}
  for (const id of items.values()) counts[id] = (counts[id] ?? 0) + 1
  return counts
}

const keysOf = async (rig: LearnerRig, redis: Redis, generation: string): Promise<number> =>
  (await redis.keys(`${rig.config.redis.keyPrefix}{${generation}:*`)).length

test('a candidate catches up beside the live generation, goes live, is rolled back and let go of, and nothing of the other is touched', async () => {
  const rig = await learnerRig(onTestFinished)
  const redis = new Redis(inject('redisUrl'))
  onTestFinished(() => void redis.disconnect())
  await rig.items(50)
  await rig.examples(300)
  const learner = rig.start()
  await untilLearned(rig, [first])

  const cut = await rig.fullGeneration(second, day, baseUsers)
  await rig.examples(200)
  await rig.control({ candidate: second, kept: [first, second], cuts: { [day]: cut } })
  const caughtUp = await untilLearned(rig, [first, second])
  expect(caughtUp.counters.examples).toBe(500)
  expect((await rig.replayed(rig.stateDir, second)).counters.examples).toBe(200)
  const { row } = await rig.store.read(second, partitionOf('quiet-1', 3), 'quiet-1', 1_000)
  expect(row).toMatchObject({ offset: -1, recentItems: ['long-ago', 'longer-ago'] })

  await rig.control({ live: second, candidate: null, previous: first, liveSinceMs: Date.now() })
  await untilLive(rig, second)
  await rig.examples(100)
  const switched = await untilLearned(rig, [first, second])
  expect((await learned(rig)).at(-1)!.generation).toBe(second)
  expect(switched.counters.examples).toBe(600)
  expect(switched.figures.all.cases).toBeGreaterThan(caughtUp.figures.all.cases)
  expect(switched.figures.popularity24h.cases).toBe(switched.figures.all.cases)

  await rig.control({ live: first, previous: second, liveSinceMs: Date.now() })
  await untilLive(rig, first)
  await rig.examples(50)
  const rolledBack = await untilLearned(rig, [first, second])
  expect((await learned(rig)).at(-1)!.generation).toBe(first)
  expect(rolledBack.counters.examples).toBe(650)
  const { overrideSequence, learnedThrough } = learner.metrics
  await vi.waitFor(async () => {
    const [sequence] = (await overrideSequence.get()).values
    expect(sequence!.value).toBe((await learned(rig)).at(-1)!.body.overrideSequence)
  }, within)
  expect((await learnedThrough.get()).values).toHaveLength(3)
  const before = await keysOf(rig, redis, first)
  const replayed = await rig.replayed(rig.stateDir, second)
  expect(replayed.counters.examples).toBe(350)
  await untilVisible(rig, first)
  await untilVisible(rig, second)
  await expectRowsInRedis(rig, second, replayed)

  const overrides = await overridden(rig)
  expect(overrides[second]).toBeGreaterThan(1)
  await rig.control({ previous: null, kept: [first] })
  await vi.waitFor(async () => expect(await rig.reports('released')).toHaveLength(1), within)
  await vi.waitFor(() => {
    expect(existsSync(path.join(rig.stateDir, 'learner', second))).toBe(false)
  }, within)
  expect(await keysOf(rig, redis, second)).toBe(0)
  expect(await keysOf(rig, redis, first)).toBe(before)
  expect(await overridden(rig)).toEqual({ [first]: overrides[first] })

  await rig.examples(50)
  expect((await untilLearned(rig, [first])).counters.examples).toBe(700)
  await learner.stop()
  expect((await overrideSequence.get()).values).toEqual([])
  const again = await rig.replayed()
  expect(again.counters.examples).toBe(700)
  await expectRowsInRedis(rig, first, again)
  expect(rig.complaints).toEqual([])
  const cases = (await learned(rig)).map(({ body }) => body.figures.all.cases)
  expect(cases).toEqual(cases.toSorted((a, b) => a - b))
}, 60_000)

test('killed in any phase, it goes on with tables equal to a replay of the cut log, and with all it has to let go of', async () => {
  const rig = await learnerRig(onTestFinished, { learner: { checkpointMs: 200 } })
  const redis = new Redis(inject('redisUrl'))
  onTestFinished(() => void redis.disconnect())
  let { stateDir } = rig
  let learner = rig.start()
  const crash = async () => {
    stateDir = await learner.crash()
    void learner.stop().catch(() => {})
    learner = rig.start({ config: { ...rig.config, stateDir } })
  }
  await rig.items(50)
  await rig.examples(300)
  await untilLearned(rig, [first])
  const cut = await rig.fullGeneration(second, day, baseUsers)
  await rig.examples(2_000)
  await rig.control({ candidate: second, kept: [first, second], cuts: { [day]: cut } })
  // While it is being opened, while it catches up, and when it has.
  await crash()
  await vi.waitFor(async () => {
    expect((await learned(rig)).at(-1)!.body.lineages).toHaveLength(2)
  }, within)
  await crash()
  await untilLearned(rig, [first, second])
  await crash()
  await rig.control({ live: second, candidate: null, previous: first, liveSinceMs: Date.now() })
  await rig.examples(100)
  await crash()
  await untilLearned(rig, [first, second])
  await rig.control({ live: first, previous: second, liveSinceMs: Date.now() })
  await crash()
  await rig.examples(100)
  await untilLearned(rig, [first, second])
  await learner.stop()
  for (const generation of [first, second]) {
    const replayed = await rig.replayed(stateDir, generation)
    expect(replayed.counters.examples).toBe(generation === first ? 2_500 : 2_200)
    const session = await rig.open({ config: { ...rig.config, stateDir } }, { generation })
    expect(tablesOf(session.learner)).toEqual(tablesOf(replayed))
    await expectRowsInRedis(rig, generation, replayed)
    await session.stop(false)
  }

  learner = rig.start({ config: { ...rig.config, stateDir } })
  await untilLearned(rig, [first, second])
  await rig.control({ previous: null, kept: [first] })
  await crash()
  await vi.waitFor(() => {
    expect(existsSync(path.join(stateDir, 'learner', second))).toBe(false)
  }, within)
  expect(await keysOf(rig, redis, second)).toBe(0)
  expect(Object.keys(await overridden(rig))).toEqual([first])
  await untilLearned(rig, [first])
  expect(rig.complaints).toEqual([])
}, 120_000)

test('a Redis that is emptied while a candidate catches up is loaded again for both', async () => {
  const server = await ownRedis(onTestFinished)
  const rig = await learnerRig(onTestFinished, { redisUrl: server.address })
  const redis = new Redis(server.address)
  onTestFinished(() => void redis.disconnect())
  await rig.items(50)
  await rig.examples(100)
  const learner = rig.start()
  await untilLearned(rig, [first])
  const cut = await rig.fullGeneration(second, day, baseUsers)
  await rig.examples(4_000)
  await rig.control({ candidate: second, kept: [first, second], cuts: { [day]: cut } })
  await vi.waitFor(async () => {
    expect((await rig.store.read(second, 0, 'nobody', 1_000)).isLoaded).toBe(true)
  }, within)
  await redis.flushall()
  await rig.examples(100)
  await untilLearned(rig, [first, second])
  const reloads = (await learner.metrics.redisReloads.get()).values[0]!.value
  expect(reloads).toBeGreaterThan(rig.partitions)
  await untilVisible(rig, second)
  await learner.stop()
  for (const generation of [first, second]) {
    await expectRowsInRedis(rig, generation, await rig.replayed(rig.stateDir, generation))
  }
}, 60_000)

test('the live generation stays fresh while a candidate has a long way to go, and one that cannot be opened is said and left alone', async () => {
  const rig = await learnerRig(onTestFinished)
  await rig.items(50)
  await rig.examples(100)
  let steps = 0
  let stepMs = 200
  const engine = secondModel(async (step) => {
    steps++
    await sleep(stepMs)
    return step()
  })
  const learner = rig.start({ engine })
  await untilLearned(rig, [first])
  const cut = await rig.fullGeneration(second, day, baseUsers)
  await rig.examples(4_000)
  await untilLearned(rig, [first])
  await rig.control({ candidate: second, kept: [first, second], cuts: { [day]: cut } })
  await vi.waitFor(() => expect(steps).toBeGreaterThan(2), within)
  for (let i = 0; i < 5; i++) {
    await rig.examples(3)
    await untilVisible(rig, first)
  }
  const through = await Promise.all(
    Array.from({ length: rig.partitions }, (_, p) => rig.store.read(second, p, 'nobody', 1_000)),
  )
  const ends = await rig.kafka.offsets(rig.topics.examples)
  // Five times something was learnt and made visible, and the candidate is still on its way.
  expect(through.some(({ learnedThrough }, p) => learnedThrough!.offset < ends[p]!.high)).toBe(true)
  stepMs = 0
  await untilLearned(rig, [first, second])

  await rig.control({ candidate: 'nowhere', kept: [first, 'nowhere'] })
  await vi.waitFor(async () => {
    const [failed] = await rig.reports('failed')
    expect(failed).toMatchObject({ generation: 'nowhere' })
  }, within)
  await rig.examples(3)
  await untilLearned(rig, [first])
  await learner.stop()
  expect(rig.complaints).toEqual(['a generation cannot be trained; trying again'])
}, 60_000)

test('a lineage that fails for a while is opened again alone', async () => {
  const rig = await learnerRig(onTestFinished)
  await rig.items(50)
  await rig.examples(100)
  let steps = 0
  const engine = secondModel(async (step) => {
    if (++steps === 3) throw new FreshetError('TIMEOUT', 'for a while')
    return step()
  })
  let timesReady = 0
  const learner = rig.start({ engine, onReady: () => timesReady++ })
  await untilLearned(rig, [first])
  const cut = await rig.fullGeneration(second, day, baseUsers)
  await rig.examples(1_000)
  await rig.control({ candidate: second, kept: [first, second], cuts: { [day]: cut } })
  await untilLearned(rig, [first, second])
  await learner.stop()
  expect(rig.complaints).toEqual(['a lineage failed and is opened again'])
  expect(timesReady).toBe(1)
  const replayed = await rig.replayed(rig.stateDir, second)
  expect(replayed.counters.examples).toBe(1_000)
  await expectRowsInRedis(rig, second, replayed)
}, 60_000)

test('when the time to roll back is over, the previous generation is not trained any more, although it is kept', async () => {
  const rig = await learnerRig(onTestFinished, { rollbackWindowMs: 1_500 })
  const redis = new Redis(inject('redisUrl'))
  onTestFinished(() => void redis.disconnect())
  await rig.items(50)
  await rig.examples(100)
  const learner = rig.start()
  await untilLearned(rig, [first])
  const cut = await rig.fullGeneration(second, day, baseUsers)
  const kept = [first, second]
  await rig.control({ candidate: second, kept, cuts: { [day]: cut } })
  await untilLearned(rig, [first, second])
  const liveSinceMs = Date.now()
  await rig.control({ live: second, candidate: null, previous: first, liveSinceMs })
  await rig.examples(50)
  const { figures } = await untilLearned(rig, [second])
  expect(Date.now() - liveSinceMs).toBeGreaterThanOrEqual(1_500)
  expect(figures.all.cases).toBeGreaterThan(0)
  await vi.waitFor(() => {
    expect(existsSync(path.join(rig.stateDir, 'learner', first))).toBe(false)
  }, within)
  expect(await keysOf(rig, redis, first)).toBe(0)
  expect(Object.keys(await overridden(rig)).sort()).toContain(first)

  await rig.control({ previous: null, kept: [second] })
  await vi.waitFor(async () => {
    expect(Object.keys(await overridden(rig))).not.toContain(first)
  }, within)
  await learner.stop()
  expect(rig.complaints).toEqual([])
}, 60_000)

/** The first model opened is as it is; in the second, `around` is what a step is. Any further one is as it is. */
function secondModel(
  around: (step: () => Promise<StepOutput>) => Promise<StepOutput>,
): TensorEngine {
  const onnx = openEngine('onnx')
  let opened = 0
  return {
    ...onnx,
    open: async (model, dense) => {
      const tensors = await onnx.open(model, dense)
      if (++opened !== 2) return tensors
      return {
        step: (input) => around(() => tensors.step(input)),
        vectors: (...args) => tensors.vectors(...args),
        scores: (...args) => tensors.scores(...args),
        close: () => tensors.close(),
      }
    },
  }
}
