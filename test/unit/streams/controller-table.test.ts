import { expect, test } from 'vitest'
import type { KnownReport } from '../../../src/records/reports.ts'
import type { ControlDocument, GenerationState } from '../../../src/records/types.ts'
import { answer } from '../../../src/streams/controller-requests.ts'
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
  requestOf,
  trainedReport,
} from '../../support/control-world.ts'

/**
 * What becomes of a generation g in every state with every kind of report. A cell begins with the state that g has afterwards, or with
 * "stays" (ignored) or "refused" (told the operator), and says why.
 */

const kinds = [
  ...['cut', 'training', 'trained', 'failed', 'indexed', 'loaded', 'learned'],
  ...['approve', 'reject', 'rollback'],
] as const
type Kind = 'cut' | 'training' | 'trained' | 'failed' | 'indexed' | 'loaded' | 'learned' | Asked
type Asked = 'approve' | 'reject' | 'rollback'
type Row = Record<Kind, string>

const onlyNews = {
  cut: 'stays: the cut of a day moves no generation',
  training: 'stays: only people look at progress',
}
const known = { trained: 'stays: it is known', failed: 'stays: a verdict is given once' }
const notCandidate = {
  indexed: 'stays: only the candidate is on its way',
  loaded: 'stays: only the candidate is on its way',
  learned: 'stays: only the candidate is on its way',
}
const notLive = { rollback: 'stays: the live generation is left, and g is older than that' }
const approved = 'stays: it is not rejected, which is all that approve changes'

const table: Record<string, Row> = {
  'not known': {
    ...onlyNews,
    trained: 'trained: and the candidate, because there is none',
    failed: 'rejected: by its validation',
    ...notCandidate,
    approve: 'refused: there is no such generation',
    reject: 'refused: there is no such generation',
    ...notLive,
  },
  'trained, waiting': {
    ...onlyNews,
    ...known,
    indexed: 'stays: the candidate finishes first',
    loaded: 'stays: the candidate finishes first',
    learned: 'stays: the candidate finishes first',
    approve: approved,
    reject: 'rejected: by an operator',
    rollback: 'rejected: it was trained from the generation that is left',
  },
  'trained, candidate': {
    ...onlyNews,
    ...known,
    indexed: 'indexed: its snapshot is on the topic',
    loaded: 'loaded: who has verified it has seen its snapshot',
    learned: 'stays: caught up counts after loaded',
    approve: approved,
    reject: 'rejected: by an operator',
    rollback: 'rejected: it was trained from the generation that is left',
  },
  indexed: {
    ...onlyNews,
    ...known,
    indexed: 'stays: it is',
    loaded: 'loaded: enough pods have verified it',
    learned: 'stays: caught up counts after loaded',
    approve: approved,
    reject: 'rejected: by an operator',
    rollback: 'rejected: it was trained from the generation that is left',
  },
  loaded: {
    ...onlyNews,
    ...known,
    indexed: 'stays: it is',
    loaded: 'stays: it is',
    learned: 'live: it has caught up, so everything is there',
    approve: approved,
    reject: 'rejected: by an operator',
    rollback: 'rejected: it was trained from the generation that is left',
  },
  'caught-up': {
    ...onlyNews,
    ...known,
    indexed: 'stays: whether it has caught up is not heard again',
    loaded: 'stays: whether it has caught up is not heard again',
    learned: 'live: it is still so',
    approve: approved,
    reject: 'rejected: by an operator',
    rollback: 'rejected: it was trained from the generation that is left',
  },
  live: {
    ...onlyNews,
    ...known,
    ...notCandidate,
    approve: approved,
    reject: 'refused: a rollback is what takes it away',
    rollback: 'rejected: it is what is left',
  },
  'retired, previous': {
    ...onlyNews,
    ...known,
    ...notCandidate,
    approve: 'refused: only a rollback would make it live',
    reject: 'refused: only a rollback would make it live',
    rollback: 'live: it is what is gone back to',
  },
  'retired, older': {
    ...onlyNews,
    ...known,
    ...notCandidate,
    approve: 'refused: only a rollback would make it live',
    reject: 'refused: only a rollback would make it live',
    ...notLive,
  },
  'rejected, newer than live': {
    ...onlyNews,
    ...known,
    ...notCandidate,
    approve: 'trained: and the candidate, because there is none',
    reject: 'stays: it is',
    ...notLive,
  },
  'rejected, older than live': {
    ...onlyNews,
    ...known,
    ...notCandidate,
    approve: 'refused: it would never go live',
    reject: 'stays: it is',
    ...notLive,
  },
}

