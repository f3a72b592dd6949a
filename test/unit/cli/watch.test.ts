import { expect, test } from 'vitest'
import { generationLines } from '../../../src/cli/generation-lines.ts'
import { WatchModel } from '../../../src/console/watch-model.ts'
import { duration } from '../../../src/cli/duration.ts'
import { eventLine, openingEvent, watchBlock } from '../../../src/cli/watch-view.ts'
import type { ControllerReportBodies } from '../../../src/records/reports.ts'
import type { Report } from '../../../src/records/types.ts'
import { firstDocument } from '../../../src/streams/controller.ts'
import {
  cutReport,
  documentOf,
  follow,
  indexedReport,
  knownOf,
  learnedReport,
  loadedReport,
  nowMs,
  options,
  report,
  trainedReport,
} from '../../support/control-world.ts'

const day = '2026-01-05'
const g1 = `full-${day}-0123abcd`
const first = firstDocument('g0', nowMs - 60_000)

function controlling(body: Partial<ControllerReportBodies['controlling']>, atMs = nowMs): Report {
  const whole = { epoch: 1, waitsFor: [], alerts: [], rollbackUntilMs: 0, ...body }
  return { ...from('controller', 'controlling', whole), atMs }
}

function from(role: string, kind: string, body: Record<string, unknown>): Report {
  return { role, kind, instance: 'one', generation: 'g0', atMs: nowMs, body }
}

/** Up to a candidate that is indexed, verified by one pod, and behind in one partition. */
function onItsWay() {
  const model = new WatchModel(nowMs)
  const messages = model.onDocument(first, nowMs - 60_000)
  const reports = [
    cutReport(day),
    report('training', g1, { day, share: 0.25, etaMs: 3_000 }),
    trainedReport(g1, day, { parent: 'g0', verdict: 'ungated' }),
    indexedReport(g1),
    loadedReport(['g0', g1], 'pod-a'),
    learnedReport({ g0: [30, 1_040], [g1]: [30, 40] }),
  ]
  const known = knownOf([])
  let document = first
  reports.forEach((one, i) => {
    const atMs = nowMs + i * 1_000
    messages.push(...model.onReport(one, atMs))
    known.apply(one, nowMs)
    for (const next of follow(document, known)) {
      document = next
      messages.push(...model.onDocument(next, atMs))
    }
  })
  return { model, document, lines: messages.map(eventLine), events: messages }
}

test('each step is an event, with what is known of it', () => {
  const { events } = onItsWay()
  expect(events.map(({ event, message }) => `${event}: ${message}`)).toEqual([
    'switch: g0 is live',
    'cut: day 2026-01-05 is over: 30 records of examples in it',
    `training: the full update of 2026-01-05 has begun: ${g1}`,
    `trained: ${g1} is trained (ungated: because)`,
    `candidate: ${g1} is the candidate`,
    `indexed: ${g1} is indexed: its snapshot is on the topic (3 items, recall@100 1.000)`,
    `loaded: ${g1} is loaded: enough pods have verified it`,
  ])
})

test('the block shows the candidate’s milestones with their times, and who is behind', () => {
  const { model } = onItsWay()
  const atMs = nowMs + 6_000
  const delay = { p50Ms: 12.4, p99Ms: null }
  expect(watchBlock({ model, nowMs: atMs, options, delay })).toEqual([
    'live        g0  for 66 s; served by 1 of 1 pods',
    'previous    none',
    `candidate   ${g1}  loaded`,
    '  cut       00:16:40Z           end of 2026-01-05',
    '  trained   00:16:42Z  +2.0 s   ungated: because',
    '  indexed   00:16:43Z  +3.0 s   3 items, recall@100 1.000',
    '  loaded    00:16:44Z  +4.0 s   verified by 1 of 1 pods, 1 needed: pod-a',
    '  caught up -                   1 of 2 partitions: 0 ok  1 -1,000',
    '  live      -',
    'delay       visible p50 12 ms, p99 -   (of user rows, over the last 10 s)',
  ])
})

test('what nobody has begun is said in words', () => {
  const model = new WatchModel(nowMs)
  model.onDocument(documentOf({ g0: 'live', g1: 'trained' }, { candidate: 'g1' }), nowMs)
  const block = watchBlock({ model, nowMs, options, delay: null })
  expect(block[0]).toContain('no pod has been heard of yet')
  expect(block).toContain('  caught up -                   no learner has begun it')
})

