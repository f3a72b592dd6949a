/**
 * Events/s of the joiner's fold on one core, without Kafka: pages of ten items with features, as many clicks, all values
 * encoded before the clock starts. Beside it a straightforward peer that decodes whole records with avsc, joins by a Map
 * and encodes whole examples with avsc; it has neither order, expiry nor dead letters. Rounds alternate in one process and
 * count its CPU seconds, garbage collection included, so that a busy machine disturbs neither.
 */
import avsc from 'avsc'
import { encodeEvent } from '../src/records/codec.ts'
import { topicSchemas } from '../src/records/schemas.ts'
import type { Event, Features } from '../src/records/types.ts'
import { joiner } from '../src/streams/joiner.ts'
import { openCount } from '../src/streams/joiner-state.ts'
import type { SourceRecord } from '../src/streams/stage.ts'
import { seededRandom } from '../test/support/seeded-random.ts'

const pages = 60_000
const batchRecords = 1_000
const rounds = 3
const windowMs = 30 * 60_000
const graceMs = 5 * 60_000
/** Event time of a page after the one before: some 20,000 pages are open at a time. */
const pageEveryMs = 100
const headerBytes = 10

const log = makeLog()
const ours: number[] = []
const peers: number[] = []
let examples = 0
let open = 0
for (let round = 0; round <= rounds; round++) {
  const [joinerMs, peerMs] = [timed(runJoiner), timed(runPeer)]
  if (round === 0) continue // warm-up
  ours.push(joinerMs)
  peers.push(peerMs)
}
const result = {
  events: log.length,
  examples,
  openAtEnd: open,
  recordBytes: Math.round(log.reduce((sum, { value }) => sum + value!.length, 0) / log.length),
  joinerEventsPerCpuSecond: Math.round((log.length / median(ours)) * 1_000),
  peerEventsPerCpuSecond: Math.round((log.length / median(peers)) * 1_000),
  timesFaster: median(peers.map((peerMs, i) => peerMs / ours[i]!)),
}
console.log(JSON.stringify(result))

function runJoiner(): void {
  const stage = joiner({
    ...{ windowMs, graceMs, openImpressionsMax: 1_000_000, clicksPerRequestMax: 1_000 },
    topics: { examples: 'bench.examples', deadLetters: 'bench.dead-letters' },
  })
  const state = stage.init()
  for (let at = 0; at < log.length; at += batchRecords) {
    stage.onBatch(state, log.slice(at, at + batchRecords))
  }
  examples = state.counters.examples
  open = openCount(state)
}

function runPeer(): void {
  const eventType = peerType(topicSchemas.events)
  const exampleType = peerType(topicSchemas.examples)
  const open = new Map<string, ImpressionRecord>()
  let joined = 0
  for (let at = 0; at < log.length; at += batchRecords) {
    const outputs: Buffer[] = []
    for (const { value } of log.slice(at, at + batchRecords)) {
      const event = eventType.fromBuffer(value!.subarray(headerBytes)) as EventRecord
      const impression = event['freshet.Impression']
      if (impression !== undefined) open.set(impression.request_id, impression)
      const click = event['freshet.Click']
      const page = click && open.get(click.request_id)
      if (click === undefined || page === undefined) continue
      const position = page.items.indexOf(click.item_id)
      const { request_id, user_id, item_id, event_time, weight } = click
      const { scenario, eliminated, features, event_time: impression_time } = page
      const example = {
        ...{ request_id, user_id, item_id, event_time, impression_time, position, weight },
        ...{ scenario, hard_negatives: eliminated, features },
      }
      outputs.push(exampleType.toBuffer({ 'freshet.Example': example }))
    }
    joined += outputs.length
  }
  if (joined !== examples) console.error(`the peer made ${joined} examples, not ${examples}`)
}

function peerType(schema: unknown): avsc.Type {
  return avsc.Type.forSchema(schema as avsc.Schema, { wrapUnions: true })
}

interface ImpressionRecord {
  readonly request_id: string
  readonly event_time: number
  readonly scenario: string
  readonly items: readonly string[]
  readonly eliminated: readonly string[]
  readonly features: unknown
}

interface EventRecord {
  readonly 'freshet.Impression'?: ImpressionRecord
  readonly 'freshet.Click'?: {
    readonly request_id: string
    readonly user_id: string
    readonly item_id: string
    readonly event_time: number
    readonly weight: number
  }
}

/** Each page is clicked once, some seconds after it was shown. */
function makeLog(): SourceRecord[] {
  const random = seededRandom(17)
  const clicks: { dueMs: number; event: Event }[] = []
  const events: Event[] = []
  for (let i = 0; i < pages; i++) {
    const eventTimeMs = 1_700_000_000_000 + i * pageEveryMs
    while (clicks[0] !== undefined && clicks[0].dueMs <= eventTimeMs) {
      events.push(clicks.shift()!.event)
    }
    const ids = { requestId: `request-${i}`, userId: `user-${random.between(0, 50_000)}` }
    const items = Array.from({ length: 10 }, () => `item-${random.between(0, 1_000_000)}`)
    const eliminated = Array.from({ length: 5 }, () => `item-${random.between(0, 1_000_000)}`)
    const rest = { scenario: 'home', items, eliminated, features: featuresOf(random.between(0, 9)) }
    events.push({ kind: 'impression', ...ids, eventTimeMs, ...rest })
    const dueMs = eventTimeMs + 30_000
    const click = { kind: 'click', ...ids, itemId: random.pick(items), eventTimeMs: dueMs } as const
    clicks.push({ dueMs, event: { ...click, action: 'click', weight: 1 } })
  }
  events.push(...clicks.map(({ event }) => event))
  return events.map((event, offset) => ({
    ...{ topic: 'bench.events', partition: 0, offset, timestampMs: 0, key: null },
    value: encodeEvent(event),
  }))
}

function featuresOf(device: number): Features {
  return {
    categorical: new Map([
      ['device', [`device-${device}`]],
      ['interests', ['sports', 'music', 'news']],
    ]),
    numeric: new Map([
      ['age', 20 + device],
      ['sessions', 3.5],
    ]),
    dense: new Map([['taste', Array.from({ length: 16 }, (_, i) => i / 16)]]),
  }
}

/** CPU milliseconds of the process. */
function timed(run: () => void): number {
  const before = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1_000
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}
