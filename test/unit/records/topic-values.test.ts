import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeControlDocument,
  decodeDeadLetter,
  decodeItem,
  decodeOverride,
  decodeRecallReply,
  decodeRecallRequest,
  decodeReport,
  encodeControlDocument,
  encodeDeadLetter,
  encodeItem,
  encodeOverride,
  encodeRecallReply,
  encodeRecallRequest,
  encodeReport,
} from '../../../src/records/codec.ts'
import { topicSchemas } from '../../../src/records/schemas.ts'
import { topicValues } from '../../../src/records/topic-values.ts'
import type { ControlDocument, Item, RecallStatus } from '../../../src/records/types.ts'
import { features, float, text } from './arbitraries.ts'

const nullable = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null })
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
const timeMs = fc.integer({ min: 0, max: 4_000_000_000_000 })
const item = fc.record({ itemId: text, title: text, createdAtMs: timeMs, features })
const override = fc.record({
  kind: fc.constant('override' as const),
  generation: text,
  sequence: fc.nat(),
  itemId: text,
  vector: nullable(fc.float32Array({ maxLength: 70 })),
  eventTimeMs: timeMs,
})
const setEnd = fc.record({
  kind: fc.constant('set-end' as const),
  generation: text,
  sequence: fc.nat(),
  count: fc.nat(),
  eventTimeMs: timeMs,
})
const deadLetter = fc.record({
  sourceTopic: text,
  partition: fc.nat(),
  offset: fc.maxSafeNat().map((offset) => Math.min(offset, 2 ** 52)),
  code: text,
  message: text,
  role: text,
  original: bytes,
  originalKey: nullable(bytes),
})
const recallRequest = fc.record({
  correlationId: text,
  userId: text,
  features,
  k: fc.nat(),
  scenario: text,
  exclude: fc.array(text),
  filter: nullable(fc.record({ feature: text, values: fc.array(text) })),
  timeoutMs: fc.nat(),
  replyTopic: text,
  replyPartition: fc.nat(),
  withTitles: fc.boolean(),
})
const recallReply = fc.record({
  correlationId: text,
  status: fc.constantFrom<RecallStatus>('OK', 'COLD_USER', 'DEGRADED', 'INVALID'),
  message: text,
  items: fc.array(fc.record({ itemId: text, score: float, title: text })),
  generation: text,
  overrideSequence: fc.nat(),
  userEventTimeMs: timeMs,
  userOffset: nullable(fc.integer({ min: -1 })),
  learnedThroughMs: timeMs,
})
const report = fc.record({
  role: text,
  instance: text,
  kind: text,
  generation: text,
  atMs: timeMs,
  body: fc.constantFrom({}, { partition: 3, through: { offset: 17 }, names: ['a', null] }),
})

test.each([
  ['item', item, encodeItem, decodeItem],
  ['override', override, encodeOverride, decodeOverride],
  ['end of an override set', setEnd, encodeOverride, decodeOverride],
  ['dead letter', deadLetter, encodeDeadLetter, decodeDeadLetter],
  ['recall request', recallRequest, encodeRecallRequest, decodeRecallRequest],
  ['recall reply', recallReply, encodeRecallReply, decodeRecallReply],
  ['report', report, encodeReport, decodeReport],
] as [string, fc.Arbitrary<unknown>, (value: unknown) => Buffer, (value: Buffer) => unknown][])(
  'a value comes back as it went in: %s',
  (_, arbitrary, encode, decode) => {
    fc.assert(
      fc.property(arbitrary, (value) => {
        expect(plain(decode(encode(value)))).toEqual(value)
      }),
    )
  },
)

test('the control document comes back as it went in', () => {
  const control: ControlDocument = {
    epoch: 7,
    live: 'g2',
    candidate: null,
    previous: 'g1',
    kept: ['g0'],
    cuts: { '2026-01-01': [10, 0, 2 ** 40], '2026-01-02': [] },
    catalogueCuts: { '2026-01-01': [7] },
    states: { g1: 'retired', g2: 'live' },
    liveSinceMs: 9,
  }
  expect(decodeControlDocument(encodeControlDocument(control))).toEqual(control)
})

test('the vector of an override is little-endian float32', () => {
  const value = encodeOverride({
    kind: 'override',
    generation: 'g',
    sequence: 1,
    itemId: 'a',
    vector: Float32Array.of(1, -0.5),
    eventTimeMs: 0,
  })
  expect(value.toString('hex', 10)).toContain('0000803f000000bf')
})

test('a vector with half a float, and a report whose body is no object, are refused', () => {
  const overrides = topicValues('override', topicSchemas.overrides)
  const vector = Buffer.alloc(7)
  const record = { generation: 'g', sequence: 1, item_id: 'a', vector, event_time: 0 }
  expect(() => decodeOverride(overrides.encode({ 'freshet.Override': record }))).toThrow(
    expect.objectContaining({
      code: 'RECORD_UNDECODABLE',
      message: 'vector: 7 bytes are not a whole number of float32',
    }),
  )
  const reports = topicValues('report', topicSchemas.reports)
  for (const body of ['[]', 'null', '1', '{']) {
    const value = reports.encode({ role: '', instance: '', kind: '', generation: '', at: 0, body })
    expect(() => decodeReport(value)).toThrow(
      expect.objectContaining({ code: 'RECORD_UNDECODABLE' }),
    )
  }
})

test('a value that does not fit its schema is refused by field', () => {
  const item = { itemId: 'a', title: 3, createdAtMs: 0, features: {} } as unknown as Item
  expect(() => encodeItem(item)).toThrow(
    expect.objectContaining({
      code: 'RECORD_INVALID',
      message: 'Avro: title: found 3, expected string',
    }),
  )
})

test('a value of another topic is refused with its fingerprint', () => {
  const value = encodeReport({
    role: '',
    instance: '',
    kind: '',
    generation: '',
    atMs: 0,
    body: {},
  })
  expect(() => decodeItem(value)).toThrow(
    expect.objectContaining({
      code: 'SCHEMA_UNKNOWN',
      message: expect.stringMatching(
        /fingerprint [0-9a-f]{16} is not a known version of item/,
      ) as string,
    }),
  )
})

/** Without the classes that avsc makes for records. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  const isRecord = typeof value === 'object' && value !== null && !Buffer.isBuffer(value)
  if (!isRecord || value instanceof Map || value instanceof Float32Array) return value
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]))
}
