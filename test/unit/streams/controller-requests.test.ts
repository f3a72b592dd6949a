import { expect, test } from 'vitest'
import type { ControlDocument } from '../../../src/records/types.ts'
import { answer, rollbackUntilMs } from '../../../src/streams/controller-requests.ts'
import {
  documentOf,
  follow,
  knownOf,
  learnedReport,
  nowMs,
  options,
  requestOf,
  trainedReport,
} from '../../support/control-world.ts'

const ask = (
  document: ControlDocument,
  request: ReturnType<typeof requestOf>,
  known = knownOf([]),
  atMs = nowMs,
) => answer(document, request, known, atMs, options)

const running = documentOf(
  { old: 'retired', before: 'retired', live: 'live', next: 'indexed', later: 'trained' },
  { previous: 'before', candidate: 'next' },
)

test('a rollback is one document; what was trained from the generation that is left does not follow it', () => {
  const { document, message } = ask(running, requestOf('rollback', '', 'live'))
  expect(document).toMatchObject({
    ...{ epoch: running.epoch + 1, live: 'before', previous: 'live', candidate: null },
    ...{ liveSinceMs: nowMs, cuts: running.cuts },
    states: { before: 'live', live: 'rejected', next: 'rejected', later: 'rejected' },
  })
  expect(message).toBe('before is live again; live is rejected with next, later, trained from it')
  expect(follow(document!, knownOf([]))).toEqual([])
  const child = trainedReport('child', '2026-01-05', { parent: 'later' })
  expect(follow(document!, knownOf([child])).at(-1)!.candidate).toBeNull()
  const fresh = trainedReport('fresh', '2026-01-05', { parent: 'before' })
  expect(follow(document!, knownOf([fresh])).at(-1)!.candidate).toBe('fresh')
})

test('a rollback that comes again, to a controller that has not seen it, does nothing', () => {
  for (const target of ['', 'before']) {
    const request = requestOf('rollback', target, 'live')
    const once = ask(running, request).document!
    expect(ask(once, request)).toMatchObject({ document: null, isAccepted: true })
  }
})

test('a rollback can be taken back, by name: asked for twice, it must not bring back what was left', () => {
  const once = ask(running, requestOf('rollback', '', 'live')).document!
  const unnamed = ask(once, requestOf('rollback', '', 'before'))
  expect(unnamed).toMatchObject({ document: null, isAccepted: false })
  expect(unnamed.message).toContain('freshet rollback --to live')
  const twice = ask(once, requestOf('rollback', 'live', 'before')).document!
  expect(twice).toMatchObject({
    ...{ live: 'live', previous: 'before' },
    states: { live: 'live', before: 'rejected', next: 'rejected' },
  })
})

test.each([
  ['another than the one before', running, 'old', 'live', 'only the previous generation before'],
  [
    'none before',
    documentOf({ live: 'live' }),
    '',
    'live',
    'no previous generation is kept trained; kept: live',
  ],
  ['another is live by now', running, '', 'old', 'live is live by now instead of old'],
])('a rollback is refused: %s', (_, document, target, from, why) => {
  const given = ask(document, requestOf('rollback', target, from))
  expect(given).toMatchObject({ document: null, isAccepted: false })
  expect(given.message).toContain(why)
})

test('a rollback is possible while the previous generation is trained', () => {
  const request = requestOf('rollback', '', 'live')
  const endMs = rollbackUntilMs(running, options)
  expect(endMs).toBe(running.liveSinceMs + options.rollbackWindowMs)
  expect(ask(running, request, knownOf([]), endMs).isAccepted).toBe(true)
  expect(ask(running, request, knownOf([]), endMs + 1).message).toContain('rollbackWindowMs')
  const trained = knownOf([learnedReport({ live: [1, 1], before: [1, 1] })])
  expect(ask(running, request, trained).isAccepted).toBe(true)
  const dropped = knownOf([learnedReport({ live: [1, 1] })])
  expect(ask(running, request, dropped).message).toContain('does not train before')
})

test('what was made elsewhere is offered once, and follows what is on its way', () => {
  const alone = documentOf({ live: 'live' })
  const given = ask(alone, requestOf('offer', 'theirs', 'live'))
  expect(given.document).toMatchObject({ kept: ['live', 'theirs'], states: { theirs: 'trained' } })
  expect(follow(given.document!, knownOf([])).at(-1)!.candidate).toBe('theirs')
  const again = ask(given.document!, requestOf('offer', 'theirs', 'live'))
  expect(again).toMatchObject({ document: null, isAccepted: true })
  expect(ask(running, requestOf('offer', 'theirs', 'live')).message).toContain(
    'the candidate next comes first',
  )
})

test('a rejected candidate makes room for the next', () => {
  const { document } = ask(running, requestOf('reject', 'next', 'live'))
  expect(document).toMatchObject({ candidate: null, states: { next: 'rejected' } })
  expect(follow(document!, knownOf([])).at(-1)!.candidate).toBe('later')
})

test('the live generation is not rejected, and the remedy is named', () => {
  expect(ask(running, requestOf('reject', 'live', 'live')).message).toContain('freshet rollback')
  const alone = documentOf({ live: 'live' })
  expect(ask(alone, requestOf('reject', 'live', 'live')).message).toContain('none before it')
})

test('an approved generation is on its way again', () => {
  const rejected = documentOf({ live: 'live', g: 'rejected' })
  const given = ask(rejected, requestOf('approve', 'g', 'live'))
  expect(given.document!.states['g']).toBe('trained')
  expect(follow(given.document!, knownOf([])).at(-1)!.candidate).toBe('g')
  expect(ask(given.document!, requestOf('approve', 'g', 'live'))).toMatchObject({
    ...{ document: null, isAccepted: true },
  })
})

test('what was rolled back from is approved only once a rollback to it is no longer possible', () => {
  const back = ask(running, requestOf('rollback', '', 'live')).document!
  const request = requestOf('approve', 'live', 'before')
  expect(ask(back, request).message).toContain('freshet rollback')
  const lateMs = rollbackUntilMs(back, options) + 1
  const { document } = ask(back, request, knownOf([]), lateMs)
  expect(document).toMatchObject({ previous: null, states: { live: 'trained' } })
  expect(follow(document!, knownOf([])).at(-1)!.candidate).toBe('live')
})

test('what is not kept cannot be asked for, and what is kept is named', () => {
  for (const action of ['approve', 'reject'] as const) {
    const { isAccepted, message } = ask(running, requestOf(action, 'gone', 'live'))
    expect([isAccepted, message]).toEqual([
      false,
      'there is no generation gone; kept: old, before, live, next, later',
    ])
  }
})
