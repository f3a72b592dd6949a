import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileDecoder, compileEncoder } from '../../../src/records/avro-general.ts'
import {
  decodeEvent,
  decodeEventHead,
  decodeExample,
  decodeExampleHead,
  decodeFeatures,
  decodeItem,
  decodeOverride,
  decodeRecallRequest,
  encodeEvent,
  encodeExample,
  encodeFeatures,
  encodeItem,
} from '../../../src/records/codec.ts'
import { singleObjectHeader } from '../../../src/records/fingerprint.ts'
import { array, map, record, type AvroSchema } from '../../../src/records/schema-parts.ts'
import { olderSchemas } from '../../../src/records/schema-history.ts'
import { topicSchemas } from '../../../src/records/schemas.ts'
import { noFeatures } from '../../../src/records/types.ts'
import { event, example, features, text } from './arbitraries.ts'

/**
 * Goal: whatever bytes come, a decoder returns or throws a FreshetError of two codes; it neither crashes, hangs nor allocates
 * by what the bytes merely claim. Method: random bytes behind every header, and valid values with bytes changed, cut or added.
 */

const decoders: [string, Buffer, (value: Buffer) => unknown][] = [
  ['event', singleObjectHeader(topicSchemas.events), decodeEvent],
  ['event head', singleObjectHeader(topicSchemas.events), decodeEventHead],
  ['event of 1.0', singleObjectHeader(olderSchemas.events[0]), decodeEvent],
  ['example', singleObjectHeader(topicSchemas.examples), decodeExample],
  ['example head of 1.0', singleObjectHeader(olderSchemas.examples[0]), decodeExampleHead],
  ['features', Buffer.alloc(0), decodeFeatures],
  ['item', singleObjectHeader(topicSchemas.items), decodeItem],
  ['override', singleObjectHeader(topicSchemas.overrides), decodeOverride],
  ['recall request', singleObjectHeader(topicSchemas.recallRequests), decodeRecallRequest],
]

/** Bytes that mean something: small numbers, signs, ends of integers. */
const byte = fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 0x7f, 0x80, 0xff), fc.nat(255))
const randomBytes = fc.array(byte, { maxLength: 200 }).map((bytes) => Buffer.from(bytes))

test.each(decoders)('random bytes: %s', (_, header, decode) => {
  fc.assert(
    fc.property(randomBytes, (bytes) => refusesOrReturns(decode, Buffer.concat([header, bytes]))),
    { numRuns: 2_000 },
  )
})

test.each([
  ['event', event.map(encodeEvent), decodeEvent],
  ['event head', event.map(encodeEvent), decodeEventHead],
  ['example', example.map(encodeExample), decodeExample],
  ['features', features.map(encodeFeatures), decodeFeatures],
  [
    'item',
    fc.record({ itemId: text, title: text, createdAtMs: fc.nat(), features }).map(encodeItem),
    decodeItem,
  ],
] as [string, fc.Arbitrary<Buffer>, (value: Buffer) => unknown][])(
  'changed bytes: %s',
  (_, values, decode) => {
    const change = fc.record({ at: fc.double({ min: 0, max: 0.999, noNaN: true }), byte })
    const changed = fc
      .tuple(
        values,
        fc.array(change, { minLength: 1, maxLength: 3 }),
        fc.constantFrom(-3, -1, 0, 2),
      )
      .map(([value, changes, longer]) => withChanges(value, changes, longer))
    fc.assert(
      fc.property(changed, (value) => refusesOrReturns(decode, value)),
      { numRuns: 2_000 },
    )
  },
)

const tree: AvroSchema = record('Tree', [
  { name: 'nothing', type: array('null') },
  { name: 'label', type: { type: 'enum', name: 'Label', symbols: ['A', 'B'] } },
  { name: 'hash', type: { type: 'fixed', name: 'Hash', size: 2 } },
  { name: 'is_leaf', type: 'boolean' },
  { name: 'children', type: array('Tree') },
  { name: 'other', type: ['null', 'Tree', map('Tree')] },
])

test('random bytes by any schema, recursive and with items that take no bytes', () => {
  const decode = compileDecoder(tree, { areLongsRounded: true })
  fc.assert(
    fc.property(randomBytes, (bytes) => refusesOrReturns((value) => decode(value, 0), bytes)),
    { numRuns: 5_000 },
  )
})

