import { expect, test } from 'vitest'
import { firstDocument } from '../../../src/streams/controller.ts'
import { isAsFarAs, startOf, wantedLineages } from '../../../src/streams/learner-lineages.ts'

const document = { ...firstDocument('a', 1_000), previous: 'b', candidate: 'c' }

test('live and candidate are trained, and the previous one exactly for the time to roll back', () => {
  const at = (nowMs: number) => wantedLineages(document, nowMs, 500)
  const all = [
    ['b', 'previous'],
    ['c', 'candidate'],
    ['a', 'live'],
  ]
  expect([...at(1_499).roles]).toEqual(all)
  expect(at(1_499).untilMs).toBe(1_500)
  expect([...at(1_500).roles]).toEqual(all.slice(1))
  expect(at(1_500).untilMs).toBeNull()
  expect([...wantedLineages(firstDocument('a', 0), 0, 500).roles]).toEqual([['a', 'live']])
})

test('one is as far as another when it is so in every partition', () => {
  const through = (...offsets: number[]) => ({
    learnedThrough: offsets.map((offset, partition) => ({ partition, offset, eventTimeMs: 0 })),
  })
  expect(isAsFarAs(through(3, 4), through(3, 4))).toBe(true)
  expect(isAsFarAs(through(9, 3), through(3, 4))).toBe(false)
  expect(isAsFarAs(through(9), through(3, 0))).toBe(true)
})

test('training begins at the cut that the control document has fixed, else at that of the generation, else at the start', () => {
  const cuts = { examples: [7, 8] }
  const fixed = { cuts: { '2026-01-02': [5, 6] } }
  expect(startOf({ day: '2026-01-02', cuts }, fixed)).toEqual([5, 6])
  expect(startOf({ day: '2026-01-03', cuts }, fixed)).toEqual([7, 8])
  expect(startOf({ day: null, cuts: null }, fixed)).toBeNull()
})
