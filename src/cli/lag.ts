import { groupName } from '../records/topics.ts'
import type { Config } from '../config/schema.ts'
import type { TopicNames } from '../records/topics.ts'
import type { KafkaClient } from '../runtime/ports.ts'

export interface Lag {
  readonly role: string
  readonly topic: string
  /** Not committed yet. */
  readonly records: number
}

/** How far ingest and the joiner are behind the ends of their topics. The learner reports its own lag. */
export function upstreamLags(
  kafka: KafkaClient,
  topics: TopicNames,
  config: Config,
): Promise<Lag[]> {
  const lagOf = async (role: string, topic: string): Promise<Lag> => {
    const groupId = groupName(config.kafka.topicPrefix, role)
    const [ends, committed] = await Promise.all([
      kafka.offsets(topic),
      kafka.committed(groupId, topic),
    ])
    const behind = ends.map(({ partition, low, high }) =>
      Math.max(0, high - (committed.get(partition)?.offset ?? low)),
    )
    return { role, topic, records: behind.reduce((sum, records) => sum + records, 0) }
  }
  const own = Object.values(config.sources).map((source) => source.topic)
  const sources = [topics.impressions, topics.clicks, ...own]
  return Promise.all([
    ...sources.map((topic) => lagOf('ingest', topic)),
    lagOf('joiner', topics.events),
  ])
}
