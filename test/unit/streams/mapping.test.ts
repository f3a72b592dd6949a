import avsc from 'avsc'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileEncoder } from '../../../src/records/avro-general.ts'
import { singleObjectHeader } from '../../../src/records/fingerprint.ts'
import { jsonOf } from '../../../src/records/json.ts'
import { olderSchemas } from '../../../src/records/schema-history.ts'
import { topicSchemas } from '../../../src/records/schemas.ts'
import type { Click, Impression } from '../../../src/records/types.ts'
import { compileMapping, type MappingOptions } from '../../../src/streams/mapping.ts'
import type { SourceRecord } from '../../../src/streams/stage.ts'
import { features } from '../records/arbitraries.ts'

const timeMs = 1_700_000_000_000

const impression = {
  request_id: 'r1',
  user_id: 'u1',
  event_time: timeMs,
  scenario: 'home',
  items: ['a', 'b', 'c'],
  eliminated: ['x'],
  features: {
    categorical: { device: 'phone', genres: ['drama', 'war'] },
    numeric: { age: 34 },
    dense: { taste: [0.5, -1] },
  },
}

const mappedImpression: Impression = {
  kind: 'impression',
  requestId: 'r1',
  userId: 'u1',
  eventTimeMs: timeMs,
  scenario: 'home',
  items: ['a', 'b', 'c'],
  eliminated: ['x'],
  features: {
    categorical: new Map([
      ['device', ['phone']],
      ['genres', ['drama', 'war']],
    ]),
    numeric: new Map([['age', 34]]),
    dense: new Map([['taste', [0.5, -1]]]),
  },
}

const click = { request_id: 'r1', user_id: 'u1', item_id: 'b', event_time: timeMs }

const mappedClick: Click = {
  kind: 'click',
  requestId: 'r1',
  userId: 'u1',
  itemId: 'b',
  eventTimeMs: timeMs,
  action: 'click',
  weight: 1,
}

function mapping(record: 'impression' | 'click', options: Partial<MappingOptions> = {}) {
  const defaults = {
    format: 'auto',
    fields: {},
    futureSkewMs: 60_000,
    recordBytesMax: 1_000_000,
  } as const
  return compileMapping({ record, ...defaults, ...options })
}

function recordOf(value: Buffer | null, contentType?: string): SourceRecord {
  return {
    topic: 'source',
    partition: 0,
    offset: 0,
    timestampMs: timeMs + 1_000,
    key: null,
    value,
    ...(contentType === undefined ? {} : { headers: { 'content-type': contentType } }),
  }
}

function json(value: unknown): SourceRecord {
  return recordOf(Buffer.from(JSON.stringify(value)))
}

function refusal(code: string, message: string): unknown {
  return expect.objectContaining({ code, message: expect.stringContaining(message) as string })
}

test('the documented JSON is mapped as it stands', () => {
  expect(mapping('impression')(json(impression))).toEqual(mappedImpression)
  expect(mapping('click')(json(click))).toEqual(mappedClick)
  expect(mapping('click')(json({ ...click, action: 'play', weight: 2.5 }))).toEqual({
    ...mappedClick,
    action: 'play',
    weight: 2.5,
  })
})

test('what may be left out is empty, and keys that mean nothing are ignored', () => {
  const { request_id, user_id, event_time, items } = impression
  const bare = { request_id, user_id, event_time, items, session: { id: 1 } }
  const none = { categorical: new Map(), numeric: new Map(), dense: new Map() }
  const expected = { ...mappedImpression, scenario: '', eliminated: [], features: none }
  expect(mapping('impression')(json(bare))).toEqual(expected)
  const nulls = { ...bare, scenario: null, eliminated: null, features: { numeric: { age: null } } }
  expect(mapping('impression')(json(nulls))).toEqual(expected)
})

