import {
  decodeEvent,
  decodeExample,
  decodeRecallReply,
  decodeRecallRequest,
} from '../records/codec.ts'
import type { TopicNames } from '../records/topics.ts'
import type { Click, Example, Features, Impression } from '../records/types.ts'
import type { KafkaClient } from '../runtime/ports.ts'
import type { SourceRecord } from '../streams/stage.ts'
import type { Located, PassportFacts } from './passport.ts'
import { readable, scanAll, scanNewest } from './scan.ts'

type Reader = Pick<KafkaClient, 'offsets' | 'readRange'>
export type Found<T> = Located & { readonly record: T }

/** What the newest records of a user's partition say of the user, in order. */
export interface UserRecords {
  readonly examples: readonly Found<Example>[]
  readonly impressions: readonly Found<Impression>[]
  readonly clicks: readonly Found<Click>[]
  readonly scanned: string
}

const recordsMax = 20_000
const repliesMax = 4_000

export async function recordsOfUser(
  kafka: Reader,
  topics: Pick<TopicNames, 'events' | 'examples'>,
  partition: number,
  userId: string,
): Promise<UserRecords> {
  const examples: Found<Example>[] = []
  const impressions: Found<Impression>[] = []
  const clicks: Found<Click>[] = []
  const key = Buffer.from(userId)
  const isOfUser = (record: SourceRecord): boolean => record.key?.equals(key) === true
  await scanNewest(kafka, { topic: topics.examples, partition }, recordsMax, (record) => {
    if (!isOfUser(record)) return
    const example = readable(decodeExample, record.value)
    if (example?.kind === 'example') examples.push(foundAt(record, example))
  })
  await scanNewest(kafka, { topic: topics.events, partition }, recordsMax, (record) => {
    if (!isOfUser(record)) return
    const event = readable(decodeEvent, record.value)
    if (event?.kind === 'impression') impressions.push(foundAt(record, event))
    if (event?.kind === 'click') clicks.push(foundAt(record, event))
  })
  const scanned = `the newest ${recordsMax.toLocaleString('en-US')} records of partition ${partition}`
  return { examples, impressions, clicks, scanned }
}

function foundAt<T>({ partition, offset, timestampMs }: SourceRecord, record: T): Found<T> {
  return { partition, offset, arrivedMs: timestampMs, record }
}

/** The first reply whose row had learned from a click of this event time, among the newest requests. */
export async function firstReplyWith(
  kafka: Reader,
  topics: Pick<TopicNames, 'recallRequests' | 'recallReplies'>,
  userId: string,
  eventTimeMs: number,
  arrivedMs: number,
): Promise<Pick<PassportFacts, 'reply' | 'repliesSeen'>> {
  const asked = new Set<string>()
  await scanAll(kafka, topics.recallRequests, repliesMax, ({ timestampMs, value }) => {
    if (timestampMs < arrivedMs) return
    const request = readable(decodeRecallRequest, value)
    if (request?.userId === userId) asked.add(request.correlationId)
  })
  let reply: PassportFacts['reply'] = null
  let repliesSeen = 0
  if (asked.size === 0) return { reply, repliesSeen }
  await scanAll(kafka, topics.recallReplies, repliesMax, ({ key, timestampMs, value }) => {
    if (key === null || !asked.has(key.toString())) return
    const found = readable(decodeRecallReply, value)
    if (found === null) return
    repliesSeen++
    if (found.userEventTimeMs < eventTimeMs) return
    if (reply !== null && reply.atMs <= timestampMs) return
    const { correlationId, generation, overrideSequence } = found
    reply = { atMs: timestampMs, correlationId, generation, overrideSequence }
  })
  return { reply, repliesSeen }
}

export function featureLines(features: Features): { name: string; value: string }[] {
  return [
    ...[...features.categorical].map(([name, values]) => ({ name, value: values.join(', ') })),
    ...[...features.numeric].map(([name, value]) => ({ name, value: String(value) })),
    ...[...features.dense].map(([name, values]) => ({ name, value: `${values.length} numbers` })),
  ]
}
