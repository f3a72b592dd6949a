import { expect, test } from 'vitest'
import { History, sampleOf, seriesOf, type Sample } from '../../../src/console/history.ts'
import { parseExposition } from '../../../src/metrics/exposition.ts'
import { createMetrics, type Metrics } from '../../../src/metrics/metrics.ts'

async function sampled(atMs: number, ...processes: Metrics[]): Promise<Sample> {
  const pages = await Promise.all(processes.map(({ registry }) => registry.metrics()))
  return sampleOf(pages.flatMap(parseExposition), atMs)
}

test('a sample adds up what several processes counted, and takes gauges from whoever has them', async () => {
  const [ingest, learner] = [createMetrics(), createMetrics()]
  ingest.events.inc({ kind: 'click' }, 3)
  ingest.events.inc({ kind: 'impression' }, 4)
  learner.recallAt.set({ k: '50' }, 0.25)
  ingest.stageDelay.observe({ stage: 'ingest' }, 0.03)
  learner.stageDelay.observe({ stage: 'ingest' }, 0.04)
  const sample = await sampled(5, ingest, learner)
  expect(sample).toMatchObject({
    atMs: 5,
    events: 7,
    recallAt50: 0.25,
    recallAt100: null,
    loss: null,
  })
  expect(sample.delays.ingest.find(({ upTo }) => upTo === 0.05)?.count).toBe(2)
  expect(sample.delays.ingest.filter(({ upTo }) => upTo === 0.05)).toHaveLength(1)
})

test('each point speaks of the time since the one before: rates, and quantiles of what came in between', async () => {
  const metrics = createMetrics()
  const samples = [await sampled(0, metrics)]
  metrics.events.inc({ kind: 'click' }, 20)
  for (let i = 0; i < 10; i++) metrics.stageDelay.observe({ stage: 'visible' }, 0.5)
  samples.push(await sampled(2_000, metrics))
  metrics.stageDelay.observe({ stage: 'visible' }, 10)
  samples.push(await sampled(4_000, metrics))
  const series = seriesOf(samples, 100)
  expect(series.atMs).toEqual([2_000, 4_000])
  expect(series.eventsPerSecond).toEqual([10, 0])
  const { p50Ms } = series.delays.visible
  expect(p50Ms[0]).toBeGreaterThan(350)
  expect(p50Ms[0]).toBeLessThanOrEqual(500)
  expect(p50Ms[1]).toBeGreaterThan(5_000)
  expect(series.delays.ingest.p50Ms).toEqual([null, null])
})

test('a process that was started anew leaves a gap, not a negative rate', async () => {
  const before = createMetrics()
  before.events.inc({ kind: 'click' }, 100)
  before.stageDelay.observe({ stage: 'ingest' }, 1)
  const series = seriesOf([await sampled(0, before), await sampled(1_000, createMetrics())], 10)
  expect(series.eventsPerSecond).toEqual([null])
  expect(series.delays.ingest.p99Ms).toEqual([null])
})

test('a series has its bound and ends with the newest sample', async () => {
  const sample = await sampled(0, createMetrics())
  const samples = Array.from({ length: 1_000 }, (_, i) => ({ ...sample, atMs: i * 1_000 }))
  const { atMs } = seriesOf(samples, 180)
  expect(atMs.length).toBeLessThanOrEqual(180)
  expect(atMs.at(-1)).toBe(999_000)
  expect(new Set(atMs.slice(1).map((ms, i) => ms - atMs[i]!)).size).toBe(1)
})

test('the last quarter of an hour is kept whole, all of it thinner and thinner', async () => {
  const history = new History()
  expect(history.figures()).toBeNull()
  const sample = await sampled(0, createMetrics())
  for (let second = 0; second < 4 * 3_600; second++) {
    history.add({ ...sample, atMs: second * 1_000, events: second * 2 })
  }
  const recent = history.series('recent')
  const all = history.series('all')
  expect(recent.atMs[0]).toBeGreaterThan(4 * 3_600_000 - 16 * 60_000)
  expect(all.atMs[0]).toBeLessThan(10 * 60_000)
  expect(all.atMs.at(-1)).toBe((4 * 3_600 - 1) * 1_000)
  expect(all.atMs.length).toBeLessThanOrEqual(180)
  for (const series of [recent, all]) {
    for (const rate of series.eventsPerSecond) expect(rate).toBeCloseTo(2)
  }
  expect(history.figures()?.eventsPerSecond).toBeCloseTo(2)
})