test('numeric ids become strings, and an item shown twice counts where it was first', () => {
  const numeric = { ...impression, request_id: 7, user_id: 0, items: [3, '4', 3, 4, 5] }
  expect(mapping('impression')(json(numeric))).toMatchObject({
    requestId: '7',
    userId: '0',
    items: ['3', '4', '5'],
  })
  const long = Array.from({ length: 100 }, (_, i) => `item-${i % 60}`)
  expect(mapping('impression')(json({ ...impression, items: long }))).toMatchObject({
    items: long.slice(0, 60),
  })
})

test('ISO times need no unit', () => {
  const cases: [string, number][] = [
    ['2023-11-14T22:13:20Z', timeMs],
    ['2023-11-14T22:13:20.250Z', timeMs + 250],
    ['2023-11-14T23:13:20+01:00', timeMs],
    ['2023-11-14T22:13:20.123456Z', timeMs + 123],
  ]
  for (const [event_time, eventTimeMs] of cases) {
    expect(mapping('click')(json({ ...click, event_time })).eventTimeMs).toBe(eventTimeMs)
  }
})

test('any impression or click comes back from its documented JSON', () => {
  const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter(isId)
  const ids = (minLength: number) => fc.uniqueArray(id, { minLength, maxLength: 50 })
  const arbitrary: fc.Arbitrary<Impression> = fc.record({
    kind: fc.constant('impression' as const),
    requestId: id,
    userId: id,
    eventTimeMs: fc.integer({ min: 0, max: timeMs }),
    scenario: fc.string({ maxLength: 60 }),
    items: ids(1),
    eliminated: ids(0),
    features,
  })
  fc.assert(
    fc.property(arbitrary, (expected) => {
      const mapped = mapping('impression')(json(jsonOf(expected))) as Impression
      // JSON has no order of keys that are integers, and no -0: compare what the features say.
      expect(withoutFeatures(mapped)).toEqual(withoutFeatures(expected))
      expect(asJson(mapped)).toEqual(asJson(expected))
    }),
  )
})

test.each([
  ['request_id', undefined, 'request_id: found nothing, expected a non-empty string'],
  ['request_id', '', 'request_id: found "", expected a non-empty string of at most 256 bytes'],
  ['user_id', null, 'user_id: found null'],
  ['user_id', 1.5, 'user_id: found 1.5'],
  ['user_id', 2 ** 60, 'user_id: found 1152921504606847000, expected'],
  ['user_id', { id: 1 }, 'user_id: found an object'],
  ['user_id', 'x'.repeat(257), `user_id: found "${'x'.repeat(40)}…" (257 characters)`],
  ['user_id', 'ü'.repeat(129), '(129 characters)'],
  ['event_time', undefined, 'event_time: found nothing, expected an integer of milliseconds'],
  ['event_time', 'yesterday', 'event_time: found "yesterday"'],
  ['event_time', '2023-11-14T22:13:20', 'ISO 8601 with a zone'],
  ['event_time', '2023-11-14T22:13:20Z (noon)', 'ISO 8601 with a zone'],
  ['event_time', 0.5, 'event_time: found 0.5'],
  ['event_time', -1, 'event_time: found -1'],
  ['event_time', 1e20, 'event_time: found 100000000000000000000'],
  ['scenario', ['home'], 'scenario: found an array of 1, expected a string'],
  ['items', undefined, 'items: found nothing, expected an array of 1 to 10000 ids'],
  ['items', [], 'items: found an array of 0'],
  ['items', 'a,b', 'items: found "a,b"'],
  ['items', Array.from({ length: 10_001 }, (_, i) => i), 'items: found an array of 10001'],
  ['items', ['a', null], 'items[1]: found null, expected a non-empty string'],
  ['items', ['a', 'b', ['c']], 'items[2]: found an array of 1'],
  ['eliminated', 'x', 'eliminated: found "x", expected an array of 0 to 10000 ids'],
  ['eliminated', ['x', ''], 'eliminated[1]: found ""'],
  ['features', [], 'features: found an array of 0, expected an object'],
  ['features', { nummeric: {} }, 'features.nummeric: found an object, expected only categorical'],
  ['features', { numeric: { age: '34' } }, 'features.numeric.age: found "34", expected a number'],
  ['features', { numeric: { age: 1e39 } }, 'features.numeric.age: found 1e+39'],
  ['features', { numeric: [1] }, 'features.numeric: found an array of 1, expected an object'],
  ['features', { categorical: { a: {} } }, 'features.categorical.a: found an object'],
  ['features', { categorical: { a: ['b', null] } }, 'features.categorical.a[]: found null'],
  ['features', { dense: { v: 1 } }, 'features.dense.v: found 1, expected an array of numbers'],
  ['features', { dense: { v: [1, 'x'] } }, 'features.dense.v[1]: found "x", expected a number'],
])('an impression with a bad %s is refused: %j', (field, value, message) => {
  const map = mapping('impression')
  expect(() => map(json({ ...impression, [field]: value }))).toThrow(
    refusal('RECORD_INVALID', message),
  )
})

