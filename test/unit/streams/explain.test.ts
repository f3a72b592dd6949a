import { describe, expect, test } from 'vitest'
import type { Click, Example, Impression } from '../../../src/records/types.ts'
import { noFeatures } from '../../../src/records/types.ts'
import { explainClicks, explainItem, type ItemFacts } from '../../../src/streams/explain.ts'

function click(requestId: string, itemId: string): Click {
  const rest = { eventTimeMs: 5, action: 'click', weight: 1 }
  return { kind: 'click', requestId, userId: 'u', itemId, ...rest }
}

function page(requestId: string): Impression {
  const rest = { eventTimeMs: 1, scenario: '', eliminated: [], features: noFeatures }
  return { kind: 'impression', requestId, userId: 'u', items: ['a', 'b'], ...rest }
}

function joined(requestId: string, itemId: string, offset: number) {
  const { kind: _, action: _a, ...rest } = click(requestId, itemId)
  const example: Example = {
    ...{ ...rest, kind: 'example', impressionTimeMs: 1, position: 0, scenario: '' },
    ...{ hardNegatives: [], features: noFeatures },
  }
  return at(example, offset)
}

function at<T>(record: T, offset = 0) {
  return { partition: 0, offset, arrivedMs: 6, record }
}

test('each click has one fate, the newest first', () => {
  const clicks = [
    click('r1', 'a'),
    click('r1', 'a'),
    click('r1', 'b'),
    click('r2', 'a'),
    click('r3', 'z'),
    click('r4', 'a'),
  ]
  const letter = { code: 'CLICK_NOT_ON_PAGE', message: 'item z is not on the page' }
  const explained = explainClicks(
    {
      impressions: [page('r1'), page('r2'), page('r3')].map((record) => at(record)),
      clicks: clicks.map((record) => at(record)),
      examples: [joined('r1', 'a', 7), joined('r1', 'b', 8)],
      refused: [{ letter, event: clicks[4]! }],
    },
    { rowOffset: 7, trainedOffset: 0 },
  )
  expect(
    explained.map(({ click: { requestId, itemId }, fate }) => [requestId, itemId, fate]),
  ).toEqual([
    ['r4', 'a', { kind: 'waiting for its impression' }],
    ['r3', 'z', { kind: 'refused', ...letter }],
    ['r2', 'a', { kind: 'undecided' }],
    ['r1', 'b', { kind: 'joined', offset: 8 }],
    ['r1', 'a', { kind: 'repeated' }],
    ['r1', 'a', { kind: 'learnt', offset: 7 }],
  ])
})

test('without a row nothing is learnt', () => {
  const records = { impressions: [], clicks: [at(click('r', 'a'))], refused: [] }
  const all = { ...records, examples: [joined('r', 'a', 0)] }
  expect(explainClicks(all, { rowOffset: null, trainedOffset: 9 })[0]!.fate.kind).toBe('joined')
})

test('a row that came with the generation has what its full update has learnt', () => {
  const records = { impressions: [], clicks: [at(click('r', 'a'))], refused: [] }
  const all = { ...records, examples: [joined('r', 'a', 5)] }
  expect(explainClicks(all, { rowOffset: -1, trainedOffset: 6 })[0]!.fate.kind).toBe('learnt')
  expect(explainClicks(all, { rowOffset: -1, trainedOffset: 5 })[0]!.fate.kind).toBe('joined')
})

describe('an item', () => {
  const known: ItemFacts = {
    ...{ isInCatalogue: true, isWithdrawn: false, isRecentClick: false },
    ...{ place: null, asked: 100, standing: { score: 0.1, rank: 357 } },
  }
  test.each<[string, Partial<ItemFacts>, string]>([
    ['in the reply', { place: 4 }, 'at place 4'],
    ['withdrawn', { isWithdrawn: true, standing: null }, 'withdrawn'],
    ['clicked lately', { isRecentClick: true }, 'recall.excludeRecentClicks'],
    ['too far away', {}, '356 items are closer'],
    ['missed by the index', { standing: { score: 0.9, rank: 3 } }, 'exact rank is 3'],
    ['new, without a vector', { standing: null }, 'no vector yet'],
    ['unknown', { isInCatalogue: false, standing: null }, 'nobody knows it'],
    ['not to be told here', { standing: 'unknown' }, 'artifacts.dir'],
  ])('%s', (_, facts, why) => {
    expect(explainItem({ ...known, ...facts })).toContain(why)
  })
})
