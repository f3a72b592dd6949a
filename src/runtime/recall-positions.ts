import type { TopicPartition } from './ports.ts'
import { partitionKey } from './ports.ts'

interface Progress {
  readonly partition: TopicPartition
  /** In the order of the log. */
  readonly open: Set<number>
  next: number
  committed: number
}

/** Offsets up to which every request has been dealt with, however their replies overtook each other. */
export class Positions {
  readonly #byPartition = new Map<string, Progress>()

  assign(partition: TopicPartition, offset: number): void {
    const progress = { partition, open: new Set<number>(), next: offset, committed: -1 }
    this.#byPartition.set(partitionKey(partition), progress)
  }

  revoke(partition: TopicPartition): void {
    this.#byPartition.delete(partitionKey(partition))
  }

  /** @returns what to call when the record is done with */
  begin(record: TopicPartition, offset: number): () => void {
    const progress = this.#byPartition.get(partitionKey(record))
    // Handed over before a rebalance took the partition away: its position is another pod's now.
    if (progress === undefined) return () => {}
    const { open } = progress
    open.add(offset)
    progress.next = offset + 1
    return () => open.delete(offset)
  }

  /** What has moved since `committed` was last called. */
  movable(): (TopicPartition & { readonly offset: number })[] {
    return [...this.#byPartition.values()]
      .map((progress) => ({ ...progress.partition, offset: doneThrough(progress), progress }))
      .filter(({ offset, progress }) => offset > progress.committed)
      .map(({ topic, partition, offset }) => ({ topic, partition, offset }))
  }

  committed(offsets: readonly (TopicPartition & { readonly offset: number })[]): void {
    for (const each of offsets) {
      const progress = this.#byPartition.get(partitionKey(each))
      if (progress !== undefined) progress.committed = each.offset
    }
  }
}

function doneThrough({ open, next }: Progress): number {
  const [oldest] = open
  return oldest ?? next
}