test.each([
  ['item_id', undefined, 'item_id: found nothing'],
  ['weight', 0, 'weight: found 0, expected a number above 0'],
  ['weight', -1, 'weight: found -1'],
  ['weight', '2', 'weight: found "2"'],
  ['weight', 1e39, 'weight: found 1e+39'],
  ['weight', 1e-50, 'weight: found 1e-50'],
  ['action', true, 'action: found true, expected a string'],
])('a click with a bad %s is refused: %j', (field, value, message) => {
  const map = mapping('click')
  expect(() => map(json({ ...click, [field]: value }))).toThrow(refusal('RECORD_INVALID', message))
})

test('values that are no record say what they are', () => {
  const map = mapping('click')
  const cases: [SourceRecord, string, string][] = [
    [recordOf(null), 'RECORD_INVALID', 'the value: found null'],
    [recordOf(Buffer.alloc(0)), 'RECORD_UNDECODABLE', 'JSON: Unexpected end'],
    [recordOf(Buffer.from('{"request_id":"r1",}')), 'RECORD_UNDECODABLE', 'at position 19'],
    [
      recordOf(Buffer.from([0x22, 0xff, 0x22])),
      'RECORD_UNDECODABLE',
      'JSON: the bytes are not UTF-8',
    ],
    [recordOf(Buffer.from('['.repeat(900_000))), 'RECORD_UNDECODABLE', 'JSON: Unexpected end'],
    [json([click]), 'RECORD_INVALID', 'the record: found an array of 1, expected an object'],
    [json('click'), 'RECORD_INVALID', 'the record: found "click"'],
    [
      recordOf(Buffer.alloc(1_000_001)),
      'RECORD_TOO_LARGE',
      'found 1000001 bytes, expected at most 1000000',
    ],
    [
      recordOf(Buffer.from('a,b'), 'text/csv'),
      'RECORD_UNDECODABLE',
      'content-type header: found "text/csv"',
    ],
  ]
  for (const [record, code, message] of cases) {
    expect(() => map(record)).toThrow(refusal(code, message))
  }
})

test('an event from the future of its record is refused, up to the skew it is not', () => {
  const map = mapping('click', { futureSkewMs: 500 })
  expect(map(json({ ...click, event_time: timeMs + 1_500 })).eventTimeMs).toBe(timeMs + 1_500)
  expect(() => map(json({ ...click, event_time: timeMs + 1_501 }))).toThrow(
    refusal(
      'EVENT_TIME_IN_FUTURE',
      'event_time: 2023-11-14T22:13:21.501Z is later than its record, 2023-11-14T22:13:21.000Z',
    ),
  )
})

