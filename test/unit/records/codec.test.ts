import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileDecoder, compileEncoder } from '../../../src/records/avro-general.ts'
import {
  decodeEvent,
  decodeEventHead,
  decodeExample,
  decodeExampleHead,
  eventTimeOfExample,
  decodeFeatures,
  encodeEvent,
  encodeExample,
  encodeExampleHeartbeat,
  encodeExampleParts,
  encodeFeatures,
} from '../../../src/records/codec.ts'
import { headerBytes, singleObjectHeader } from '../../../src/records/fingerprint.ts'
import { topicSchemas } from '../../../src/records/schemas.ts'
import type { Click, Event, Example, Heartbeat } from '../../../src/records/types.ts'
import { event, example, features, impression } from './arbitraries.ts'

const avscEvent = {
  encode: compileEncoder(topicSchemas.events),
  decode: compileDecoder(topicSchemas.events),
}
const avscExample = {
  encode: compileEncoder(topicSchemas.examples),
  decode: compileDecoder(topicSchemas.examples),
}

test('an event comes back as it went in', () => {
  fc.assert(
    fc.property(event, (e) => {
      expect(decodeEvent(encodeEvent(e))).toEqual(e)
    }),
  )
})

test('events are written as avsc writes them, and avsc reads them', () => {
  fc.assert(
    fc.property(event, (e) => {
      const bytes = encodeEvent(e)
      const record = eventRecord(e)
      expect(bytes.subarray(0, headerBytes)).toEqual(singleObjectHeader(topicSchemas.events))
      expect(bytes.subarray(headerBytes)).toEqual(avscEvent.encode(record))
      expect(plain(avscEvent.decode(bytes, headerBytes))).toEqual(plain(record))
    }),
  )
})

test('the head of an impression holds its features as the bytes they were written in', () => {
  fc.assert(
    fc.property(impression, (e) => {
      const value = encodeEvent(e)
      const { features: bytes, ...head } = decodeEventHead(value) as { features: Buffer }
      const { features: full, ...expected } = e
      expect(head).toEqual(expected)
      expect(bytes).toEqual(encodeFeatures(e.features))
      expect(bytes.buffer).toBe(value.buffer)
      expect(decodeFeatures(bytes)).toEqual(full)
    }),
  )
})

test('an example comes back as it went in, whole, as a head, and from parts', () => {
  fc.assert(
    fc.property(example, (e) => {
      const value = encodeExample(e)
      expect(decodeExample(value)).toEqual(e)
      const bytes = encodeFeatures(e.features)
      expect(decodeExampleHead(value)).toEqual({ ...e, features: bytes })
      expect(eventTimeOfExample(value)).toBe(e.eventTimeMs)
      expect(eventTimeOfExample(encodeExampleHeartbeat(e.eventTimeMs))).toBe(e.eventTimeMs)
      expect(encodeExampleParts(e, bytes)).toEqual(value)
    }),
  )
  expect(decodeExample(encodeExampleHeartbeat(1_700_000_000_000))).toEqual({
    kind: 'heartbeat',
    eventTimeMs: 1_700_000_000_000,
  })
})

test('examples are written as avsc writes them, and avsc reads them', () => {
  fc.assert(
    fc.property(example, (e) => {
      const bytes = encodeExample(e)
      const record = exampleRecord(e)
      expect(bytes.subarray(0, headerBytes)).toEqual(singleObjectHeader(topicSchemas.examples))
      expect(bytes.subarray(headerBytes)).toEqual(avscExample.encode(record))
      expect(plain(avscExample.decode(bytes, headerBytes))).toEqual(plain(record))
    }),
  )
})

test('features alone come back as they went in', () => {
  fc.assert(
    fc.property(features, (f) => {
      expect(decodeFeatures(encodeFeatures(f))).toEqual(f)
    }),
  )
})

test('blocks that carry their size in bytes are read too', () => {
  const value = Buffer.concat([
    encodeEvent({ kind: 'heartbeat', eventTimeMs: 0 }).subarray(0, headerBytes),
    // Impression r, u, time 1, no scenario, items in two blocks of which the first gives its size, no more.
    Buffer.from([0, 2, 0x72, 2, 0x75, 2, 0, 1, 4, 2, 0x61, 2, 2, 0x62, 0, 0, 0, 0, 0]),
  ])
  expect(decodeEvent(value)).toMatchObject({ requestId: 'r', userId: 'u', items: ['a', 'b'] })
})

test('half a surrogate pair, which has no UTF-8, becomes U+FFFD', () => {
  for (const itemId of ['a\ud800', `${'x'.repeat(60)}\udc00`]) {
    const bytes = encodeEvent({ ...aClick, itemId })
    expect(decodeEvent(bytes)).toEqual({ ...aClick, itemId: `${itemId.slice(0, -1)}\ufffd` })
  }
})

test('a time that is not an integer within 2^53 is refused, not written as another', () => {
  for (const eventTimeMs of [0.5, NaN, Infinity, 2 ** 53]) {
    expect(() => encodeEvent({ kind: 'heartbeat', eventTimeMs })).toThrow(
      expect.objectContaining({ code: 'RECORD_INVALID' }),
    )
  }
})

const aClick: Click = {
  kind: 'click',
  requestId: 'r1',
  userId: 'u1',
  itemId: 'a',
  eventTimeMs: 1_700_000_000_000,
  action: 'click',
  weight: 1,
}

/** Without the classes that avsc makes for records. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map) return new Map(Array.from(value, ([k, v]) => [k, plain(v)]))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]))
}

function eventRecord(e: Event): unknown {
  switch (e.kind) {
    case 'impression':
      return {
        'freshet.Impression': {
          request_id: e.requestId,
          user_id: e.userId,
          event_time: e.eventTimeMs,
          scenario: e.scenario,
          items: e.items,
          eliminated: e.eliminated,
          features: e.features,
        },
      }
    case 'click':
      return {
        'freshet.Click': {
          request_id: e.requestId,
          user_id: e.userId,
          item_id: e.itemId,
          event_time: e.eventTimeMs,
          action: e.action,
          weight: e.weight,
        },
      }
    case 'heartbeat':
      return { 'freshet.Heartbeat': { event_time: e.eventTimeMs } }
  }
}

function exampleRecord(e: Example | Heartbeat): unknown {
  if (e.kind === 'heartbeat') return { 'freshet.Heartbeat': { event_time: e.eventTimeMs } }
  return {
    'freshet.Example': {
      request_id: e.requestId,
      user_id: e.userId,
      item_id: e.itemId,
      event_time: e.eventTimeMs,
      impression_time: e.impressionTimeMs,
      position: e.position,
      weight: e.weight,
      scenario: e.scenario,
      hard_negatives: e.hardNegatives,
      features: e.features,
    },
  }
}
