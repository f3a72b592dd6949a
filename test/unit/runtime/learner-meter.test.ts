import { expect, test } from 'vitest'
import { createMetrics } from '../../../src/metrics/metrics.ts'
import { countRank, newFigures } from '../../../src/model/evaluation.ts'
import type { Side } from '../../../src/model/spec.ts'
import { LearnerMeter } from '../../../src/runtime/learner-meter.ts'
import { noFigures } from '../../../src/streams/learner-evaluation.ts'
import { newCounters } from '../../../src/streams/learner-types.ts'
import type { Learner } from '../../../src/streams/learner.ts'

test('progressive recall is told by new and known user, fresh and older item, and scenario', async () => {
  const figures = noFigures()
  const table = { size: 0 }
  const stub = {
    ...{ figures, counters: newCounters(), isEvaluating: true, evaluatedExamples: 0 },
    ...{ users: { table }, items: { table }, frozen: [] },
  }
  const learner = stub as unknown as Learner
  const metrics = createMetrics()
  const meter = new LearnerMeter(metrics, { nowMs: () => 0 }, learner, () => true)
  // Four cases: two hits of known users on older items, a hit of a new user, a fresh item that was missed.
  const home = (figures.scenarios['home'] = newFigures())
  for (const rank of [1, 60, 2, null]) {
    countRank(figures.all, rank, 101)
    countRank(home, rank, 101)
  }
  countRank(figures.newUsers, 2, 101)
  countRank(figures.freshItems, null, 101)
  for (let i = 0; i < 4; i++) countRank(figures.popularity24h, null, 101)
  meter.publish(learner, [])
  const { values } = await metrics.segmentRecallAt.get()
  const found = Object.fromEntries(
    values.map(({ labels, value }) => [`${labels.by} ${labels.segment} ${labels.k}`, value]),
  )
  expect(found).toEqual({
    ...{ 'item fresh 50': 0, 'item fresh 100': 0, 'item older 50': 2 / 3, 'item older 100': 1 },
    ...{ 'user new 50': 1, 'user new 100': 1, 'user known 50': 1 / 3, 'user known 100': 2 / 3 },
    ...{ 'scenario home 50': 0.5, 'scenario home 100': 0.75 },
  })
  const aucs = (await metrics.segmentAuc.get()).values
  const older = aucs.find(({ labels }) => labels.segment === 'older')
  expect(older!.value).toBeCloseTo((100 + 41 + 99) / 100 / 3, 10)
})

test('how far each partition is learnt is told in seconds, of the live lineage alone', async () => {
  const table = { size: 0 }
  const frozen: Side[] = []
  const stub = { figures: noFigures(), counters: newCounters(), evaluatedExamples: 0, frozen }
  const learner = { ...stub, users: { table }, items: { table } } as unknown as Learner
  const metrics = createMetrics()
  let isLive = false
  const meter = new LearnerMeter(metrics, { nowMs: () => 0 }, learner, () => isLive)
  const through = [
    { partition: 0, eventTimeMs: 1_500 },
    { partition: 1, eventTimeMs: 0 },
  ]
  meter.learned(through)
  expect((await metrics.learnedThrough.get()).values).toEqual([])
  isLive = true
  meter.learned(through)
  expect((await metrics.learnedThrough.get()).values).toEqual([
    { labels: { partition: '0' }, value: 1.5 },
  ])
})

test('rows that are frozen are not told to be fresh', async () => {
  const metrics = createMetrics()
  const told = async (frozen: readonly Side[]) => {
    const stub = { figures: noFigures(), counters: newCounters(), evaluatedExamples: 0, frozen }
    const learner = stub as unknown as Learner
    const meter = new LearnerMeter(metrics, { nowMs: () => 0 }, learner, () => true)
    meter.learned([{ partition: 0, eventTimeMs: 1_500 }])
    meter.visible({ examples: [1, 2], items: new Map(), newest: 2 })
    const text = await metrics.registry.metrics()
    const visible = /^freshet_visible_delay_seconds_count\{side="user"\} (\d+)$/m.exec(text)?.[1]
    return [(await metrics.learnedThrough.get()).values.length, Number(visible ?? 0)]
  }
  expect(await told([])).toEqual([1, 2])
  expect(await told(['item'])).toEqual([1, 4])
  // A switch in one process: the partition that was told of is not told of any more.
  expect(await told(['user'])).toEqual([0, 4])
})
