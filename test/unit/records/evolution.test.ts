import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { compileDecoder } from '../../../src/records/avro-general.ts'
import {
  decodeEvent,
  decodeEventHead,
  decodeExample,
  decodeExampleHead,
  decodeRecallReply,
  encodeEvent,
  encodeExample,
  encodeFeatures,
} from '../../../src/records/codec.ts'
import { canonicalForm, headerBytes } from '../../../src/records/fingerprint.ts'
import type { AvroSchema } from '../../../src/records/schema-parts.ts'
import { olderSchemas } from '../../../src/records/schema-history.ts'
import { topicSchemas } from '../../../src/records/schemas.ts'
import type { Event, Example, Features } from '../../../src/records/types.ts'

/**
 * The files hold a schema as it was and bytes written with it at the time, by avsc alone. They are never written again:
 * a log may hold such bytes for years.
 */
function fixture(name: string): { schema: AvroSchema; values: Buffer[] } {
  const path = new URL(`../../fixtures/schemas/${name}`, import.meta.url)
  const { schema, values } = JSON.parse(readFileSync(path, 'utf8')) as {
    schema: AvroSchema
    values: string[]
  }
  return { schema, values: values.map((value) => Buffer.from(value, 'hex')) }
}

const events10 = fixture('events-1.0.json')
const examples10 = fixture('examples-1.0.json')
const replies01 = fixture('recall-replies-0.1.json')

const timeMs = 1_700_000_000_000
const features: Features = {
  categorical: new Map([
    ['device', ['phone']],
    ['genres', ['drama', 'größe']],
  ]),
  numeric: new Map([['age', 34.5]]),
  dense: new Map([['taste', [0.25, -1, 3]]]),
}

const events: readonly Event[] = [
  {
    kind: 'impression',
    requestId: 'r1',
    userId: 'u1',
    eventTimeMs: timeMs,
    scenario: '',
    items: ['a', 'b', 'c'],
    eliminated: [],
    features,
  },
  {
    kind: 'impression',
    requestId: 'r2',
    userId: 'ü2',
    eventTimeMs: timeMs + 1,
    scenario: '',
    items: ['a'],
    eliminated: [],
    features: { categorical: new Map(), numeric: new Map(), dense: new Map() },
  },
  {
    kind: 'click',
    requestId: 'r1',
    userId: 'u1',
    itemId: 'b',
    eventTimeMs: timeMs + 5_000,
    action: 'play',
    weight: 1,
  },
  { kind: 'heartbeat', eventTimeMs: timeMs + 6_000 },
]

const example: Example = {
  kind: 'example',
  requestId: 'r1',
  userId: 'u1',
  itemId: 'b',
  eventTimeMs: timeMs + 5_000,
  impressionTimeMs: timeMs,
  position: 1,
  weight: 1,
  scenario: '',
  hardNegatives: ['x', 'y'],
  features,
}

test('the schemas of 1.0 are still known as they were', () => {
  expect(olderSchemas.events.map(canonicalForm)).toContain(canonicalForm(events10.schema))
  expect(olderSchemas.examples.map(canonicalForm)).toContain(canonicalForm(examples10.schema))
})

test('replies of a pod of 0.1 are read, and do not say which row they were computed with', () => {
  expect(olderSchemas.recallReplies.map(canonicalForm)).toContain(canonicalForm(replies01.schema))
  const [ok, none] = replies01.values.map(decodeRecallReply)
  expect(ok).toMatchObject({ status: 'OK', overrideSequence: 7, userOffset: null })
  expect(ok!.items).toEqual([
    { itemId: 'a', score: 0.5, title: 'größe' },
    { itemId: 'b', score: -0.25, title: '' },
  ])
  expect(none).toMatchObject({ status: 'NO_GENERATION', generation: '', userOffset: null })
})

test('events written with 1.0 are read, with the defaults of what it did not know', () => {
  expect(events10.values.map(decodeEvent)).toEqual(events)
})

test('the head of an event of 1.0 carries its features as bytes of the current schema', () => {
  expect(decodeEventHead(events10.values[0]!)).toEqual({
    ...events[0],
    features: encodeFeatures(features),
  })
})

test('examples written with 1.0 are read, with the defaults of what it did not know', () => {
  const heartbeat = { kind: 'heartbeat', eventTimeMs: timeMs + 6_000 }
  expect(examples10.values.map(decodeExample)).toEqual([example, heartbeat])
  expect(decodeExampleHead(examples10.values[0]!)).toEqual({
    ...example,
    features: encodeFeatures(features),
  })
})

test('a reader that only knows 1.0 reads what is written now', () => {
  const readEvent = compileDecoder(topicSchemas.events, { reader: events10.schema })
  const read = events.map((event) => readEvent(encodeEvent(event), headerBytes))
  expect(JSON.parse(JSON.stringify(read[0]))).toEqual({
    'freshet.Impression': {
      request_id: 'r1',
      user_id: 'u1',
      event_time: timeMs,
      items: ['a', 'b', 'c'],
      features: { categorical: {}, numeric: {}, dense: {} },
    },
  })
  expect((read[0] as { 'freshet.Impression': object })['freshet.Impression']).toHaveProperty(
    'features.categorical',
    features.categorical,
  )
  expect(read[2]).toEqual({
    'freshet.Click': {
      request_id: 'r1',
      user_id: 'u1',
      item_id: 'b',
      event_time: timeMs + 5_000,
      action: 'play',
    },
  })
  expect(read[3]).toEqual({ 'freshet.Heartbeat': { event_time: timeMs + 6_000 } })
  const readExample = compileDecoder(topicSchemas.examples, { reader: examples10.schema })
  expect(readExample(encodeExample({ ...example, weight: 3 }), headerBytes)).toHaveProperty([
    'freshet.Example',
    'hard_negatives',
  ])
})
