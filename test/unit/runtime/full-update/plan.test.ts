import { expect, test } from 'vitest'
import { loadConfig } from '../../../../src/config/load.ts'
import {
  dayInId,
  fullGenerationId,
  fullUpdateJob,
} from '../../../../src/runtime/full-update/job.ts'
import { newestParent } from '../../../../src/runtime/full-update/parent.ts'
import { batchOf, fullOptions, seedOf } from '../../../../src/runtime/full-update/plan.ts'

const config = loadConfig({ texts: [], environment: {}, settings: [] })

test('a day has 200 steps or more, of 8 to 1024 examples', () => {
  const sizes = [1, 1_799, 6_400, 20_000, 204_799, 204_800, 1e8]
  expect(sizes.map((examples) => batchOf('auto', examples))).toEqual([
    8, 8, 32, 100, 1_023, 1_024, 1_024,
  ])
  for (const examples of [1_600, 12_345, 100_001, 204_800, 1e8]) {
    expect(Math.ceil(examples / batchOf('auto', examples))).toBeGreaterThanOrEqual(200)
  }
  expect(batchOf(77, 1e8)).toBe(77)
})

test('each day and each seed has an order of its own', () => {
  const seeds = ['2026-01-01', '2026-01-02'].flatMap((day) =>
    [17, 18].map((seed) => seedOf({ day, seed })),
  )
  expect(new Set(seeds).size).toBe(4)
  expect(seedOf({ day: '2026-01-01', seed: 17 })).toBe(seeds[0])
})

test('the gate looks at the last share of the day', () => {
  const job = fullUpdateJob(config, { day: '2026-01-02', parent: 'g', cuts: null })
  expect(fullOptions(job, 1_000)).toMatchObject({ gateFrom: 800, batch: 8 })
  expect(fullOptions({ ...job, full: { ...job.full, gateShare: 1 } }, 1_000).gateFrom).toBe(0)
  const gateEvery = (examples: number) => fullOptions(job, examples).gateEvery
  expect([1_000, 500_000, 500_005, 10_000_000].map(gateEvery)).toEqual([1, 1, 2, 20])
})

test('the id of a generation says its day, and depends on its parent', () => {
  expect(fullGenerationId('2026-01-02', 'a')).toMatch(/^full-2026-01-02-[0-9a-f]{8}$/)
  expect(fullGenerationId('2026-01-02', 'a')).toBe(fullGenerationId('2026-01-02', 'a'))
  expect(fullGenerationId('2026-01-02', 'a')).not.toBe(fullGenerationId('2026-01-02', 'b'))
})

test('a job is plain data, for another thread', () => {
  const job = fullUpdateJob(config, { day: '2026-01-02', parent: 'g', cuts: null })
  expect(structuredClone(job)).toEqual(job)
})

const made = (
  id: string,
  day: string | null,
  createdAt: string,
  verdict?: 'passed' | 'failed',
) => ({
  ...{ id, day, createdAt },
  gate:
    verdict === undefined
      ? null
      : { verdict, why: '', examples: 0, difference: null, interval: null },
})

test('a full update starts from the newest generation before its day that has not failed', () => {
  const all = [
    made('b1', null, '2026-01-01'),
    made('b2', null, '2026-01-03'),
    made('f1', '2026-01-01', '2026-01-02T01', 'passed'),
    made('f2', '2026-01-02', '2026-01-03T01', 'passed'),
    made('f2again', '2026-01-02', '2026-01-03T02', 'passed'),
    made('f3', '2026-01-03', '2026-01-04', 'failed'),
    made('f4', '2026-01-04', '2026-01-05', 'passed'),
  ]
  expect(newestParent(all, '2026-01-04')?.id).toBe('f2again')
  expect(newestParent(all, '2026-01-05')?.id).toBe('f4')
  expect(newestParent(all, '2026-01-02')?.id).toBe('f1')
  expect(newestParent(all, '2026-01-01')?.id).toBe('b2')
  expect(newestParent([], '2026-01-01')).toBe(null)
})

test('the id of what has learnt a day says so', () => {
  const ids = [fullGenerationId('2026-01-02', 'g'), 'imported-2026-01-03-ours', 'imported-ours']
  expect(ids.map(dayInId)).toEqual(['2026-01-02', '2026-01-03', null])
})
