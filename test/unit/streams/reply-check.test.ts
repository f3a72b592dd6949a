import { expect, test } from 'vitest'
import { checkReply, type PublishedGeneration } from '../../../src/streams/reply-check.ts'

/** Rows by offset; null: the default one. */
const rows = new Map<number | null, Float32Array>([
  [null, Float32Array.of(0, 1)],
  [-1, Float32Array.of(0.6, 0.8)],
  [7, Float32Array.of(1, 0)],
])
const vectors = new Map([
  ['a', [Float32Array.of(1, 0), Float32Array.of(0.8, 0.6)]],
  ['b', [Float32Array.of(0, 1)]],
])
const published: PublishedGeneration = {
  userAt: (offset) => Promise.resolve(rows.get(offset) ?? null),
  vectorsOf: (itemId) => vectors.get(itemId) ?? [],
}

function reply(userOffset: number | null, ...scores: readonly (readonly [string, number])[]) {
  return { userOffset, items: scores.map(([itemId, score]) => ({ itemId, score, title: '' })) }
}

test.each([
  ['an item as indexed', reply(7, ['a', 1], ['b', 0])],
  ['an item with an override', reply(7, ['a', 0.8])],
  ['the default row', reply(null, ['a', 0], ['b', 1])],
  ['a row as the generation came', reply(-1, ['a', 0.6], ['b', 0.8])],
  ['sums in another order', reply(7, ['a', 0.800004])],
  ['an empty reply', reply(7)],
])('explained: %s', async (_, checked) => {
  expect(await checkReply(checked, published)).toEqual({ outcome: 'explained' })
})

test.each([
  ['a vector of another generation', reply(7, ['a', 0.5], ['b', 0]), ['a']],
  ['another row than the one that is named', reply(7, ['a', 0], ['b', 1]), ['a', 'b']],
  ['a user row where the default one is named', reply(null, ['a', 1], ['b', 0]), ['a', 'b']],
  ['an item that the generation does not have', reply(7, ['c', 0]), ['c']],
])('mixed: %s', async (_, checked, items) => {
  expect(await checkReply(checked, published)).toEqual({ outcome: 'mixed', items })
})

test('of a row that is gone nothing can be said', async () => {
  expect(await checkReply(reply(8, ['a', 0.5]), published)).toEqual({ outcome: 'unknown row' })
})
