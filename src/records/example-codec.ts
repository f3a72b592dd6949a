import { AvroReader, AvroWriter } from './avro-io.ts'
import { readHeartbeat } from './event-codec.ts'
import { passFeatures, readFeatureMaps, readFeatures, writeFeatures } from './features-codec.ts'
import { headerBytes } from './fingerprint.ts'
import { knownSchemas } from './known-schemas.ts'
import { boundsOfPage } from './page.ts'
import { olderSchemas } from './schema-history.ts'
import { topicSchemas } from './schemas.ts'
import type {
  Example,
  ExampleHead,
  ExampleParts,
  PageExampleParts,
  Features,
  Heartbeat,
} from './types.ts'

/** Values of the examples topic. Hand-written for speed; the tests hold it against avsc. */

const known = knownSchemas('example', topicSchemas.examples, olderSchemas.examples)
const exampleBranch = 0
const heartbeatBranch = 1

const writer = new AvroWriter()

export function encodeExample(example: Example): Buffer {
  startExample(example)
  writeFeatures(writer, example.features)
  return writer.finish()
}

/** The features are copied verbatim: the bytes of an Avro Features record, as `decodeEventHead` gives them. */
export function encodeExampleParts(parts: ExampleParts, featureBytes: Buffer): Buffer {
  startExample(parts)
  writer.raw(featureBytes)
  return writer.finish()
}

/** Of an impression whose page stayed bytes: scenario, eliminated items and features are copied verbatim. */
export function encodeExampleOfPage(parts: PageExampleParts, page: Buffer): Buffer {
  startPair(parts)
  const { scenarioEnd, itemsEnd } = boundsOfPage(page)
  writer.raw(page, 0, scenarioEnd)
  writer.raw(page, itemsEnd)
  return writer.finish()
}

export function encodeExampleHeartbeat(eventTimeMs: number): Buffer {
  writer.start(known.header)
  writer.long(heartbeatBranch)
  writer.long(eventTimeMs)
  return writer.finish()
}

/** @throws FreshetError RECORD_UNDECODABLE, SCHEMA_UNKNOWN */
export function decodeExample(value: Buffer): Example | Heartbeat {
  return decode(value, readFeatures)
}

/**
 * The features stay Avro bytes: a view of `value`, not checked.
 * @throws FreshetError RECORD_UNDECODABLE, SCHEMA_UNKNOWN
 */
export function decodeExampleHead(value: Buffer): ExampleHead | Heartbeat {
  return decode(value, (reader) => reader.rest())
}

/**
 * The event time alone, without decoding what stands before it.
 * @throws FreshetError RECORD_UNDECODABLE, SCHEMA_UNKNOWN
 */
export function eventTimeOfExample(value: Buffer): number {
  const reader = new AvroReader(known.isCurrent(value) ? value : upgrade(value), headerBytes)
  if (reader.choice('example', topicSchemas.examples.length) === exampleBranch) {
    for (const id of ['request_id', 'user_id', 'item_id']) reader.skip(id)
  }
  return reader.long('event_time')
}

/**
 * The Avro body of the example in a value, by the current schema; null for a heartbeat. A view of `value` where that is current.
 * @throws FreshetError RECORD_UNDECODABLE, SCHEMA_UNKNOWN
 */
export function bodyOfExample(value: Buffer): Buffer | null {
  const reader = new AvroReader(known.isCurrent(value) ? value : upgrade(value), headerBytes)
  if (reader.choice('example', topicSchemas.examples.length) === heartbeatBranch) return null
  const body = reader.bytes.subarray(reader.offset)
  passExample(reader)
  reader.end()
  return body
}

/** The example whose body begins where the reader is. @throws FreshetError RECORD_UNDECODABLE */
export function readExampleBody(reader: AvroReader): Example {
  return readExample(reader, readFeatureMaps)
}

/** Passes over the body of an example; what is passed over can be decoded. */
export function passExample(reader: AvroReader): void {
  for (const id of ['request_id', 'user_id', 'item_id']) reader.skip(id)
  for (const number of ['event_time', 'impression_time', 'position']) reader.long(number)
  reader.pass('weight', 8)
  reader.skip('scenario')
  reader.skipStrings('hard_negatives')
  passFeatures(reader)
}

function decode<F>(
  value: Buffer,
  features: (reader: AvroReader) => F,
): (Omit<Example, 'features'> & { readonly features: F }) | Heartbeat {
  const current = known.isCurrent(value) ? value : upgrade(value)
  const reader = new AvroReader(current, headerBytes)
  const branch = reader.choice('example', topicSchemas.examples.length)
  return branch === heartbeatBranch ? readHeartbeat(reader) : readExample(reader, features)
}

function readExample<F>(
  reader: AvroReader,
  features: (reader: AvroReader) => F,
): Omit<Example, 'features'> & { readonly features: F } {
  return {
    kind: 'example',
    requestId: reader.string('request_id'),
    userId: reader.string('user_id'),
    itemId: reader.string('item_id'),
    eventTimeMs: reader.long('event_time'),
    impressionTimeMs: reader.long('impression_time'),
    position: reader.long('position'),
    weight: reader.double('weight'),
    scenario: reader.string('scenario'),
    hardNegatives: reader.strings('hard_negatives'),
    features: features(reader),
  }
}

function startExample(parts: ExampleParts): void {
  startPair(parts)
  writer.string(parts.scenario)
  writer.strings(parts.hardNegatives)
}

function startPair(parts: PageExampleParts): void {
  writer.start(known.header)
  writer.long(exampleBranch)
  writer.string(parts.requestId)
  writer.string(parts.userId)
  writer.string(parts.itemId)
  writer.long(parts.eventTimeMs)
  writer.long(parts.impressionTimeMs)
  writer.long(parts.position)
  writer.double(parts.weight)
}

/** An example as avsc decodes it: the branch of the union by its full name. */
type ExampleRecord =
  | {
      readonly 'freshet.Example': {
        readonly request_id: string
        readonly user_id: string
        readonly item_id: string
        readonly event_time: number
        readonly impression_time: number
        readonly position: number
        readonly weight: number
        readonly scenario: string
        readonly hard_negatives: readonly string[]
        readonly features: Features
      }
    }
  | { readonly 'freshet.Heartbeat': { readonly event_time: number } }

/** A value of an older schema, written again with the current one. */
function upgrade(value: Buffer): Buffer {
  const record = known.decode(value) as ExampleRecord
  if ('freshet.Heartbeat' in record) {
    return encodeExampleHeartbeat(record['freshet.Heartbeat'].event_time)
  }
  const { request_id, user_id, item_id, ...rest } = record['freshet.Example']
  return encodeExample({
    kind: 'example',
    requestId: request_id,
    userId: user_id,
    itemId: item_id,
    eventTimeMs: rest.event_time,
    impressionTimeMs: rest.impression_time,
    position: rest.position,
    weight: rest.weight,
    scenario: rest.scenario,
    hardNegatives: rest.hard_negatives,
    features: rest.features,
  })
}
