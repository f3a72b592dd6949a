import { AvroReader, AvroWriter } from './avro-io.ts'
import { decodeFeatures, writeFeatures } from './features-codec.ts'
import { headerBytes } from './fingerprint.ts'
import { knownSchemas } from './known-schemas.ts'
import { olderSchemas } from './schema-history.ts'
import { topicSchemas } from './schemas.ts'
import type {
  Click,
  Event,
  EventHead,
  EventPage,
  Features,
  Heartbeat,
  ImpressionHead,
  ImpressionPage,
} from './types.ts'

/** Values of the events topic. Hand-written for speed; the tests hold it against avsc. */

const known = knownSchemas('event', topicSchemas.events, olderSchemas.events)
const impressionBranch = 0
const clickBranch = 1
const heartbeatBranch = 2

const writer = new AvroWriter()

export function encodeEvent(event: Event): Buffer {
  writer.start(known.header)
  switch (event.kind) {
    case 'impression':
      writer.long(impressionBranch)
      writer.string(event.requestId)
      writer.string(event.userId)
      writer.long(event.eventTimeMs)
      writer.string(event.scenario)
      writer.strings(event.items)
      writer.strings(event.eliminated)
      writeFeatures(writer, event.features)
      break
    case 'click':
      writer.long(clickBranch)
      writer.string(event.requestId)
      writer.string(event.userId)
      writer.string(event.itemId)
      writer.long(event.eventTimeMs)
      writer.string(event.action)
      writer.double(event.weight)
      break
    case 'heartbeat':
      writer.long(heartbeatBranch)
      writer.long(event.eventTimeMs)
  }
  return writer.finish()
}

/**
 * Ids, times and items; the features of an impression stay Avro bytes: a view of `value`, not checked.
 * @throws FreshetError RECORD_UNDECODABLE, SCHEMA_UNKNOWN
 */
export function decodeEventHead(value: Buffer): EventHead {
  const reader = eventReader(value)
  switch (reader.choice('event', topicSchemas.events.length)) {
    case impressionBranch:
      return readImpressionHead(reader)
    case clickBranch:
      return readClick(reader)
    default:
      return readHeartbeat(reader)
  }
}

/**
 * As `decodeEventHead`, with the page of an impression left as bytes: its lists are checked, its features are not.
 * @throws FreshetError RECORD_UNDECODABLE, SCHEMA_UNKNOWN
 */
export function decodeEventPage(value: Buffer): EventPage {
  const reader = eventReader(value)
  switch (reader.choice('event', topicSchemas.events.length)) {
    case impressionBranch:
      return readImpressionPage(reader)
    case clickBranch:
      return readClick(reader)
    default:
      return readHeartbeat(reader)
  }
}

/** @throws FreshetError RECORD_UNDECODABLE, SCHEMA_UNKNOWN */
export function decodeEvent(value: Buffer): Event {
  const head = decodeEventHead(value)
  return head.kind === 'impression' ? { ...head, features: decodeFeatures(head.features) } : head
}

function eventReader(value: Buffer): AvroReader {
  const current = known.isCurrent(value) ? value : encodeEvent(toEvent(known.decode(value)))
  return new AvroReader(current, headerBytes)
}

function readImpressionPage(reader: AvroReader): ImpressionPage {
  const requestId = reader.string('request_id')
  const userId = reader.string('user_id')
  const eventTimeMs = reader.long('event_time')
  const start = reader.offset
  reader.skip('scenario')
  reader.skipStrings('items')
  reader.skipStrings('eliminated')
  const page = reader.bytes.subarray(start)
  return { kind: 'impression', requestId, userId, eventTimeMs, page }
}

function readImpressionHead(reader: AvroReader): ImpressionHead {
  return {
    kind: 'impression',
    requestId: reader.string('request_id'),
    userId: reader.string('user_id'),
    eventTimeMs: reader.long('event_time'),
    scenario: reader.string('scenario'),
    items: reader.strings('items'),
    eliminated: reader.strings('eliminated'),
    features: reader.rest(),
  }
}

function readClick(reader: AvroReader): Click {
  const click: Click = {
    kind: 'click',
    requestId: reader.string('request_id'),
    userId: reader.string('user_id'),
    itemId: reader.string('item_id'),
    eventTimeMs: reader.long('event_time'),
    action: reader.string('action'),
    weight: reader.double('weight'),
  }
  reader.end()
  return click
}

export function readHeartbeat(reader: AvroReader): Heartbeat {
  const heartbeat: Heartbeat = { kind: 'heartbeat', eventTimeMs: reader.long('event_time') }
  reader.end()
  return heartbeat
}

interface ImpressionRecord {
  readonly request_id: string
  readonly user_id: string
  readonly event_time: number
  readonly scenario: string
  readonly items: readonly string[]
  readonly eliminated: readonly string[]
  readonly features: Features
}

interface ClickRecord {
  readonly request_id: string
  readonly user_id: string
  readonly item_id: string
  readonly event_time: number
  readonly action: string
  readonly weight: number
}

/** An event as avsc decodes it: the branch of the union by its full name. */
type EventRecord =
  | { readonly 'freshet.Impression': ImpressionRecord }
  | { readonly 'freshet.Click': ClickRecord }
  | { readonly 'freshet.Heartbeat': { readonly event_time: number } }

function toEvent(decoded: unknown): Event {
  const record = decoded as EventRecord
  if ('freshet.Impression' in record) {
    const { request_id, user_id, event_time, ...rest } = record['freshet.Impression']
    return {
      kind: 'impression',
      requestId: request_id,
      userId: user_id,
      eventTimeMs: event_time,
      scenario: rest.scenario,
      items: rest.items,
      eliminated: rest.eliminated,
      features: rest.features,
    }
  }
  if ('freshet.Click' in record) {
    const { request_id, user_id, item_id, event_time, action, weight } = record['freshet.Click']
    return {
      kind: 'click',
      requestId: request_id,
      userId: user_id,
      itemId: item_id,
      eventTimeMs: event_time,
      action,
      weight,
    }
  }
  return { kind: 'heartbeat', eventTimeMs: record['freshet.Heartbeat'].event_time }
}
