import { expect, test } from 'vitest'
import type { KnownReport } from '../../../src/records/reports.ts'
import { decodeControlDocument, encodeControlDocument } from '../../../src/records/codec.ts'
import { alertsOf, firstDocument } from '../../../src/streams/controller.ts'
import { changesBetween } from '../../../src/streams/controller-changes.ts'
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
  silentMs,
  trainedReport,
} from '../../support/control-world.ts'

const day = '2026-01-05'
const first = firstDocument('g0', 0)

test('the first document makes its generation live, and survives its encoding', () => {
  expect(first).toMatchObject({ epoch: 1, live: 'g0', states: { g0: 'live' }, kept: ['g0'] })
  expect(decodeControlDocument(encodeControlDocument(first))).toEqual(first)
})

const reports = [
  cutReport(day),
  trainedReport('g1', day, { parent: 'g0' }),
  indexedReport('g1'),
  loadedReport(['g0', 'g1']),
  learnedReport({ g0: [30, 40], g1: [30, 40] }),
]

function permutations<T>(all: readonly T[]): T[][] {
  if (all.length === 0) return [[]]
  return all.flatMap((one, i) =>
    permutations([...all.slice(0, i), ...all.slice(i + 1)]).map((rest) => [one, ...rest]),
  )
}

test('whatever the order of the reports, the generation goes live last, through one document that switches everything', () => {
  for (const order of permutations<KnownReport>(reports)) {
    const known = knownOf([])
    const documents = [first]
    // A pod that has verified it has seen its snapshot, so what the indexer says may come last.
    const missing = new Set<string>(
      reports.map(({ kind }) => kind).filter((kind) => kind !== 'indexed'),
    )
    for (const report of order) {
      known.apply(report, nowMs)
      missing.delete(report.kind)
      documents.push(...follow(documents.at(-1)!, known))
      expect(documents.at(-1)!.live).toBe(missing.size > 0 ? 'g0' : 'g1')
    }
    expect(documents.map(({ epoch }) => epoch)).toEqual(documents.map((_, i) => i + 1))
    expect(documents.at(-2)).toMatchObject({ live: 'g0', candidate: 'g1' })
    expect(documents.at(-2)!.states).toEqual({ g0: 'live', g1: 'caught-up' })
    expect(documents.at(-1)).toEqual({
      ...{ epoch: documents.length, live: 'g1', previous: 'g0', candidate: null },
      ...{ kept: ['g0', 'g1'], states: { g0: 'retired', g1: 'live' }, liveSinceMs: nowMs },
      ...{ cuts: { [day]: [10, 20] }, catalogueCuts: { [day]: [5, 5] } },
    })
  }
})

test('each document says what it changes', () => {
  const known = knownOf(reports)
  let before = first
  const messages = follow(first, known).flatMap((document) => {
    const changes = changesBetween(before, document)
    before = document
    return changes.map(({ message }) => message)
  })
  expect(messages).toEqual([
    'day 2026-01-05 is over: 30 records of examples in it',
    'g1 is trained',
    'g1 is the candidate',
    'g1 has caught up with the live generation',
    'g1 is live instead of g0',
  ])
})

test('without catching up, a loaded candidate is live', () => {
  const known = knownOf(reports.slice(0, 4))
  expect(follow(first, known).at(-1)!.live).toBe('g0')
  expect(follow(first, known, nowMs, { catchUp: false }).at(-1)!.live).toBe('g1')
  expect(follow(first, knownOf(reports), nowMs, { catchUp: false }).at(-1)!.live).toBe('g1')
})

test('what was trained before the live generation does not become the candidate', () => {
  expect(follow(documentOf({ old: 'trained', g0: 'live' }), knownOf([]))).toEqual([])
})

const loaded = documentOf({ g0: 'live', g1: 'loaded' }, { candidate: 'g1' })

test.each([
  ['a partition is not heard of', learnedReport({ g0: [30, 40], g1: [30] }), false],
  ['a partition of the live generation is not', learnedReport({ g0: [30], g1: [30, 40] }), false],
  [
    'a partition is behind, nobody knows how long',
    learnedReport({ g0: [30, 40], g1: [30, 39] }),
    false,
  ],
  ['rows are missing', learnedReport({ g0: [30, 40], g1: [30, 40] }, false), false],
  ['it is ahead', learnedReport({ g0: [30, 40], g1: [31, 40] }), true],
  ['it is behind by caughtUpMs', learnedAt(6_000, 1_000), true],
  ['it is behind by more', learnedAt(6_001, 1_000), false],
  ['its time is unknown', learnedAt(4_000, 0), false],
])('caught up or not: %s', (_, learned, isCaughtUp) => {
  const known = knownOf([loadedReport(['g1']), learned])
  expect(follow(loaded, known).at(-1)?.live ?? 'g0').toBe(isCaughtUp ? 'g1' : 'g0')
})