test('after the switch the block shows how the live generation got there, and the way back', () => {
  const { model, document } = onItsWay()
  const known = knownOf([loadedReport(['g0', g1]), learnedReport({ g0: [1, 1], [g1]: [1, 1] })])
  for (const next of follow(document, known)) model.onDocument(next, nowMs + 9_000)
  model.onReport(controlling({ rollbackUntilMs: nowMs + 3_609_000, alerts: ['look here'] }), nowMs)
  const block = watchBlock({ model, nowMs: nowMs + 9_000, options, delay: null })
  expect(block).toContain('  live      00:16:49Z  +9.0 s')
  expect(block.slice(7)).toEqual([
    'previous    g0  was live before; freshet rollback goes back to it, until 01:16:49Z (60 min)',
    'candidate   none',
    'ALERT       look here',
  ])
})

test('a full update that runs is shown with its progress', () => {
  const model = new WatchModel(nowMs)
  model.onDocument(first, nowMs)
  const training = report('training', g1, { day, share: 0.25, etaMs: 3_000 })
  expect(model.onReport(training, nowMs)).toHaveLength(1)
  expect(model.onReport(training, nowMs)).toHaveLength(0)
  expect(watchBlock({ model, nowMs, options, delay: null })).toContain(
    `training    ${g1}  full update of 2026-01-05: 25 %, 3.0 s left`,
  )
})

test('pods that serve another generation, silence, alerts and answers are events', () => {
  const model = new WatchModel(nowMs)
  model.onDocument(first, nowMs)
  model.onReport(loadedReport(['g0']), nowMs)
  const said = [
    ...model.onReport({ ...loadedReport(['g1']), atMs: nowMs + 1 }, nowMs + 1),
    ...model.onTick(nowMs + 10_001),
    ...model.onReport({ ...loadedReport(['g1']), atMs: nowMs + 11_000 }, nowMs + 11_000),
    ...model.onReport(from('controller', 'alert', { message: 'look' }), nowMs),
    ...model.onReport(from('controller', 'refused', { id: 'x', message: 'no' }), nowMs),
  ]
  expect(said.map(({ message }) => message)).toEqual([
    ...['recall one serves g1', 'recall one is silent', 'recall one is back'],
    ...['look', 'operator: refused: no'],
  ])
})

test('an old document is no news', () => {
  const model = new WatchModel(nowMs)
  model.onDocument({ ...first, epoch: 3 }, nowMs)
  expect(model.onDocument({ ...first, epoch: 3, live: 'g9' }, nowMs)).toEqual([])
  expect(openingEvent(model.document, nowMs).message).toBe(
    'live g0, candidate none, previous none, epoch 3',
  )
})

test('without a document it is said what is missing', () => {
  const model = new WatchModel(nowMs)
  const missing = expect.stringContaining('no controller has written a control document yet')
  expect(watchBlock({ model, nowMs, options, delay: null })).toEqual([missing])
  expect(openingEvent(null, nowMs).message).toEqual(missing)
  expect(generationLines(null, null, nowMs)).toEqual([missing])
})

test('status says what the candidate waits for and how to go back', () => {
  const document = documentOf(
    { a: 'retired', b: 'live', c: 'indexed' },
    { previous: 'a', candidate: 'c' },
  )
  const body = { waitsFor: ['pods', 'learner'], rollbackUntilMs: nowMs + 90_000 }
  expect(generationLines(document, controlling(body), nowMs)).toEqual([
    'live       b, for 1.0 s (epoch 7)',
    'candidate  c, indexed',
    '           waits: pods',
    '           waits: learner',
    'previous   a  was live before; freshet rollback goes back to it, until 00:18:10Z (2 min)',
  ])
  expect(generationLines(document, null, nowMs).at(-1)).toContain('no controller has reported')
  const left = documentOf({ a: 'rejected', b: 'live' }, { previous: 'a' })
  expect(generationLines(left, controlling(body), nowMs)[2]).toContain('rollback --to a takes that')
  expect(generationLines(left, controlling({}), nowMs)[2]).toContain('no rollback to it')
})

test('durations are read at a glance', () => {
  expect([0, 9_940, 89_000, 600_000, 7_200_000, 28_289_798_300].map(duration)).toEqual([
    ...['0.0 s', '9.9 s', '89 s', '10 min', '2.0 h', '327 days'],
  ])
})