test('a count of 30 million nulls in five bytes is refused at once', () => {
  const decode = compileDecoder(array('null'))
  expect(() => decode(Buffer.from('8088ceb91c00', 'hex'), 0)).toThrow(
    expect.objectContaining({ code: 'RECORD_UNDECODABLE' }),
  )
})

test('many blocks of nulls, each within the bytes left, do not add up', () => {
  const block = Buffer.from('fe7f', 'hex') // 8191 items
  const value = Buffer.concat([...Array.from({ length: 50_000 }, () => block), Buffer.alloc(1)])
  expect(() => compileDecoder(array('null'))(value, 0)).toThrow(/a block of 8191 is too long/)
})

test('nesting has an end', () => {
  const list = record('List', [{ name: 'next', type: ['null', 'List'] }])
  const decode = compileDecoder(list)
  expect(decode(Buffer.from([...Array<number>(50).fill(2), 0]), 0)).toHaveProperty('next')
  expect(() => decode(Buffer.from([...Array<number>(100_000).fill(2), 0]), 0)).toThrow(
    'nested deeper than 64',
  )
})

test('the key __proto__ is a key like any other, in both decoders', () => {
  const categorical = new Map([
    ['__proto__', ['x']],
    ['a', ['y']],
  ])
  const odd = { categorical, numeric: new Map([['__proto__', 1]]), dense: new Map() }
  expect(decodeFeatures(encodeFeatures(odd))).toEqual(odd)
  const value = encodeItem({ itemId: 'a', title: '', createdAtMs: 0, features: odd })
  expect(decodeItem(value).features).toEqual(odd)
  const foreign = map('string')
  const bytes = compileEncoder(foreign)(new Map([['__proto__', 'x']]))
  expect(compileDecoder(foreign)(bytes, 0)).toEqual(new Map([['__proto__', 'x']]))
})

test('bytes after the features are refused where the features are decoded', () => {
  const longer = Buffer.concat([encodeFeatures(noFeatures), Buffer.alloc(1)])
  expect(() => decodeFeatures(longer)).toThrow('1 bytes follow its end')
})

test('what is wrong is named with its place', () => {
  const value = encodeEvent({
    kind: 'click',
    requestId: 'r1',
    userId: 'u1',
    itemId: 'a',
    eventTimeMs: 1,
    action: 'click',
    weight: 1,
  })
  const cases: [Buffer, string, string][] = [
    [
      value.subarray(0, -1),
      'RECORD_UNDECODABLE',
      'Avro: weight at byte 26 of 33: 8 bytes expected, 7 left',
    ],
    [
      withByte(value, 11, 0x40),
      'RECORD_UNDECODABLE',
      'Avro: request_id at byte 11 of 34: a length of 32 does not fit',
    ],
    [withByte(value, 10, 8), 'RECORD_UNDECODABLE', 'Avro: event at byte 10 of 34: choice 4 of 3'],
    [Buffer.concat([value, Buffer.alloc(3)]), 'RECORD_UNDECODABLE', '3 bytes follow its end'],
    [value.subarray(0, 9), 'RECORD_UNDECODABLE', 'header (c3 01 + fingerprint) expected at byte 0'],
    [Buffer.from('{"a":1}'), 'RECORD_UNDECODABLE', 'event: Avro single-object header'],
    [withByte(value, 2, value[2]! ^ 1), 'SCHEMA_UNKNOWN', 'is not a known version of event'],
  ]
  for (const [bytes, code, message] of cases) {
    expect(() => decodeEventHead(bytes)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) as string }),
    )
  }
})

function refusesOrReturns(decode: (value: Buffer) => unknown, value: Buffer): void {
  try {
    decode(value)
  } catch (error) {
    expect(error).toMatchObject({ name: 'FreshetError' })
    expect(['RECORD_UNDECODABLE', 'SCHEMA_UNKNOWN']).toContain((error as { code: string }).code)
  }
}

function withChanges(
  value: Buffer,
  changes: readonly { readonly at: number; readonly byte: number }[],
  longer: number,
): Buffer {
  const changed = Buffer.concat([value, Buffer.alloc(Math.max(0, longer))])
  for (const { at, byte } of changes) changed[Math.floor(at * changed.length)] = byte
  return changed.subarray(0, changed.length + Math.min(0, longer))
}

function withByte(value: Buffer, at: number, byte: number): Buffer {
  const changed = Buffer.from(value)
  changed[at] = byte
  return changed
}