function learnedAt(liveMs: number, candidateMs: number) {
  const at = (offset: number, eventTimeMs: number) => ({ offset, eventTimeMs })
  return learnedReport({ g0: [10, at(90, liveMs)], g1: [10, at(50, candidateMs)] })
}

test('several learners count together, each for its partitions', () => {
  const known = knownOf([loadedReport(['g1'])])
  const half = (partition: number, offset: number, isLoaded: boolean) => {
    const whole = learnedReport({ g0: [30, 30], g1: [offset, offset] }, isLoaded, `${partition}`)
    const own = whole.body.lineages.map((lineage) => ({
      ...lineage,
      learnedThrough: [lineage.learnedThrough[partition]!],
    }))
    return { ...whole, body: { lineages: own } }
  }
  known.apply(half(0, 30, true), nowMs)
  expect(follow(loaded, known)).toEqual([])
  known.apply(half(1, 30, false), nowMs)
  expect(follow(loaded, known)).toEqual([])
  known.apply(half(1, 30, true), nowMs)
  expect(follow(loaded, known).at(-1)!.live).toBe('g1')
})

test('what a learner said before it fell silent does not count', () => {
  const known = knownOf([learnedReport({ g0: [30, 40], g1: [30, 40] })])
  const laterMs = nowMs + silentMs
  known.apply({ ...loadedReport(['g1']), atMs: laterMs }, laterMs)
  expect(follow(loaded, known, laterMs)).toEqual([])
  expect(follow(loaded, known, laterMs - 1).at(-1)!.live).toBe('g1')
})

test('it takes readyPods pods, and those that are silent do not count', () => {
  const indexed = documentOf({ g0: 'live', g1: 'indexed' }, { candidate: 'g1' })
  const known = knownOf([])
  known.apply(loadedReport(['g0', 'g1'], 'a'), nowMs - silentMs)
  known.apply(loadedReport(['g0', 'g1'], 'b'), nowMs)
  const stateWith = (readyPods: number) =>
    follow(indexed, known, nowMs, { readyPods }).at(-1)?.states['g1'] ?? 'indexed'
  expect([stateWith(1), stateWith(2)]).toEqual(['loaded', 'indexed'])
  known.apply(loadedReport(['g0', 'g1'], 'a'), nowMs)
  expect(stateWith(2)).toBe('loaded')
})

test('a pod that leaves takes the milestone with it, once a new controller could have heard of everybody', () => {
  const known = knownOf([])
  expect(follow(loaded, known, nowMs + silentMs - 1)).toEqual([])
  const [document, ...more] = follow(loaded, known, nowMs + silentMs)
  expect(more).toEqual([])
  expect(document!.states['g1']).toBe('indexed')
})

test('a report that was sent before the one that is known changes nothing', () => {
  const known = knownOf([])
  known.apply(loadedReport(['g1'], 'a'), nowMs)
  known.apply({ ...loadedReport([], 'a'), atMs: nowMs - 1 }, nowMs)
  expect(known.pods(nowMs)[0]!.body.verified).toEqual(['g1'])
})

test('days are cut in order, each once, with offsets that do not go back', () => {
  const refusals = (...cuts: KnownReport[]) =>
    alertsOf(documentOf({ g0: 'live' }), knownOf(cuts), nowMs, options).map((a) => a.message)
  expect(refusals(cutReport('2026-01-06', [10, 20]), cutReport(day))).toEqual([])
  expect(refusals(cutReport('2026-01-07'))[0]).toContain('the next day is 2026-01-06')
  expect(refusals(cutReport(day, [11, 20]))[0]).toContain('fixed already at [10, 20]')
  expect(refusals(cutReport('2026-01-06', [10, 19]))[0]).toContain('partition 1 of examples')
  expect(refusals(cutReport('2026-01-06', [10, 20], [5, 4]))[0]).toContain('partition 1 of items')
  expect(refusals(cutReport('2026-01-06', [10]))[0]).toContain('instead of 2')
  const bad = knownOf([cutReport('2026-01-07'), cutReport(day, [11, 20])])
  expect(follow(documentOf({ g0: 'live' }), bad)).toEqual([])
})

