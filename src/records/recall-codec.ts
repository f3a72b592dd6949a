import { olderSchemas } from './schema-history.ts'
import { topicSchemas } from './schemas.ts'
import { topicValues } from './topic-values.ts'
import type { Features, RecallReply, RecallRequest, RecallStatus } from './types.ts'

/** Values of the recall request and reply topics. */

interface RecallRequestRecord {
  readonly correlation_id: string
  readonly user_id: string
  readonly features: Features
  readonly k: number
  readonly scenario: string
  readonly exclude: readonly string[]
  readonly filter: { readonly feature: string; readonly values: readonly string[] } | null
  readonly timeout_ms: number
  readonly reply_topic: string
  readonly reply_partition: number
  readonly with_titles: boolean
}

const recallRequests = topicValues<RecallRequestRecord>(
  'recall request',
  topicSchemas.recallRequests,
)

export function encodeRecallRequest(request: RecallRequest): Buffer {
  return recallRequests.encode({
    correlation_id: request.correlationId,
    user_id: request.userId,
    features: request.features,
    k: request.k,
    scenario: request.scenario,
    exclude: request.exclude,
    filter: request.filter,
    timeout_ms: request.timeoutMs,
    reply_topic: request.replyTopic,
    reply_partition: request.replyPartition,
    with_titles: request.withTitles,
  })
}

export function decodeRecallRequest(value: Buffer): RecallRequest {
  const record = recallRequests.decode(value)
  return {
    correlationId: record.correlation_id,
    userId: record.user_id,
    features: record.features,
    k: record.k,
    scenario: record.scenario,
    exclude: record.exclude,
    filter: record.filter,
    timeoutMs: record.timeout_ms,
    replyTopic: record.reply_topic,
    replyPartition: record.reply_partition,
    withTitles: record.with_titles,
  }
}

interface RecallReplyRecord {
  readonly correlation_id: string
  readonly status: string
  readonly message: string
  readonly items: readonly {
    readonly item_id: string
    readonly score: number
    readonly title: string
  }[]
  readonly generation: string
  readonly override_sequence: number
  readonly user_event_time: number
  readonly learned_through: number
  readonly user_offset: number | null
}

const recallReplies = topicValues<RecallReplyRecord>(
  'recall reply',
  topicSchemas.recallReplies,
  olderSchemas.recallReplies,
)

export function encodeRecallReply(reply: RecallReply): Buffer {
  return recallReplies.encode({
    correlation_id: reply.correlationId,
    status: reply.status,
    message: reply.message,
    items: reply.items.map(({ itemId, score, title }) => ({ item_id: itemId, score, title })),
    generation: reply.generation,
    override_sequence: reply.overrideSequence,
    user_event_time: reply.userEventTimeMs,
    learned_through: reply.learnedThroughMs,
    user_offset: reply.userOffset,
  })
}

export function decodeRecallReply(value: Buffer): RecallReply {
  const record = recallReplies.decode(value)
  return {
    correlationId: record.correlation_id,
    status: record.status as RecallStatus,
    message: record.message,
    items: record.items.map(({ item_id, score, title }) => ({ itemId: item_id, score, title })),
    generation: record.generation,
    overrideSequence: record.override_sequence,
    userEventTimeMs: record.user_event_time,
    learnedThroughMs: record.learned_through,
    userOffset: record.user_offset,
  }
}
