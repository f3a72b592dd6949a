import { setImmediate as nextTurn } from 'node:timers/promises'
import type { KafkaClient, TopicPartition } from '../ports.ts'
import type { SourceRecord } from '../../streams/stage.ts'

type Reader = Pick<KafkaClient, 'offsets' | 'readRange'>

export interface Scan {
  readonly high: number
  readonly low: number
}

/**
 * Hands over at most `count` of the newest records of a partition, in order. Values are views: copy what is kept.
 * @throws FreshetError BROKER_UNAVAILABLE, TOPIC_INVALID
 */
export async function scanNewest(
  kafka: Reader,
  { topic, partition }: TopicPartition,
  count: number,
  onRecord: (record: SourceRecord) => void,
): Promise<Scan> {
  const ends = (await kafka.offsets(topic)).find((one) => one.partition === partition)
  if (ends === undefined) return { low: 0, high: 0 }
  const { low, high } = ends
  await kafka.readRange({ topic, partition }, Math.max(low, high - count), high, async (batch) => {
    for (const record of batch.records) onRecord(record)
    // Whoever else works in this process comes in between.
    await nextTurn()
  })
  return { low, high }
}

/** The same of every partition of a topic, one after the other. */
export async function scanAll(
  kafka: Reader,
  topic: string,
  count: number,
  onRecord: (record: SourceRecord) => void,
): Promise<void> {
  for (const { partition } of await kafka.offsets(topic)) {
    await scanNewest(kafka, { topic, partition }, count, onRecord)
  }
}
