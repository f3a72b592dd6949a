import { expect, test } from 'vitest'
import { FreshetError } from '../../../src/errors.ts'
import { parseReport } from '../../../src/streams/controller-reports.ts'

const raw = (key: string, body: Record<string, unknown>, generation = 'g1') => {
  const [role, kind] = key.split('/') as [string, string]
  return { role, kind, generation, body, instance: 'one', atMs: 1 }
}
const learned = { partition: 0, offset: 3, eventTimeMs: 1.5 }
const lineage = { generation: 'g1', learnedThrough: [learned], isLoaded: true }
const cut = { day: '2026-01-31', examples: [1], items: [2] }
const training = { day: '2026-01-31', share: 0.5, etaMs: null }
const trained = { day: '2026-01-31', parent: null, verdict: 'ungated', why: 'small' }
const indexed = { revision: 1, items: 2, recall: 0.99 }
const request = { action: 'rollback', id: 'x', live: 'g0' }

test.each([
  ['compactor/cut', cut],
  ['compactor/training', training],
  ['compactor/trained', trained],
  ['indexer/indexed', indexed],
  ['recall/loaded', { verified: ['g0', 'g1'] }],
  ['learner/learned', { lineages: [lineage] }],
  ['operator/request', request],
])('%s is read, and what it holds besides is left out', (key, body) => {
  expect(parseReport(raw(key, { ...body, more: 1 }))).toEqual(raw(key, body))
})

test.each(['compactor/archived', 'indexer/indexing', 'joiner/cut', 'controller/controlling'])(
  '%s is none of the controller’s business',
  (key) => expect(parseReport(raw(key, {}))).toBeNull(),
)

test.each([
  ['compactor/cut', { ...cut, day: '2026-02-30' }, 'day: found "2026-02-30"'],
  ['compactor/cut', { ...cut, examples: [1, -1] }, 'examples[1]: found -1'],
  ['compactor/cut', { ...cut, items: undefined }, 'items: found nothing'],
  ['compactor/training', { ...training, share: 1.1 }, 'share: found 1.1'],
  ['compactor/training', { ...training, etaMs: 'soon' }, 'etaMs: found "soon"'],
  ['compactor/trained', { ...trained, verdict: 'good' }, 'verdict: found "good"'],
  ['compactor/trained', { ...trained, parent: 7 }, 'parent: found 7'],
  ['indexer/indexed', { ...indexed, revision: 1.5 }, 'revision: found 1.5'],
  ['indexer/indexed', { ...indexed, recall: NaN }, 'recall: found NaN'],
  ['recall/loaded', { verified: 'g1' }, 'verified: found "g1"'],
  ['recall/loaded', { verified: [null] }, 'verified[0]: found null'],
  ['learner/learned', { lineages: [7] }, 'lineages[0]: found 7'],
  ['learner/learned', { lineages: [{ ...lineage, isLoaded: 1 }] }, 'lineages[0].isLoaded: found 1'],
  [
    'learner/learned',
    { lineages: [{ ...lineage, learnedThrough: [{ ...learned, offset: '3' }] }] },
    'lineages[0].learnedThrough[0].offset: found "3"',
  ],
  ['operator/request', { ...request, action: 'delete' }, 'action: found "delete"'],
])('%s with %j is refused by field and value', (key, body, message) => {
  const read = () => parseReport(raw(key, body))
  expect(read).toThrow(FreshetError)
  expect(read).toThrow(message)
})

test('a generation id becomes part of paths, so it is checked', () => {
  for (const id of ['', '../etc', 'a b']) {
    expect(() => parseReport(raw('compactor/trained', trained, id))).toThrow('generation: found')
  }
})
