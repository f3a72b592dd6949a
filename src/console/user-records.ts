import { decodeRecallReply, decodeRecallRequest } from '../records/codec.ts'
import type { TopicNames } from '../records/topics.ts'
import type { Example, Features } from '../records/types.ts'
import { scanAll } from '../runtime/inspect/scan.ts'
import { decoded } from '../runtime/kafka/readable.ts'
import type { KafkaClient } from '../runtime/ports.ts'
import type { Located } from '../streams/explain.ts'
import type { PassportFacts } from './passport.ts'

const repliesMax = 4_000

/** The first reply whose row had learned from an example, among the newest requests. */
export async function firstReplyWith(
  kafka: Pick<KafkaClient, 'offsets' | 'readRange'>,
  topics: Pick<TopicNames, 'recallRequests' | 'recallReplies'>,
  userId: string,
  { offset, arrivedMs, record: { eventTimeMs } }: Located<Example>,
): Promise<Pick<PassportFacts, 'reply' | 'repliesSeen'>> {
  const asked = new Set<string>()
  await scanAll(kafka, topics.recallRequests, repliesMax, ({ timestampMs, value }) => {
    if (timestampMs < arrivedMs) return
    const request = decoded(decodeRecallRequest, value)
    if (request?.userId === userId) asked.add(request.correlationId)
  })
  let reply: PassportFacts['reply'] = null
  let repliesSeen = 0
  if (asked.size === 0) return { reply, repliesSeen }
  await scanAll(kafka, topics.recallReplies, repliesMax, ({ key, timestampMs, value }) => {
    if (key === null || !asked.has(key.toString())) return
    const found = decoded(decodeRecallReply, value)
    if (found === null) return
    repliesSeen++
    const { userOffset, userEventTimeMs } = found
    // What a generation came with has no offset, but the event time of what it has learnt last.
    const isInIt = userOffset === -1 ? userEventTimeMs >= eventTimeMs : (userOffset ?? -1) >= offset
    if (!isInIt) return
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
