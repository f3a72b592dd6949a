import { sourceHeartbeatHeader } from '../../records/headers.ts'
import type { TopicNames } from '../../records/topics.ts'
import type { SinkRecord } from '../../streams/stage.ts'
import type { KafkaClient, TopicPartition } from '../ports.ts'

/** The heartbeats of a replay, one for each partition of impressions and clicks. */
export class Punctuation {
  readonly #partitions: readonly TopicPartition[]

  private constructor(partitions: readonly TopicPartition[]) {
    this.#partitions = partitions
  }

  static async of(
    kafka: Pick<KafkaClient, 'offsets'>,
    { impressions, clicks }: Pick<TopicNames, 'impressions' | 'clicks'>,
  ): Promise<Punctuation> {
    const ends = await Promise.all(
      [impressions, clicks].map(async (topic) =>
        (await kafka.offsets(topic)).map(({ partition }) => ({ topic, partition })),
      ),
    )
    return new Punctuation(ends.flat())
  }

  /** Nothing older than `eventTimeMs` follows. */
  heartbeats(eventTimeMs: number, timestampMs: number): SinkRecord[] {
    const headers = { [sourceHeartbeatHeader]: String(eventTimeMs) }
    return this.#partitions.map(({ topic, partition }) => {
      return { topic, partition, key: null, value: null, timestampMs, headers }
    })
  }
}
