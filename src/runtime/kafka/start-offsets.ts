import { FreshetError } from '../../errors.ts'
import type { CommittedOffset, StartPosition, TopicPartition } from '../ports.ts'
import { partitionKey } from '../ports.ts'
import type { Connection } from './connection.ts'
import { protocolType } from './errors.ts'
import { offsetFetchRequest } from './offset-fetch.ts'
import { listOffsets } from './offsets.ts'

/** Turns start positions into offsets; 'committed' is the start of the partition where nothing is committed. */
export async function startOffsets(
  connection: Connection,
  groupId: string,
  partitions: readonly TopicPartition[],
  positions: ReadonlyMap<string, StartPosition>,
): Promise<ReadonlyMap<string, number>> {
  const offsets = new Map<string, number>()
  for (const topic of new Set(partitions.map((p) => p.topic))) {
    const ofTopic = partitions.filter((p) => p.topic === topic)
    const wanted = (p: TopicPartition): StartPosition =>
      positions.get(partitionKey(p)) ?? 'committed'
    const committed = ofTopic.some((p) => wanted(p) === 'committed')
      ? await fetchCommitted(
          connection,
          groupId,
          topic,
          ofTopic.map((p) => p.partition),
        )
      : new Map<number, CommittedOffset>()
    const resolved = ofTopic.map((p) => {
      const position = wanted(p)
      return position === 'committed'
        ? (committed.get(p.partition)?.offset ?? 'earliest')
        : position
    })
    for (const which of ['earliest', 'latest'] as const) {
      const open = ofTopic.filter((_, i) => resolved[i] === which)
      const found = await connection.retrying('read offsets', () =>
        listOffsets(
          connection,
          topic,
          open.map((p) => p.partition),
          which,
        ),
      )
      for (const [i, p] of open.entries()) offsets.set(partitionKey(p), found[i]!)
    }
    for (const [i, p] of ofTopic.entries()) {
      const position = resolved[i]
      if (typeof position === 'number') offsets.set(partitionKey(p), position)
    }
  }
  return offsets
}

const unstableMs = 60_000

/**
 * Committed offsets of these partitions; waits for a transaction that is being closed.
 * @throws FreshetError BROKER_UNAVAILABLE when that takes a minute
 */
export async function fetchCommitted(
  connection: Connection,
  groupId: string,
  topic: string,
  partitions: readonly number[],
): Promise<ReadonlyMap<number, CommittedOffset>> {
  const what = `read the committed offsets of ${groupId}`
  const fetch = async (): Promise<Map<number, CommittedOffset>> => {
    const coordinator = await connection.findCoordinator(groupId)
    return connection.send(coordinator.nodeId, offsetFetchRequest(groupId, topic, partitions))
  }
  try {
    return await connection.retrying(what, fetch, { deadlineMs: unstableMs })
  } catch (cause) {
    if (protocolType(cause) !== 'UNSTABLE_OFFSET_COMMIT') throw cause
    const message = `${what}: a transaction with offsets of ${topic} does not end. If its producer is gone, it hangs: see kafka-transactions.sh find-hanging`
    throw new FreshetError('BROKER_UNAVAILABLE', message, { cause })
  }
}
