/**
 * The hand-written codecs of events and examples against avsc on the same records, and the mapping of JSON against JSON.parse
 * alone. The two of a pair alternate in one process, so that a busy machine slows both. A page of 10 items, features of
 * three kinds, about 600 bytes of JSON; thousands of different records, so that nothing is cached.
 *
 * Run: npx tsc -p . --noEmit false --noCheck --outDir .freshet/bench && node .freshet/bench/bench/records.js
 */
import avsc from 'avsc'
import { performance } from 'node:perf_hooks'
import {
  decodeEventHead,
  decodeExample,
  decodeExampleHead,
  encodeEvent,
  encodeExampleParts,
} from '../src/records/codec.ts'
import { headerBytes } from '../src/records/fingerprint.ts'
import { featuresJson, jsonOf } from '../src/records/json.ts'
import { partitionOf } from '../src/records/partition.ts'
import { topicSchemas } from '../src/records/schemas.ts'
import type { Example, Impression, ImpressionHead } from '../src/records/types.ts'
import { compileMapping } from '../src/streams/mapping.ts'
import type { SourceRecord } from '../src/streams/stage.ts'

const count = 5_000
const rounds = 15
const timeMs = 1_700_000_000_000

const eventType = avsc.Type.forSchema(topicSchemas.events as unknown as avsc.Schema)
const exampleType = avsc.Type.forSchema(topicSchemas.examples as unknown as avsc.Schema)

const impressions = Array.from({ length: count }, (_, i) => impressionOf(i))
const events = impressions.map(encodeEvent)
const eventBodies = events.map((value) => value.subarray(headerBytes))
const eventRecords = impressions.map((event) => ({ 'freshet.Impression': jsonOf(event) }))
const heads = events.map((value) => decodeEventHead(value) as ImpressionHead)
const examples = heads.map((head, i) => encodeExampleParts(partsOf(head, i), head.features))
const exampleBodies = examples.map((value) => value.subarray(headerBytes))
const exampleRecords = impressions.map((event, i) => exampleRecord(event, i))
const records = impressions.map((event, i) => sourceRecord(event, i))
const map = compileMapping({
  record: 'impression',
  format: 'auto',
  fields: {},
  futureSkewMs: 60_000,
  recordBytesMax: 1_000_000,
})

const sink = { total: 0 }
compare('encodeEvent', 'avsc toBuffer', {
  own: (i) => encodeEvent(impressions[i]!).length,
  other: (i) => eventType.toBuffer(eventRecords[i]).length,
})
compare('decodeEventHead', 'avsc fromBuffer, whole', {
  own: (i) => (decodeEventHead(events[i]!) as ImpressionHead).items.length,
  other: (i) => lengthOf(eventType.fromBuffer(eventBodies[i]!)),
})
compare('encodeExampleParts', 'avsc toBuffer', {
  own: (i) => encodeExampleParts(partsOf(heads[i]!, i), heads[i]!.features).length,
  other: (i) => exampleType.toBuffer(exampleRecords[i]).length,
})
compare('decodeExampleHead', 'avsc fromBuffer, whole', {
  own: (i) => decodeExampleHead(examples[i]!).eventTimeMs & 1,
  other: (i) => lengthOf(exampleType.fromBuffer(exampleBodies[i]!)),
})
compare('decodeExample', 'avsc fromBuffer', {
  own: (i) => decodeExample(examples[i]!).eventTimeMs & 1,
  other: (i) => lengthOf(exampleType.fromBuffer(exampleBodies[i]!)),
})
compare('map JSON', 'JSON.parse alone', {
  own: (i) => map(records[i]!).requestId.length,
  other: (i) => lengthOf(JSON.parse(records[i]!.value!.toString())),
})
compare('map JSON, encode, partition', 'JSON.parse alone', {
  own: (i) => {
    const event = map(records[i]!)
    return encodeEvent(event).length + partitionOf(event.userId, 64)
  },
  other: (i) => lengthOf(JSON.parse(records[i]!.value!.toString())),
})
console.log(
  `${records[0]!.value!.length} bytes of JSON, ${events[0]!.length} of Avro; checksum ${sink.total}`,
)

type Run = (i: number) => number

/** Prints microseconds a record of both, each the median of the rounds, and how many times as fast ours is. */
function compare(name: string, otherName: string, { own, other }: { own: Run; other: Run }): void {
  const ownUs: number[] = []
  const otherUs: number[] = []
  for (let round = 0; round < rounds; round++) {
    ownUs.push(timed(own))
    otherUs.push(timed(other))
  }
  const [ours, theirs] = [median(ownUs), median(otherUs)]
  const ratio = (theirs / ours).toFixed(2)
  console.log(`${name} ${ours.toFixed(2)} us, ${otherName} ${theirs.toFixed(2)} us: ${ratio} x`)
}

function timed(run: Run): number {
  const start = performance.now()
  let total = 0
  for (let i = 0; i < count; i++) total += run(i)
  const us = ((performance.now() - start) * 1_000) / count
  sink.total += total
  return us
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

function lengthOf(value: unknown): number {
  return Object.keys(value as object).length
}

function impressionOf(i: number): Impression {
  const ids = (length: number, step: number) =>
    Array.from({ length }, (_, j) => `item-${(i * 7_919 + j * step) % 100_000}`)
  return {
    kind: 'impression',
    requestId: `request-${i.toString().padStart(12, '0')}`,
    userId: `user-${(i * 31) % 20_000}`,
    eventTimeMs: timeMs + i * 10,
    scenario: 'home',
    items: ids(10, 101),
    eliminated: ids(5, 211),
    features: {
      categorical: new Map([
        ['device', ['phone']],
        ['genres', ['drama', 'thriller', 'comedy']],
        ['country', ['NL']],
      ]),
      numeric: new Map([
        ['age', 18 + (i % 60)],
        ['sessions', i % 17],
      ]),
      dense: new Map([['taste', [0.25, 0.5, -0.125, 1 / ((i % 9) + 1)]]]),
    },
  }
}

function partsOf(head: ImpressionHead, i: number): Omit<Example, 'kind' | 'features'> {
  return {
    requestId: head.requestId,
    userId: head.userId,
    itemId: head.items[i % head.items.length]!,
    eventTimeMs: head.eventTimeMs + 5_000,
    impressionTimeMs: head.eventTimeMs,
    position: i % head.items.length,
    weight: 1,
    scenario: head.scenario,
    hardNegatives: head.eliminated,
  }
}

function exampleRecord(event: Impression, i: number): object {
  return {
    'freshet.Example': {
      request_id: event.requestId,
      user_id: event.userId,
      item_id: event.items[i % event.items.length]!,
      event_time: event.eventTimeMs + 5_000,
      impression_time: event.eventTimeMs,
      position: i % event.items.length,
      weight: 1,
      scenario: event.scenario,
      hard_negatives: event.eliminated,
      features: featuresJson(event.features),
    },
  }
}

function sourceRecord(event: Impression, offset: number): SourceRecord {
  const value = Buffer.from(JSON.stringify(jsonOf(event)))
  return { topic: 'source', partition: 0, offset, timestampMs: event.eventTimeMs, key: null, value }
}