test('several days that come at once are taken in their order', () => {
  const known = knownOf([
    ...[cutReport('2026-01-07', [40, 40]), cutReport('2026-01-06', [30, 30])],
    ...[trainedReport('g2', '2026-01-06'), trainedReport('g1', day)],
  ])
  const last = follow(documentOf({ g0: 'live' }), known).at(-1)!
  expect(Object.keys(last.cuts)).toEqual([day, '2026-01-06', '2026-01-07'])
  expect(last).toMatchObject({ kept: ['g0', 'g1', 'g2'], candidate: 'g2' })
})

test('a generation of a day without a cut is not taken, and that is said', () => {
  const known = knownOf([trainedReport('g1', '2026-01-06')])
  const document = documentOf({ g0: 'live' })
  expect(follow(document, known)).toEqual([])
  expect(alertsOf(document, known, nowMs, options)[0]!.message).toContain('2026-01-06 has no cut')
})

test('what was trained from a rejected generation is rejected', () => {
  const document = documentOf({ g0: 'live', g1: 'rejected' })
  const known = knownOf([trainedReport('g2', day, { parent: 'g1' })])
  expect(follow(document, known).at(-1)).toMatchObject({
    candidate: null,
    states: { g2: 'rejected' },
  })
})

test('a candidate finishes; then the newest goes on and those between are passed over', () => {
  const document = documentOf(
    { g0: 'live', g1: 'caught-up', g2: 'trained', g3: 'trained' },
    { candidate: 'g1' },
  )
  const learned = learnedReport({ g0: [1, 1], g1: [1, 1] })
  const last = follow(document, knownOf([loadedReport(['g1']), learned])).at(-1)!
  expect(last).toMatchObject({ live: 'g1', previous: 'g0', candidate: 'g3' })
  expect(last.states['g2']).toBe('retired')
})

test('live, candidate, previous and the parent of the next generation are kept whatever keep says, then the newest', () => {
  const states = { a: 'retired', b: 'retired', c: 'live', d: 'rejected' } as const
  const document = documentOf(states, { previous: 'b' })
  const known = knownOf([trainedReport('e', day)])
  const keptWith = (keep: number) => follow(document, known, nowMs, { keep }).at(-1)!.kept
  expect(keptWith(1)).toEqual(['b', 'c', 'e'])
  expect(keptWith(4)).toEqual(['b', 'c', 'd', 'e'])
  expect(keptWith(5)).toEqual(['a', 'b', 'c', 'd', 'e'])
})

test('what has left is remembered and does not come back, however long ago', () => {
  const document = documentOf({ a: 'retired', b: 'retired', c: 'live' }, { previous: 'b' })
  const days = Array.from({ length: 60 }, (_, i) => trainedReport(`n${i}`, day))
  const last = follow(document, knownOf(days)).at(-1)!
  expect(last.kept).toEqual(['b', 'c', 'n59'])
  expect(last.states).toMatchObject({ a: 'retired', n0: 'retired', n58: 'retired' })
  expect(follow(last, knownOf([...days, trainedReport('a', day)]))).toEqual([])
})

test('after switchTimeoutMs it is said who is missing, by name and number', () => {
  const document = documentOf({ g0: 'live', g1: 'trained' }, { candidate: 'g1' })
  const messageOf = (...known: KnownReport[]) => {
    const all = knownOf([])
    all.follow(document, nowMs)
    for (const one of known) all.apply(one, nowMs + 60_000)
    expect(alertsOf(document, all, nowMs + 59_999, options)).toEqual([])
    return alertsOf(document, all, nowMs + 60_000, options)[0]!.message
  }
  expect(messageOf()).toBe(
    'candidate g1 is not live after 60 s: the indexer has not sent a snapshot of it; ' +
      '0 of 1 recall pods have verified it (none has been heard of); no learner has been heard of',
  )
  const pods = [loadedReport(['g0'], 'pod-a'), loadedReport(['g0'], 'pod-b')]
  const learned = learnedReport({ g0: [10, 9], g1: [10, 2] }, false)
  expect(messageOf(indexedReport('g1'), ...pods, learned)).toBe(
    'candidate g1 is not live after 60 s: 0 of 1 recall pods have verified it (not yet: pod-a, pod-b); ' +
      'its user rows are not all in the online store; behind the live generation: partition 1 (7 examples)',
  )
  expect(messageOf(indexedReport('g1'), loadedReport(['g1']), learnedReport({ g0: [1, 1] }))).toBe(
    'candidate g1 is not live after 60 s: learner one has not begun it',
  )
})