test('fields come from where the mapping says, with units, defaults and constants', () => {
  const map = mapping('impression', {
    fields: {
      request_id: 'page.id',
      user_id: { path: 'user.id', default: 'anonymous' },
      event_time: { path: 'at', unit: 's' },
      scenario: { constant: 'feed' },
      items: 'page.slots[].item.id',
      'features.categorical.device': 'user.device',
      'features.numeric.age': { path: 'user.age', default: 18 },
      'features.dense.taste': 'user.taste',
    },
  })
  const slots = [{ item: { id: 5 } }, { item: { id: 'b' } }]
  const record = {
    page: { id: 9, slots },
    user: { device: 'tv', taste: [1, 2] },
    at: 1_700_000_000.25,
    scenario: 'ignored',
    eliminated: ['x'],
    features: { categorical: { region: ['eu'] } },
  }
  expect(map(json(record))).toEqual({
    kind: 'impression',
    requestId: '9',
    userId: 'anonymous',
    eventTimeMs: timeMs + 250,
    scenario: 'feed',
    items: ['5', 'b'],
    eliminated: ['x'],
    features: {
      categorical: new Map([
        ['region', ['eu']],
        ['device', ['tv']],
      ]),
      numeric: new Map([['age', 18]]),
      dense: new Map([['taste', [1, 2]]]),
    },
  })
  const refusals: [object, string][] = [
    [{ page: null }, 'request_id (from page.id): found nothing, expected a non-empty string'],
    [
      { page: { id: 1, slots: 3 } },
      'field path page.slots[].item.id: found 3 where [] needs an array',
    ],
    [
      { page: { id: 1, slots: [slots[0], {}] } },
      'items[1] (from page.slots[].item.id): found nothing',
    ],
    [{ at: 'now' }, 'event_time (from at): found "now", expected a number of seconds'],
    [{ user: { age: 'old' } }, 'features.numeric.age (from user.age): found "old"'],
  ]
  for (const [change, message] of refusals) {
    expect(() => map(json({ ...record, ...change }))).toThrow(refusal('RECORD_INVALID', message))
  }
})

test.each([
  ['ms', timeMs, timeMs],
  ['s', timeMs / 1_000, timeMs],
  ['us', timeMs * 1_000 + 999, timeMs],
  ['ns', timeMs * 1_000_000 + 999_000, timeMs],
  ['iso', '2023-11-14T22:13:20Z', timeMs],
] as const)('times in %s', (unit, value, eventTimeMs) => {
  const map = mapping('click', { fields: { event_time: { path: 't', unit } } })
  expect(map(json({ ...click, t: value })).eventTimeMs).toBe(eventTimeMs)
})

test('inherited members of objects are not fields', () => {
  const map = mapping('click', { fields: { user_id: 'constructor' } })
  expect(() => map(json(click))).toThrow(
    refusal('RECORD_INVALID', 'user_id (from constructor): found nothing'),
  )
})

test('mistakes in a mapping are found before any record', () => {
  const cases: ['impression' | 'click', Partial<MappingOptions>, string][] = [
    ['click', { fields: { items: 'items' } }, 'click has no field items; expected request_id'],
    [
      'click',
      { fields: { 'features.numeric.age': 'age' } },
      'click has no field features.numeric.age',
    ],
    [
      'impression',
      { fields: { 'features.number.age': 'age' } },
      'impression has no field features.number.age',
    ],
    [
      'click',
      { fields: { user_id: 'user..id' } },
      'field path "user..id" is not names joined by dots',
    ],
    ['click', { fields: { user_id: 'ids[0]' } }, 'field path "ids[0]"'],
    ['click', { format: 'avro', schema: { type: 'rekord' } }, 'invalid Avro schema'],
  ]
  for (const [record, options, message] of cases) {
    expect(() => mapping(record, options)).toThrow(refusal('CONFIG_INVALID', message))
  }
})

