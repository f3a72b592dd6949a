import { expect, test } from 'vitest'
import { readFigures } from '../../../src/cli/figures.ts'
import { statusBlock, statusLine } from '../../../src/cli/live-status.ts'
import { createMetrics } from '../../../src/metrics/metrics.ts'

async function figuresAfter(fill: (metrics: ReturnType<typeof createMetrics>) => void) {
  const metrics = createMetrics()
  fill(metrics)
  return readFigures(metrics)
}

const nothing = await figuresAfter(() => {})
const some = await figuresAfter((metrics) => {
  metrics.events.inc({ kind: 'impression' }, 3_000)
  metrics.events.inc({ kind: 'click' }, 1_000)
  metrics.examples.inc({ role: 'joiner' }, 900)
  metrics.examples.inc({ role: 'learner' }, 800)
  metrics.deadLetters.inc({ role: 'ingest', reason: 'RECORD_INVALID' }, 2)
  metrics.deadLetters.inc({ role: 'joiner', reason: 'CLICK_LATE' }, 1)
  metrics.recallAt.set({ k: '50' }, 0.25)
  for (const share of [1, 1, 0.75]) metrics.annRecall.observe(share)
  metrics.overrideSequence.set({ role: 'learner' }, 7)
  metrics.generationInfo.set({ role: 'recall', generation: 'g1' }, 1)
  for (let i = 0; i < 100; i++) metrics.stageDelay.observe({ stage: 'visible' }, 0.25)
})
const base = {
  before: nothing,
  elapsedMs: 2_000,
  replay: null,
  input: 'test',
  metricsUrl: null,
  consoleUrl: null,
  daily: { switches: 0, training: null, waitsFor: [] },
}

test('figures come from the metrics of the process', () => {
  expect(some).toMatchObject({
    impressions: 3_000,
    clicks: 1_000,
    examples: 900,
    learned: 800,
    deadLetters: 3,
    generation: 'g1',
    overrideSequence: 7,
    recallAt50: 0.25,
    recallAt100: null,
    annRecall: 2.75 / 3,
  })
  expect(nothing.annRecall).toBeNull()
  expect(some.deadLettersByReason).toEqual({ RECORD_INVALID: 2, CLICK_LATE: 1 })
  expect(some.delays.visible).toEqual({ p50Ms: 250, p99Ms: 250 })
})

test('the block shows rates since the last time, delays by stage, reasons and the generation', () => {
  const block = statusBlock({ ...base, figures: some }).join('\n')
  for (const part of [
    '2,000/s',
    '900 joined, 800 learned',
    '450/s',
    'visible 250 ms/250 ms',
    '@50 0.2500',
    'index          recall 0.9167',
    'RECORD_INVALID 2, CLICK_LATE 1',
    'generation g1, override set 7',
  ])
    expect(block).toContain(part)
})

test.each([
  [{ switches: 0, training: null, waitsFor: [] }, /days +0 switches$/m],
  [
    { switches: 1, training: null, waitsFor: ['no pod', 'no rows'] },
    /1 switch +the candidate waits: no pod$/m,
  ],
  [
    { switches: 2, training: { day: '2026-01-05', share: 0.421 }, waitsFor: ['no pod'] },
    /2 switches +full update of 2026-01-05, 42 %$/m,
  ],
])('the daily loop: %j', (daily, line) => {
  expect(statusBlock({ ...base, figures: some, daily }).join('\n')).toMatch(line)
})

test('before anything is known the line says so, and a replay shows how far it is', () => {
  const replay = {
    impressions: 5,
    clicks: 5,
    items: 0,
    lastEventTimeMs: Date.UTC(2013, 2, 1),
    behindMs: 0,
    share: 0.5,
    etaMs: 30_000,
    isComplete: false,
  }
  const line = statusLine({ ...base, before: null, figures: nothing, replay })
  for (const part of [
    'visible delay p50 - p99 -',
    'recall@50 -',
    'generation none',
    '50.0 %',
    '2013-03-01T00:00Z',
    '30 s left',
  ])
    expect(line).toContain(part)
})
