import type { KafkaClient } from '../runtime/ports.ts'

/** Records of a topic that a group has not committed yet. */
export async function lagOf(kafka: KafkaClient, groupId: string, topic: string): Promise<number> {
  const [ends, committed] = await Promise.all([
    kafka.offsets(topic),
    kafka.committed(groupId, topic),
  ])
  return ends.reduce(
    (sum, { partition, low, high }) =>
      sum + Math.max(0, high - (committed.get(partition)?.offset ?? low)),
    0,
  )
}