test('Avro of our own schemas is told by its header, also that of 1.0', () => {
  const typed = { ...impression, features: mappedImpression.features }
  const value = Buffer.concat([
    singleObjectHeader(topicSchemas.impressions),
    compileEncoder(topicSchemas.impressions)(typed),
  ])
  for (const contentType of ['avro/binary', 'application/avro', 'Application/Avro; v=1']) {
    expect(mapping('impression')(recordOf(value, contentType))).toEqual(mappedImpression)
  }
  expect(mapping('impression', { format: 'avro' })(recordOf(value))).toEqual(mappedImpression)
  const older = Buffer.concat([
    singleObjectHeader(olderSchemas.clicks[0]),
    compileEncoder(olderSchemas.clicks[0])({ ...click, action: 'play' }),
  ])
  expect(mapping('click')(recordOf(older, 'avro/binary'))).toEqual({
    ...mappedClick,
    action: 'play',
  })
  const refused = [
    [value, 'SCHEMA_UNKNOWN', 'is not a known version of click'],
    [older.subarray(0, -1), 'RECORD_UNDECODABLE', 'action at byte'],
    [Buffer.concat([older, Buffer.alloc(1)]), 'RECORD_UNDECODABLE', '1 bytes follow'],
    [Buffer.from('{}'), 'RECORD_UNDECODABLE', 'found 7b7d'],
  ] as const
  for (const [bytes, code, message] of refused) {
    expect(() => mapping('click')(recordOf(bytes, 'avro/binary'))).toThrow(refusal(code, message))
  }
})

test('Avro of a schema of one’s own, bare or with its header, nanoseconds and maps included', () => {
  const schema = {
    type: 'record',
    name: 'View',
    fields: [
      { name: 'id', type: 'long' },
      {
        name: 'user',
        type: ['null', { type: 'record', name: 'User', fields: [{ name: 'id', type: 'string' }] }],
      },
      { name: 'at', type: { type: 'long', logicalType: 'timestamp-nanos' } },
      { name: 'items', type: { type: 'array', items: { type: 'map', values: 'string' } } },
    ],
  }
  const type = avsc.Type.forSchema(schema as avsc.Schema, {
    typeHook: (type) => (isLong(type) ? bigLong : undefined),
  })
  const body = (user: object | null) =>
    type.toBuffer({
      id: 12n,
      user,
      at: BigInt(timeMs) * 1_000_000n + 5n,
      items: [{ id: 'a' }, { id: 'b' }],
    })
  const map = mapping('impression', {
    format: 'avro',
    schema,
    fields: {
      request_id: 'id',
      user_id: { path: 'user.id', default: 'nobody' },
      event_time: { path: 'at', unit: 'ns' },
      items: 'items[].id',
    },
  })
  const expected = { requestId: '12', userId: 'u', eventTimeMs: timeMs, items: ['a', 'b'] }
  expect(map(recordOf(body({ id: 'u' })))).toMatchObject(expected)
  expect(map(recordOf(body(null)))).toMatchObject({ ...expected, userId: 'nobody' })
  const single = Buffer.concat([singleObjectHeader(schema), body({ id: 'u' })])
  expect(map(recordOf(single))).toMatchObject(expected)
  single[9]! ^= 1
  expect(() => map(recordOf(single))).toThrow(refusal('SCHEMA_UNKNOWN', 'fingerprint'))
})

/** As a producer in another language writes it: all 64 bits. */
const bigLong = avsc.types.LongType.__with({
  toBuffer(value: bigint) {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(value)
    return bytes
  },
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: () => 0,
})

function isLong(type: unknown): boolean {
  return type === 'long' || (type as { type?: unknown }).type === 'long'
}

function isId(text: string): boolean {
  return Buffer.byteLength(text) <= 256
}

function withoutFeatures(impression: Impression): unknown {
  return { ...impression, features: null }
}

function asJson(impression: Impression): unknown {
  return JSON.parse(JSON.stringify(jsonOf(impression)))
}
