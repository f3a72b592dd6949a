import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assign, partitionsOf } from '../../../../src/runtime/kafka/assigners.ts'
import { partitionKey } from '../../../../src/runtime/ports.ts'

const members = fc.uniqueArray(fc.uuid(), { minLength: 1, maxLength: 6 })
const counts = fc
  .dictionary(fc.constantFrom('a', 'b', 'c'), fc.nat(12))
  .map((d) => new Map(Object.entries(d)))

test('every partition has one owner, whoever computes it', () => {
  fc.assert(
    fc.property(fc.constantFrom('modulo', 'all-to-first'), members, counts, (kind, ids, topics) => {
      const shares = assign(kind, ids, topics)
      const all = [...shares.values()].flatMap((share) => partitionsOf(share).map(partitionKey))
      const expected = [...topics].flatMap(([t, n]) =>
        Array.from({ length: n }, (_, p) => `${t}/${p}`),
      )
      expect(all.sort()).toEqual(expected.sort())
      expect(assign(kind, [...ids].reverse(), topics)).toEqual(shares)
    }),
  )
})

test("'modulo' keeps a partition number with one member over all topics", () => {
  const shares = assign(
    'modulo',
    ['m2', 'm1', 'm3'],
    new Map([
      ['a', 7],
      ['b', 4],
    ]),
  )
  expect([...shares]).toEqual([
    ['m1', { a: [0, 3, 6], b: [0, 3] }],
    ['m2', { a: [1, 4], b: [1] }],
    ['m3', { a: [2, 5], b: [2] }],
  ])
})

test("'all-to-first' leaves the others without partitions", () => {
  const shares = assign('all-to-first', ['m2', 'm1'], new Map([['a', 2]]))
  expect([...shares]).toEqual([
    ['m1', { a: [0, 1] }],
    ['m2', {}],
  ])
})
