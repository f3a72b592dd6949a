import { describe, expect, test } from 'vitest'
import { median, throughputOf, type Sample } from '../../../src/cli/bench/arithmetic.ts'
import { bucketsSince, quantileOf, type Bucket } from '../../../src/metrics/buckets.ts'

/** One sample every 250 ms, `perSample` records each, on half a core. */
function samplesOf(counts: readonly number[]): Sample[] {
  return counts.map((records, i) => ({ atMs: i * 250, records, cpuSeconds: i * 0.125 }))
}

function risingTo(total: number, perSample: number): Sample[] {
  const steps = Math.ceil(total / perSample)
  return samplesOf(Array.from({ length: steps + 1 }, (_, i) => Math.min(total, i * perSample)))
}

describe('throughput', () => {
  test('leaves out the warm-up, and the end of the backlog', () => {
    // Slow for a second, then 1,000 a second, and a last twentieth that takes for ever.
    const slow = [0, 1, 2, 3, 4]
    const fast = Array.from({ length: 20 }, (_, i) => 4 + (i + 1) * 250)
    const tail = [5_020, 5_025, 5_030, 5_040, 5_278]
    const throughput = throughputOf(samplesOf([...slow, ...fast, ...tail]), 5_278, 1_000)!
    expect(throughput.perSecond).toBe(1_000)
    expect(throughput.records).toBe(5_000)
    expect(throughput.warmUpMs).toBe(1_000)
  })

  test('counts the start-up before the first record as no time at all', () => {
    const waiting = Array.from({ length: 40 }, () => 0)
    const rising = Array.from({ length: 21 }, (_, i) => i * 100)
    const throughput = throughputOf(samplesOf([...waiting, ...rising]), 10_000, 0)!
    expect(throughput.perSecond).toBe(400)
  })

  test('tells CPU time by record and by second', () => {
    const throughput = throughputOf(risingTo(10_000, 250), 10_000, 1_000)!
    expect(throughput.perSecond).toBe(1_000)
    expect(throughput.coreShare).toBe(0.5)
    expect(throughput.cpuSecondsPer100k).toBe(50)
  })

  test('takes a count that is published now and then from when it changed', () => {
    // 1,000 a second, told once a second, and the last value a second longer.
    const counts = Array.from({ length: 44 }, (_, i) => Math.min(10, Math.floor(i / 4)) * 1_000)
    expect(throughputOf(samplesOf(counts), 100_000, 0)!.perSecond).toBe(1_000)
  })

  test('uses the warm-up where nothing else is left, and says so', () => {
    const throughput = throughputOf(risingTo(10_000, 1_000), 10_000, 60_000)!
    expect(throughput.perSecond).toBe(4_000)
    expect(throughput.warmUpMs).toBe(0)
  })

  test('says nothing of less than a second, and of nothing', () => {
    expect(throughputOf(risingTo(300, 100), 300, 0)).toBeNull()
    expect(throughputOf(samplesOf([0, 0, 0, 0, 0, 0, 0]), 100, 0)).toBeNull()
    expect(throughputOf([], 100, 0)).toBeNull()
  })

  test('has no CPU figures where the system has none', () => {
    const samples = risingTo(10_000, 250).map((sample) => ({ ...sample, cpuSeconds: null }))
    const throughput = throughputOf(samples, 10_000, 0)!
    expect([throughput.coreShare, throughput.cpuSecondsPer100k]).toEqual([null, null])
  })
})

describe('quantiles of buckets', () => {
  const buckets: Bucket[] = [
    { upTo: 0.1, count: 10 },
    { upTo: 0.2, count: 30 },
    { upTo: 0.5, count: 40 },
    { upTo: Infinity, count: 40 },
  ]

  test('are linear inside a bucket, the first one from zero', () => {
    expect(quantileOf(buckets, 0.125)).toBeCloseTo(0.05)
    expect(quantileOf(buckets, 0.25)).toBeCloseTo(0.1)
    expect(quantileOf(buckets, 0.5)).toBeCloseTo(0.15)
    expect(quantileOf(buckets, 0.875)).toBeCloseTo(0.35)
    expect(quantileOf(buckets, 1)).toBeCloseTo(0.5)
  })

  test('do not depend on the order of the buckets', () => {
    expect(quantileOf([...buckets].reverse(), 0.5)).toBeCloseTo(0.15)
  })

  test('skip buckets in which nothing was seen', () => {
    const gap = [
      { upTo: 1, count: 0 },
      { upTo: 2, count: 0 },
      { upTo: 3, count: 4 },
      { upTo: Infinity, count: 4 },
    ]
    expect(quantileOf(gap, 0)).toBe(2)
    expect(quantileOf(gap, 0.5)).toBe(2.5)
  })

  test('say the highest bound for what lies beyond it', () => {
    const beyond = [
      { upTo: 1, count: 1 },
      { upTo: Infinity, count: 10 },
    ]
    expect(quantileOf(beyond, 0.99)).toBe(1)
  })

  test('are unknown where nothing was seen', () => {
    expect(quantileOf([], 0.5)).toBeNull()
    expect(
      quantileOf(
        [
          { upTo: 1, count: 0 },
          { upTo: Infinity, count: 0 },
        ],
        0.5,
      ),
    ).toBeNull()
  })

  test('of a while leave out what came before', () => {
    const now = buckets.map(({ upTo, count }) => ({ upTo, count: count + 100 }))
    const before = buckets.map(({ upTo }) => ({ upTo, count: 100 }))
    expect(bucketsSince(before, now)).toEqual(buckets)
    expect(bucketsSince([], buckets)).toEqual(buckets)
  })
})

test('the median is one of the values', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 3, 2])).toBe(3)
  expect(median([])).toBeNull()
})
