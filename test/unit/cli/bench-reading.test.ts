import { expect, test } from 'vitest'
import { parseCpuList } from '../../../src/cli/bench/cores.ts'
import { bucketsOf, parseExposition, sumOf } from '../../../src/metrics/exposition.ts'
import { cpuSecondsIn, memoryIn } from '../../../src/cli/bench/usage.ts'
import { createMetrics } from '../../../src/metrics/metrics.ts'

test('what the metrics of a role print is read back', async () => {
  const metrics = createMetrics()
  metrics.events.inc({ kind: 'impression' }, 3)
  metrics.events.inc({ kind: 'click' }, 4)
  metrics.stageDelay.observe({ stage: 'ingest' }, 0.015)
  metrics.stageDelay.observe({ stage: 'ingest' }, 99_999)
  metrics.stageDelay.observe({ stage: 'joiner' }, 0.015)
  const series = parseExposition(await metrics.registry.metrics())
  expect(sumOf(series, 'freshet_events_total')).toBe(7)
  expect(sumOf(series, 'freshet_events_total', { kind: 'click' })).toBe(4)
  expect(sumOf(series, 'freshet_no_such_total')).toBe(0)
  const buckets = bucketsOf(series, 'freshet_stage_delay_seconds', { stage: 'ingest' })
  expect(buckets.find(({ upTo }) => upTo === 0.01)?.count).toBe(0)
  expect(buckets.find(({ upTo }) => upTo === 0.02)?.count).toBe(1)
  expect(buckets.find(({ upTo }) => upTo === Infinity)?.count).toBe(2)
})

test('sets of cores as Linux writes them', () => {
  expect(parseCpuList('0-1')).toEqual([0, 1])
  expect(parseCpuList('3')).toEqual([3])
  expect(parseCpuList('0-2,8,10-11')).toEqual([0, 1, 2, 8, 10, 11])
  expect(parseCpuList('')).toEqual([])
})

test('CPU time of a process, whatever its name', () => {
  const rest = 'S 1 2 3 4 5 6 7 8 9 10 250 150 0 0 20 0 1 0 5'
  expect(cpuSecondsIn(`42 (node) ${rest}`)).toBe(4)
  expect(cpuSecondsIn(`42 (a b) c) ${rest}`)).toBe(4)
})

test('memory of a process', () => {
  const status = 'Name:\tnode\nVmPeak:\t  9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n'
  expect(memoryIn(status)).toEqual({ rssBytes: 2 ** 20, peakRssBytes: 2 ** 21 })
})
