import { expect, test } from 'vitest'
import { Advances } from '../../../src/console/advances.ts'
import { passportOf, type PassportFacts } from '../../../src/console/passport.ts'

const nothing: PassportFacts = {
  ...{ userId: 'u', requestId: 'r', itemId: null, title: '', scanned: 'the newest 10 records' },
  ...{ impression: null, click: null, example: null, live: null },
  ...{ trainedOffset: 0, learnedOffset: null, learnedAtMs: null, rowOffset: null, override: null },
  ...{ reply: null, repliesSeen: 0 },
}
const click = { partition: 1, offset: 11, arrivedMs: 1_000, record: { eventTimeMs: 900 } }
const example = { ...click, offset: 40, record: { eventTimeMs: 900, position: 2 } }

function outcomes(facts: Partial<PassportFacts>): Record<string, string> {
  const { steps } = passportOf({ ...nothing, ...facts })
  return Object.fromEntries(steps.map(({ name, outcome }) => [name, outcome]))
}

test('of a click of which nothing is found, every step says so', () => {
  const { steps } = passportOf(nothing)
  expect(steps.filter(({ outcome }) => outcome === 'done')).toEqual([])
  expect(steps[1]?.text).toContain('the newest 10 records')
})

test('a click that went all the way has its times, counted from arrival', () => {
  const reply = { atMs: 1_700, correlationId: 'c', generation: 'g', overrideSequence: 9 }
  const { steps } = passportOf({
    ...nothing,
    ...{ click, example, impression: { ...click, offset: 3, record: { eventTimeMs: 500 } } },
    ...{ live: 'g', learnedOffset: 41, learnedAtMs: 1_400, rowOffset: 40 },
    ...{ override: { sequence: 8, eventTimeMs: 900 }, reply, repliesSeen: 1 },
  })
  expect(steps.every(({ outcome }) => outcome === 'done')).toBe(true)
  const since = Object.fromEntries(steps.map((one) => [one.name, one.sinceArrivalMs]))
  expect(since).toMatchObject({ 'Click arrived': 0, Learnt: 400, 'First reply that used it': 700 })
})

test('an example is learnt when the learner is past it, and not before', () => {
  const facts = { click, example, live: 'g', rowOffset: 39 }
  expect(outcomes({ ...facts, learnedOffset: 40 })).toMatchObject({
    Learnt: 'waiting',
    'In the row of the user': 'waiting',
  })
  expect(outcomes({ ...facts, learnedOffset: 41, rowOffset: 40 })).toMatchObject({
    Learnt: 'done',
    'In the row of the user': 'done',
  })
})

test('what the full update behind the live generation was trained on is in its rows and vectors', () => {
  const facts = { click, example, live: 'g', learnedOffset: 41, rowOffset: -1 }
  const both = { 'In the row of the user': 'done', 'In the vector of the item': 'done' }
  expect(outcomes({ ...facts, trainedOffset: 41 })).toMatchObject({ Learnt: 'done', ...both })
  expect(outcomes({ ...facts, trainedOffset: 40 })).not.toMatchObject(both)
})

test('an override of before the click does not have it', () => {
  const facts = { click, example, live: 'g' }
  const name = 'In the vector of the item'
  expect(outcomes({ ...facts, override: { sequence: 3, eventTimeMs: 899 } })[name]).toBe('unknown')
  expect(outcomes({ ...facts, override: { sequence: 3, eventTimeMs: 900 } })[name]).toBe('done')
})

test('a command names the user so that it can be copied', () => {
  const { steps } = passportOf({ ...nothing, userId: "it's; rm" })
  expect(steps.at(-1)?.command).toBe("freshet recall --user 'it'\\''s; rm'")
})

test('when an example was learnt is known only where it was seen not to be before', () => {
  const advances = new Advances()
  advances.reached('g', 0, 10, 1_000)
  advances.reached('g', 0, 10, 1_500)
  advances.reached('g', 0, 20, 2_000)
  advances.reached('g', 0, 15, 2_500)
  expect(advances.learntAtMs('g', 0, 5)).toBeNull()
  expect(advances.learntAtMs('g', 0, 10)).toBe(2_000)
  expect(advances.learntAtMs('g', 0, 19)).toBe(2_000)
  expect(advances.learntAtMs('g', 0, 20)).toBeNull()
  expect(advances.learntAtMs('g', 1, 10)).toBeNull()
})