const implied: Record<string, readonly KnownReport[]> = {
  indexed: [indexedReport('g')],
  loaded: [indexedReport('g'), loadedReport(['live', 'g'])],
  'caught-up': [indexedReport('g'), loadedReport(['live', 'g'])],
}

function documentFor(row: string): ControlDocument {
  const around = { before: 'retired', live: 'live' } as const
  const previous = { previous: 'before' }
  switch (row) {
    case 'not known':
      return documentOf(around, previous)
    case 'trained, waiting':
      return documentOf(
        { ...around, other: 'trained', g: 'trained' },
        { ...previous, candidate: 'other' },
      )
    case 'trained, candidate':
      return documentOf({ ...around, g: 'trained' }, { ...previous, candidate: 'g' })
    case 'live':
      return documentOf({ before: 'retired', g: 'live' }, previous)
    case 'retired, previous':
      return documentOf({ g: 'retired', live: 'live' }, { previous: 'g' })
    case 'retired, older':
      return documentOf({ g: 'retired', ...around }, previous)
    case 'rejected, newer than live':
      return documentOf({ ...around, g: 'rejected' }, previous)
    case 'rejected, older than live':
      return documentOf({ g: 'rejected', ...around }, previous)
    default:
      return documentOf({ ...around, g: row as GenerationState }, { ...previous, candidate: 'g' })
  }
}

function reportFor(kind: Exclude<Kind, Asked>): KnownReport {
  switch (kind) {
    case 'cut':
      return cutReport('2026-01-06', [30, 30])
    case 'training':
      return report('training', 'g', { day: '2026-01-05', share: 0.5, etaMs: null })
    case 'trained':
      return trainedReport('g', '2026-01-05', { parent: 'live' })
    case 'failed':
      return trainedReport('g', '2026-01-05', { parent: 'live', verdict: 'failed' })
    case 'indexed':
      return indexedReport('g')
    case 'loaded':
      return loadedReport(['live', 'g'])
    case 'learned':
      return learnedReport({ live: [30, 40], g: [30, 40] })
  }
}

function outcome(row: string, kind: Kind): string {
  const before = documentFor(row)
  const state = before.states['g']
  if (kind === 'approve' || kind === 'reject' || kind === 'rollback') {
    const request = requestOf(kind, kind === 'rollback' ? '' : 'g', before.live!)
    const known = knownOf(implied[row] ?? [])
    const given = answer(before, request, known, nowMs, options)
    if (!given.isAccepted) {
      expect(given.document).toBeNull()
      return 'refused'
    }
    const after = given.document ?? before
    const last = follow(after, known).at(-1) ?? after
    return last.states['g'] === state ? 'stays' : last.states['g']!
  }
  const known = knownOf([...(implied[row] ?? []), reportFor(kind)])
  const after = follow(before, known).at(-1) ?? before
  return after.states['g'] === state ? 'stays' : after.states['g']!
}

const cells = Object.entries(table).flatMap(([row, ofRow]) =>
  kinds.map((kind): [string, Kind, string] => [row, kind, ofRow[kind]]),
)

test('every state is in the table', () => {
  const states = new Set(Object.keys(table).map((row) => row.split(',')[0]))
  const all: Record<GenerationState, true> = {
    ...{ trained: true, indexed: true, loaded: true, 'caught-up': true },
    ...{ live: true, retired: true, rejected: true },
  }
  expect([...states].sort()).toEqual(['not known', ...Object.keys(all)].sort())
})

test.each(cells)('%s, %s: %s', (row, kind, expected) => {
  expect(outcome(row, kind)).toBe(expected.split(':')[0])
})
