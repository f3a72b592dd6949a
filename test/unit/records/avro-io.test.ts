import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AvroReader, AvroWriter } from '../../../src/records/avro-io.ts'

const nothing = Buffer.alloc(0)

/** Zigzag and base 128 by the specification, on big integers. */
function longBytes(value: number): Buffer {
  let rest = value < 0 ? -2n * BigInt(value) - 1n : 2n * BigInt(value)
  const bytes: number[] = []
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return Buffer.from([...bytes, Number(rest)])
}

function written(write: (writer: AvroWriter) => void): Buffer {
  const writer = new AvroWriter(1)
  writer.start(nothing)
  write(writer)
  return writer.finish()
}

test('integers to the last of 2^53 are written by the specification and read back', () => {
  const powers = Array.from({ length: 53 }, (_, bit) => 2 ** bit)
  const edges = powers.flatMap((p) => [p - 1, p, -p, -p - 1]).filter(Number.isSafeInteger)
  const extremes = [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]
  const integer = fc.oneof(fc.maxSafeInteger(), fc.constantFrom(...edges, ...extremes))
  fc.assert(
    fc.property(integer, (value) => {
      const bytes = written((writer) => writer.long(value))
      expect(bytes).toEqual(longBytes(value))
      expect(new AvroReader(bytes).long('n') + 0).toBe(value + 0)
    }),
    { numRuns: 2_000 },
  )
})

test('an integer that would lose its last digit is refused, as is one without an end', () => {
  const beyond = Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20])
  expect(() => new AvroReader(beyond).long('event_time')).toThrow(
    'Avro: event_time at byte 0 of 8: an integer is beyond 2^53',
  )
  expect(() => new AvroReader(Buffer.alloc(12, 0xff)).long('n')).toThrow('longer than 8 bytes')
  for (const length of [0, 1, 3, 4, 5, 7]) {
    expect(() => new AvroReader(Buffer.alloc(length, 0xff)).long('n')).toThrow('end inside')
  }
})

test('strings of any length and alphabet come back, and the buffer grows with them', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.string({ unit: 'grapheme-ascii', maxLength: 200 }),
  )
  fc.assert(
    fc.property(fc.array(text), (values) => {
      const bytes = written((writer) => writer.strings(values))
      const reader = new AvroReader(bytes)
      expect(reader.strings('items')).toEqual(values)
      reader.end()
    }),
  )
})

test('lengths and counts that the bytes cannot hold are refused before anything is allocated', () => {
  const huge = longBytes(2 ** 40)
  const cases: [(reader: AvroReader) => unknown, Buffer, string][] = [
    [
      (r) => r.string('user_id'),
      huge,
      'user_id at byte 0 of 6: a length of 1099511627776 does not',
    ],
    [(r) => r.string('user_id'), longBytes(-1), 'a length of -1 does not fit the 0 bytes left'],
    [(r) => r.strings('items'), huge, 'items at byte 0 of 6: a block of 1099511627776 does not'],
    [
      (r) => r.strings('items'),
      Buffer.concat([longBytes(-9), longBytes(0)]),
      'a block of 9 does not',
    ],
    [(r) => r.float('weight'), Buffer.alloc(3), 'weight at byte 0 of 3: 4 bytes expected, 3 left'],
    [(r) => r.double('weight'), Buffer.alloc(7), '8 bytes expected, 7 left'],
    [(r) => r.end(), Buffer.alloc(2), '2 bytes follow its end'],
  ]
  for (const [read, bytes, message] of cases) {
    expect(() => read(new AvroReader(bytes))).toThrow(
      expect.objectContaining({
        code: 'RECORD_UNDECODABLE',
        message: expect.stringContaining(message) as string,
      }),
    )
  }
})
