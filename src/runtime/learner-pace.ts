import type { Batch, TopicPartition } from './ports.ts'

/** In which order, and when, a lineage learns what comes and publishes what it has learnt. */
export interface LearnerPace {
  /** What has to be read. */
  readonly topics: readonly string[]
  /** Takes what was read. @returns how many of the records had come before */
  add(batch: Batch): number
  /** Learns and publishes until `stop`. @throws what went wrong */
  run(): Promise<void>
  /** Ends `run` at the next moment that allows it. */
  stop(): void
  /** There may be something to do. */
  wake(): void
  /** Everything that was begun is whole, so that it may be published. */
  readonly isWhole: boolean
  /** Records not learnt yet, as last heard of. */
  lags(): readonly (TopicPartition & { readonly lag: number })[]
}
