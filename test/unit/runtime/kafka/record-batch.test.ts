import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  codecNamed,
  codecOf,
  codecsReady,
  type CompressionName,
} from '../../../../src/runtime/kafka/codecs.ts'
import { decodeRecordSet } from '../../../../src/runtime/kafka/record-batch-decode.ts'
import {
  encodeRecordBatch,
  type BatchHeader,
} from '../../../../src/runtime/kafka/record-batch-encode.ts'
import type { SinkRecord } from '../../../../src/streams/stage.ts'

const names: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

const header: BatchHeader = {
  producerId: 12_345_678_901,
  producerEpoch: 3,
  firstSequence: 7,
  isTransactional: false,
  codec: null,
}

const bytes = fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b))
const recordOf = fc.record({
  topic: fc.constant('t'),
  key: fc.option(bytes, { nil: null }),
  value: fc.option(bytes, { nil: null }),
  timestampMs: fc.integer({ min: 0, max: 2 ** 44 }),
})

/** The broker writes the offset of the first record into the batch. */
function at(batch: Buffer, offset: number): Buffer {
  const copy = Buffer.from(batch)
  copy.writeBigInt64BE(BigInt(offset))
  return copy
}

function plain(count: number, isTransactional = false, producerId = 1): Buffer {
  const records = Array.from({ length: count }, (_, i): SinkRecord => ({
    topic: 't',
    key: null,
    value: Buffer.from(String(i)),
    timestampMs: i,
  }))
  return encodeRecordBatch(records, { ...header, isTransactional, producerId })
}

/** A control batch as a coordinator writes it: one record with key [version 0, type]. */
function marker(type: 'commit' | 'abort', producerId: number): Buffer {
  const key = Buffer.from([0, 0, 0, type === 'commit' ? 1 : 0])
  const record: SinkRecord = { topic: 't', key, value: Buffer.alloc(6), timestampMs: 0 }
  const batch = encodeRecordBatch([record], { ...header, isTransactional: true, producerId })
  batch.writeInt16BE(batch.readInt16BE(21) | 0x20, 21)
  return batch
}

test.each(names)(
  'records compressed with %s come back as they were, at any offset',
  async (name) => {
    await codecsReady()
    const codec = codecNamed(name)
    fc.assert(
      fc.property(
        fc.array(recordOf, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 0, max: 2 ** 48 }),
        (records, offset) => {
          const batch = at(encodeRecordBatch(records, { ...header, codec }), offset)
          const decoded = decodeRecordSet(batch, 't', 5, offset, [])
          expect(decoded.nextOffset).toBe(offset + records.length)
          expect(decoded.records).toEqual(
            records.map(({ key, value, timestampMs }, i) => ({
              ...{ topic: 't', partition: 5, offset: offset + i, timestampMs, key, value },
            })),
          )
        },
      ),
      { numRuns: 60 },
    )
  },
)

test('reading from inside a batch leaves out what is before', () => {
  const { records, nextOffset } = decodeRecordSet(at(plain(10), 100), 't', 0, 107, [])
  expect(records.map((r) => r.offset)).toEqual([107, 108, 109])
  expect(nextOffset).toBe(110)
})

test('an incomplete batch at the end waits for the next fetch', () => {
  const set = Buffer.concat([at(plain(3), 0), at(plain(3), 3).subarray(0, 70)])
  const { records, nextOffset } = decodeRecordSet(set, 't', 0, 0, [])
  expect([records.length, nextOffset]).toEqual([3, 3])
})

test('an aborted transaction and control records are passed over, records of others between them are not', () => {
  const set = Buffer.concat([
    at(plain(2, true, 7), 0),
    at(plain(2, true, 8), 2),
    at(marker('abort', 7), 4),
    at(plain(1, true, 7), 5),
    at(marker('commit', 8), 6),
    at(marker('commit', 7), 7),
  ])
  const { records, nextOffset } = decodeRecordSet(set, 't', 0, 0, [
    { producerId: 7, firstOffset: 0 },
  ])
  expect(records.map((r) => r.offset)).toEqual([2, 3, 5])
  expect(nextOffset).toBe(8)
})

test('a batch that compaction emptied still moves the position', () => {
  const batch = at(plain(4), 20)
  const empty = Buffer.from(batch.subarray(0, 61))
  empty.writeInt32BE(61 - 12, 8)
  empty.writeInt32BE(0, 57)
  expect(decodeRecordSet(empty, 't', 0, 20, [])).toEqual({ records: [], nextOffset: 24 })
})

test('snappy is read in the framing of Java clients too', () => {
  const snappy = codecOf(2)!
  const [a, b] = [Buffer.from('first block '), Buffer.from('second block')]
  const framed = Buffer.concat([
    Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]),
    ...[a, b].flatMap((block) => {
      const compressed = snappy.compress(block)
      const length = Buffer.alloc(4)
      length.writeUInt32BE(compressed.length)
      return [length, compressed]
    }),
  ])
  expect(snappy.decompress(framed).toString()).toBe('first block second block')
})

test('an unknown compression is named', () => {
  expect(() => codecOf(6)).toThrow(/compression 6/)
})
