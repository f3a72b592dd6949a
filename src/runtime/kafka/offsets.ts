import type { Connection } from './connection.ts'

const timestamps = { earliest: -2, latest: -1 } as const

/**
 * Offsets of these partitions, in their order. 'latest' is one past the last record, 'stable' one past the last that a
 * reader of committed records can get now.
 */
export async function listOffsets(
  connection: Connection,
  topic: string,
  partitions: readonly number[],
  which: 'earliest' | 'latest' | 'stable',
): Promise<number[]> {
  const byNode = new Map<number, number[]>()
  for (const partition of partitions) {
    const node = connection.leaderOf(topic, partition) ?? -1
    byNode.set(node, [...(byNode.get(node) ?? []), partition])
  }
  const found = new Map<number, number>()
  for (const [nodeId, ofNode] of byNode) {
    const broker = await connection.cluster.findBroker({ nodeId })
    const timestamp = timestamps[which === 'earliest' ? 'earliest' : 'latest']
    const { responses } = await broker.listOffsets({
      isolationLevel: which === 'stable' ? 1 : 0,
      topics: [{ topic, partitions: ofNode.map((partition) => ({ partition, timestamp })) }],
    })
    for (const { partition, offset } of responses.flatMap((r) => r.partitions)) {
      found.set(partition, Number(offset))
    }
  }
  return partitions.map((partition) => found.get(partition)!)
}
