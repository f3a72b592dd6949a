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

/** A setting of a topic, and how the one that is found may differ. */
export interface SettingNeed {
  readonly name: string
  readonly value: string
  readonly compare: 'equal' | 'at-least' | 'at-most'
}

export interface TopicNeeds extends TopicDefinition {
  readonly needs: readonly SettingNeed[]
}

const equalSettings = new Set(['cleanup.policy', 'message.timestamp.type'])

/** What a topic must be so that freshet works on it, whoever has made it: more than its definition, and less exact. */
export function topicNeeds(config: Config): TopicNeeds[] {
  const kept = keptAtLeastMs(config)
  return topicDefinitions(config).map((definition) => {
    const keptMs = kept.get(definition.topic)
    const settings = {
      'cleanup.policy': 'delete',
      ...(keptMs === undefined ? {} : { 'retention.ms': String(keptMs) }),
      ...definition.config,
    }
    const needs = Object.entries(settings).map(([name, value]): SettingNeed => {
      if (equalSettings.has(name)) return { name, value, compare: 'equal' }
      return { name, value, compare: name === 'segment.bytes' ? 'at-most' : 'at-least' }
    })
    return { ...definition, needs }
  })
}

/** Of the topics that are made with the broker's default: whoever reads them again must find it all. */
function keptAtLeastMs({ kafka, joiner, generations }: Config): ReadonlyMap<string, number> {
  const names = topicNames(kafka.topicPrefix)
  const open = joiner.windowMs + joiner.graceMs
  // A generation learns again from its cut: the day that is open, and one in which the next is trained.
  const replayed = 2 * Number(dayMs) + generations.rollbackWindowMs
  return new Map([
    [names.impressions, open],
    [names.clicks, open],
    [names.events, open],
    [names.examples, replayed],
  ])
}

/** Whether a setting that a topic has is as needed; absent: this broker does not know it, so it cannot be in the way. */
export function isMet({ value, compare }: SettingNeed, found: string | undefined): boolean {
  if (found === undefined || found === value) return true
  if (compare === 'equal') return false
  if (compare === 'at-most') return BigInt(found) <= BigInt(value)
  return found === forever || (value !== forever && BigInt(found) >= BigInt(value))
}
