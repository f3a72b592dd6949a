import type { GroupOptions, TopicPartition } from '../ports.ts'

export type Assignment = Readonly<Record<string, readonly number[]>>

/**
 * Partitions of each member. Deterministic, so whoever leads the group comes to the same result.
 * 'modulo': partition p of every topic to the member at p modulo their number, members sorted by id.
 * 'all-to-first': everything to the member with the smallest id.
 */
export function assign(
  assignment: GroupOptions['assignment'],
  memberIds: readonly string[],
  partitionCounts: ReadonlyMap<string, number>,
): ReadonlyMap<string, Assignment> {
  const members = [...memberIds].sort()
  const owners = assignment === 'modulo' ? members.length : 1
  return new Map(
    members.map((member, index) => [
      member,
      index < owners ? shareOf(index, owners, partitionCounts) : {},
    ]),
  )
}

function shareOf(index: number, owners: number, counts: ReadonlyMap<string, number>): Assignment {
  return Object.fromEntries(
    [...counts].map(([topic, count]) => [
      topic,
      Array.from({ length: count }, (_, p) => p).filter((p) => p % owners === index),
    ]),
  )
}

export function partitionsOf(assignment: Assignment): TopicPartition[] {
  return Object.entries(assignment).flatMap(([topic, partitions]) =>
    partitions.map((partition) => ({ topic, partition })),
  )
}
