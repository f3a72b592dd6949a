import fc from 'fast-check'
// @ts-expect-error kafkajs exports its partitioner with types, but the hash behind it without.
import untyped from 'kafkajs/src/producer/partitioners/default/murmur2.js'
import { expect, test } from 'vitest'
import { murmur2, partitionOf } from '../../../src/records/partition.ts'

const kafkajsMurmur2 = untyped as (key: string) => number

test('murmur2 gives the values of the tests of the Java client', () => {
  const vectors: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ]
  for (const [text, hash] of vectors) expect(murmur2(Buffer.from(text))).toBe(hash)
})

test('murmur2 and the partition are those of kafkajs for any user id', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 1024 }), (id, count) => {
      const hash = kafkajsMurmur2(id)
      expect(murmur2(Buffer.from(id))).toBe(hash)
      expect(partitionOf(id, count)).toBe((hash & 0x7fffffff) % count)
    }),
    { numRuns: 500 },
  )
})
