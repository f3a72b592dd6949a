import { expect, test } from 'vitest'
import { describeDemoClick } from '../../../src/cli/demo-click.ts'
import type { RecallResult } from '../../../src/runtime/recall-client.ts'

function reply(ids: readonly string[]): RecallResult {
  return {
    ...{ status: 'OK', message: '', generation: 'g', overrideSequence: 1, latencyMs: 1 },
    ...{ userEventTime: null, userOffset: null, learnedThrough: null },
    items: ids.map((itemId) => ({
      itemId,
      score: 0.5,
      title: itemId === 'a' ? 'Blue island' : '',
    })),
  }
}

test('what is new after the click is marked, and so is what was clicked', () => {
  const at = Date.UTC(2026, 0, 1, 12, 0, 3)
  const text = describeDemoClick({
    userId: '42',
    clicked: reply(['a']).items[0]!,
    ...{ clickedAtMs: at, seenAtMs: at + 400 },
    ...{ before: reply(['b', 'a', 'c']), after: reply(['b', 'c', 'new']) },
  })
  expect(text.split('\n').map((line) => line.trimEnd())).toEqual([
    '      before the click    after it (+ is new; what was clicked is left out)',
    '   1  b                   b',
    '>  2  Blue island         c',
    '   3  c                 + new',
    '',
    'user 42 clicked Blue island at 12:00:03.000; its recall changed at 12:00:03.400 (0.4 s)',
  ])
})
