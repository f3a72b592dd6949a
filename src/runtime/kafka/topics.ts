import type { Config } from '../../config/schema.ts'
import { topicNames } from '../../records/topics.ts'
import type { TopicDefinition } from '../ports.ts'

const forever = '-1'
const dayMs = '86400000'
const longMax = '9223372036854775807'
const mebibyte = 1_048_576

/** Arrival is when the broker appended the record, whatever clock the producer has. */
const arrivalTime = { 'message.timestamp.type': 'LogAppendTime' }

/** The record carries the arrival time of its source, however old that is. */
const carriedTime = {
  'message.timestamp.type': 'CreateTime',
  'message.timestamp.before.max.ms': longMax,
  'message.timestamp.after.max.ms': longMax,
}

const compacted = { 'cleanup.policy': 'compact' }

/** Every topic freshet owns. Sources of a team's own are not among them. */
export function topicDefinitions(config: Config): TopicDefinition[] {
  const names = topicNames(config.kafka.topicPrefix)
  const { partitions } = config.kafka
  const define = (
    topic: string,
    count: number,
    settings: Readonly<Record<string, string>>,
    bytesMax = 2 * mebibyte,
  ): TopicDefinition => ({
    topic,
    partitions: count,
    config: { 'max.message.bytes': String(bytesMax), ...settings },
  })
  return [
    // Larger than ingest accepts, so that a record too large reaches the dead letters instead of the producer's log.
    define(names.impressions, partitions, arrivalTime, 8 * mebibyte),
    define(names.clicks, partitions, arrivalTime, 8 * mebibyte),
    define(names.events, partitions, carriedTime, 4 * mebibyte),
    // The learner's cut log is replayed from here: what it names must stay readable.
    define(names.items, partitions, {
      ...compacted,
      ...arrivalTime,
      'min.compaction.lag.ms': dayMs,
    }),
    define(names.examples, partitions, carriedTime, 4 * mebibyte),
    define(names.overrides, 1, compacted),
    // Only closed segments are compacted, and every pod that starts reads what is left from the beginning.
    define(names.snapshots, 1, { ...compacted, 'segment.bytes': String(64 * mebibyte) }),
    define(names.reports, 1, { 'retention.ms': dayMs }),
    define(names.control, 1, compacted),
    define(names.controlHistory, 1, { 'retention.ms': forever }),
    define(names.recallRequests, partitions, { 'retention.ms': dayMs }),
    define(names.recallReplies, partitions, { 'retention.ms': dayMs }),
    // Original bytes and what is said about them.
    define(names.deadLetters, 1, { 'retention.ms': forever }, 9 * mebibyte),
  ]
}
