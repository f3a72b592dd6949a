import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeEvent,
  decodeEventHead,
  decodeEventPage,
  encodeEvent,
  encodeExample,
  encodeExampleOfPage,
} from '../../../src/records/codec.ts'
import { positionOnPage } from '../../../src/records/page.ts'
import { noFeatures, type Impression } from '../../../src/records/types.ts'
import * as arbitrary from './arbitraries.ts'

const page: Impression = {
  kind: 'impression',
  ...{ requestId: 'r', userId: 'u', eventTimeMs: 5, scenario: 'home', eliminated: ['x', 'yz'] },
  items: ['a', 'ab', 'é', 'e\u0301', '', '日本', 'a', '😀', 'A'],
  features: noFeatures,
}

function pageOf(impression: Impression): Buffer {
  const event = decodeEventPage(encodeEvent(impression))
  return event.kind === 'impression' ? event.page : expect.unreachable()
}

test('an item is found where it was shown first, by all of its name', () => {
  const bytes = pageOf(page)
  for (const item of [...page.items, 'b', 'abc', 'è', 'e', '日', '\ud83d', 'home', 'x', 'yz']) {
    expect([item, positionOnPage(bytes, item)]).toEqual([item, page.items.indexOf(item)])
  }
})

test('an example of a page is, to the byte, the example of what the page says', () => {
  fc.assert(
    fc.property(arbitrary.impression, fc.nat(100), (impression, at) => {
      const itemId = impression.items[at] ?? 'elsewhere'
      const bytes = pageOf(impression)
      const position = impression.items.indexOf(itemId)
      expect(positionOnPage(bytes, itemId)).toBe(position)
      const parts = {
        ...{ requestId: impression.requestId, userId: impression.userId, itemId },
        ...{ eventTimeMs: 7, impressionTimeMs: impression.eventTimeMs, position: at, weight: 0.5 },
      }
      const { scenario, eliminated: hardNegatives, features } = impression
      expect(encodeExampleOfPage(parts, bytes)).toEqual(
        encodeExample({ kind: 'example', ...parts, scenario, hardNegatives, features }),
      )
    }),
    { seed: 17 },
  )
})

test('clicks and heartbeats are decoded in full', () => {
  fc.assert(
    fc.property(fc.oneof(arbitrary.click, arbitrary.heartbeat), (event) => {
      expect(decodeEventPage(encodeEvent(event))).toEqual(decodeEvent(encodeEvent(event)))
    }),
    { seed: 17 },
  )
})

test('what the head refuses is refused as a page, and nothing else', () => {
  const whole = encodeEvent({ ...page, features: { ...noFeatures, numeric: new Map([['n', 1]]) } })
  const refusal = (decode: (value: Buffer) => unknown, value: Buffer): string => {
    try {
      decode(value)
      return 'taken'
    } catch (error) {
      return String(error)
    }
  }
  const refusals = new Set<string>()
  for (let length = 0; length < whole.length; length++) {
    const cut = whole.subarray(0, length)
    const said = refusal(decodeEventHead, cut)
    expect(refusal(decodeEventPage, cut)).toBe(said)
    refusals.add(said)
  }
  expect(refusals.size).toBeGreaterThan(10)
})
