import { expect, test } from 'vitest'
import {
  countRank,
  newFigures,
  Popularity,
  popularity24h,
  popularity7d,
  rankOf,
} from '../../../src/model/evaluation.ts'

const minuteMs = 60_000

test('the rank counts recallable items with higher scores, and half of the equal ones', () => {
  const scores = Float32Array.of(-1, 9, 0.5, 0.5, 0.7, 0.8, 0.5)
  const isRecallable = Uint8Array.of(0, 0, 1, 1, 1, 1, 1)
  expect(rankOf(scores, 0, 7, 2, isRecallable, [])).toBe(4)
  expect(rankOf(scores, 0, 7, 5, isRecallable, [])).toBe(1)
  expect(rankOf(scores, 0, 7, 2, isRecallable, [4, 6, 1, 0])).toBe(2.5)
  expect(rankOf(Float32Array.of(7, ...scores), 1, 7, 4, isRecallable, [])).toBe(2)
})

test('figures count hits, reciprocal ranks and areas', () => {
  const figures = newFigures()
  for (const rank of [1, 50, 51, 100.5, null]) countRank(figures, rank, 101)
  expect(figures).toEqual({
    cases: 5,
    hitsAt50: 2,
    hitsAt100: 3,
    reciprocalRanks: 1 + 1 / 50 + 1 / 51,
    areas: 1 + 0.51 + 0.5 + 0.005,
  })
})

test('popularity is that of the last 24 hours, as of the last quarter of an hour', () => {
  const popularity = new Popularity(popularity24h)
  const start = 1_000 * 15 * minuteMs
  for (const item of ['a', 'a', 'a', 'b', 'c', 'd', 'd']) popularity.observe(item, start)
  expect(popularity.rank('a', start + 14 * minuteMs, [])).toBeNull()
  const later = start + 15 * minuteMs
  expect(popularity.rank('a', later, [])).toBe(1)
  expect(popularity.rank('d', later, [])).toBe(2)
  expect(popularity.rank('b', later, [])).toBe(3.5)
  expect(popularity.rank('b', later, ['a', 'c', 'unknown', 'b'])).toBe(2)
  expect(popularity.rank('z', later, [])).toBeNull()
  const day = 24 * 60 * minuteMs
  expect(popularity.rank('a', start + day, [])).toBe(1)
  expect(popularity.rank('a', start + day + 15 * minuteMs, [])).toBeNull()
})

test('weekly popularity is that of the seven whole days before', () => {
  const popularity = new Popularity(popularity7d)
  const day = 24 * 60 * minuteMs
  const noon = 1_000 * day + day / 2
  for (const item of ['a', 'a', 'b']) popularity.observe(item, noon)
  expect(popularity.rank('a', noon, [])).toBeNull()
  const midnight = 1_001 * day
  for (const timeMs of [midnight, noon + day, midnight + 7 * day - 1]) {
    expect(popularity.rank('b', timeMs, [])).toBe(2)
  }
  expect(popularity.rank('b', midnight + 7 * day, [])).toBeNull()
})

test('a restored popularity ranks the same', () => {
  const popularity = new Popularity(popularity24h)
  for (let i = 0; i < 500; i++) popularity.observe(`item${i % 17}`, i * 7 * minuteMs)
  const restored = new Popularity(popularity24h)
  restored.restore(structuredClone(popularity.snapshot()))
  for (const at of [500 * 7, 500 * 7 + 600]) {
    for (let i = 0; i < 17; i++) {
      const rank = popularity.rank(`item${i}`, at * minuteMs, [])
      expect(restored.rank(`item${i}`, at * minuteMs, [])).toBe(rank)
    }
  }
})
