import type { FreshetError } from '../errors.ts'
import type { SinkRecord, SourceRecord } from '../streams/stage.ts'

/** Everything the roles need from outside, as interfaces. Kafka behind `KafkaClient`: runtime/kafka is its one implementation. */

export interface Clock {
  nowMs(): number
}

export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(fields: object): Logger
}

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** Key of a partition in the maps below. */
export function partitionKey({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

export interface CommittedOffset {
  /** null: nothing committed */
  readonly offset: number | null
  readonly metadata: string
}

export interface Batch {
  readonly topic: string
  readonly partition: number
  /** Offset one past the partition's last record when this batch was fetched. */
  readonly highWatermark: number
  /** Keys and values are slices of the whole response: copy (`Buffer.from`) what is kept. */
  readonly records: readonly SourceRecord[]
}

/** Where reading starts in a partition handed out by `assigned`. */
export type StartPosition = number | 'earliest' | 'latest' | 'committed'

export interface GroupHandler {
  /**
   * Called after each rebalance with what was newly assigned; returns where each starts, by `partitionKey` (absent:
   * 'committed', which is 'earliest' where nothing is committed). Awaited before the first batch. Calls of `assigned`
   * and `revoked` never overlap.
   */
  assigned(partitions: readonly TopicPartition[]): Promise<ReadonlyMap<string, StartPosition>>
  /** Called when a rebalance took partitions away (or the session was lost). */
  revoked(partitions: readonly TopicPartition[]): Promise<void>
  /** One batch of one partition; batches of one partition come in order. Return quickly: pause instead of waiting. */
  onBatch(batch: Batch): Promise<void>
}

export interface GroupConsumer {
  pause(partition: TopicPartition): void
  resume(partition: TopicPartition): void
  seek(partition: TopicPartition, offset: number): void
  commit(offsets: readonly (TopicPartition & { readonly offset: number })[]): Promise<void>
  /** Leaves the group and joins again, dropping every assignment. */
  rejoin(): Promise<void>
  close(): Promise<void>
}

export interface GroupOptions {
  readonly groupId: string
  readonly topics: readonly string[]
  /** 'modulo': partition p of every topic to the same member; 'all-to-first': one active member, the others stand by. */
  readonly assignment: 'modulo' | 'all-to-first'
  readonly readUncommitted?: boolean
  readonly maxWaitMs?: number
  readonly maxBytes?: number
  readonly handler: GroupHandler
}

/** Reads every partition (or the named ones) of topics outside any shared group, read_committed. */
export interface TailOptions {
  readonly topics: readonly string[]
  readonly partitions?: readonly number[]
  /** A map: offset by `partitionKey`, 'earliest' for what is absent. */
  readonly from: 'earliest' | 'latest' | ReadonlyMap<string, number>
  readonly maxWaitMs?: number
  onBatch(batch: Batch): Promise<void> | void
  /** Reading has ended by itself, for good. */
  readonly onFailure?: (error: FreshetError) => void
}

export interface Tail {
  /** Resolves once everything that was in the topics when the tail was opened has been handed to onBatch. */
  readonly caughtUp: Promise<void>
  /** What has been fetched may still be handed over; a partition that is paused never counts as caught up. */
  pause(partition: TopicPartition): void
  resume(partition: TopicPartition): void
  close(): Promise<void>
}

export interface Producer {
  /** acks=all, idempotent, in order. Resolves when the broker has all of them. */
  send(records: readonly SinkRecord[]): Promise<void>
  close(): Promise<void>
}

/** One transaction at a time. Any indefinite failure makes the producer unusable: close it and open a new one. */
export interface TransactionalProducer {
  /**
   * Sends the records and, where given, the consumer offsets with their metadata, in one transaction.
   * @throws FreshetError PRODUCER_FENCED when a newer producer with the same id exists.
   */
  transact(
    records: readonly SinkRecord[],
    offsets?: {
      readonly groupId: string
      readonly offsets: readonly (TopicPartition & {
        readonly offset: number
        readonly metadata: string
      })[]
    },
  ): Promise<void>
  close(): Promise<void>
}

export interface TopicDefinition {
  readonly topic: string
  readonly partitions: number
  readonly config: Readonly<Record<string, string>>
}

export interface KafkaClient {
  producer(): Promise<Producer>
  /** Resolves after InitProducerId: every older producer of this id is fenced and its transaction ended. */
  transactionalProducer(transactionalId: string): Promise<TransactionalProducer>
  joinGroup(options: GroupOptions): Promise<GroupConsumer>
  tail(options: TailOptions): Promise<Tail>
  /** Reads [from, to) of one partition, read_committed, in order, and returns. Offsets may have gaps. */
  readRange(
    partition: TopicPartition,
    from: number,
    to: number,
    onBatch: (batch: Batch) => Promise<void> | void,
  ): Promise<void>
  createTopics(topics: readonly TopicDefinition[]): Promise<void>
  topicExists(topic: string): Promise<boolean>
  /** Earliest offset and offset one past the last record, of every partition. */
  offsets(
    topic: string,
  ): Promise<readonly { readonly partition: number; readonly low: number; readonly high: number }[]>
  committed(groupId: string, topic: string): Promise<ReadonlyMap<number, CommittedOffset>>
  /** Stays pending, logging what it waits for, until a broker answers. */
  waitUntilReachable(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** One user's row in the online store. */
export interface OnlineRow {
  /** Offset of the newest example in the row, in the partition that owns the user. */
  readonly offset: number
  readonly eventTimeMs: number
  /** [d] */
  readonly row: Float32Array
  /** Newest first, at most 50. */
  readonly recentItems: readonly string[]
}

export interface OnlineRead {
  /** False: no valid sentinel, so an absent row means nothing. */
  readonly isLoaded: boolean
  readonly row: OnlineRow | null
  /** null: unknown */
  readonly learnedThrough: { readonly offset: number; readonly eventTimeMs: number } | null
}

export interface OnlineWrite {
  readonly generation: string
  readonly partition: number
  /** Who writes: the store takes rows only from the run that loaded or claimed the partition last. */
  readonly runId: string
  readonly rows: readonly (OnlineRow & { readonly userId: string })[]
  readonly learnedThrough: { readonly offset: number; readonly eventTimeMs: number }
  /** learnedThrough.offset of the last acknowledged write. A store that holds less has lost writes. */
  readonly acknowledgedOffset?: number
  /** Users whose rows go. */
  readonly removedUsers?: readonly string[]
}

/**
 * Redis. Keys `{generation:partition}:user:<id>`, `…:learned-through`, `…:sentinel`, `…:loading`.
 * 'not-loaded': nothing was written, because there is no sentinel, it is another run's, or writes have been lost.
 */
export interface OnlineStore {
  /** Rows by an atomic script that refuses what is older than stored, then learnedThrough. */
  write(write: OnlineWrite): Promise<'written' | 'not-loaded'>
  /** Takes over a loaded partition from the run before; false when it is not loaded, or holds less than `acknowledgedOffset`. */
  claim(
    generation: string,
    partition: number,
    runId: string,
    acknowledgedOffset: number,
  ): Promise<boolean>
  /** Opens a bulk load: its mark vanishes with everything else when Redis is emptied before the load is closed. */
  beginLoad(generation: string, partition: number, runId: string): Promise<void>
  /** Bulk load, same refusal of older rows. 'not-loaded': the mark of this run is gone. */
  load(write: OnlineWrite): Promise<'written' | 'not-loaded'>
  /** Closes a bulk load. 'not-loaded': the mark of this run is gone, so rows may be missing; load again. */
  writeSentinel(
    generation: string,
    partition: number,
    sentinel: { readonly count: number; readonly offset: number; readonly runId: string },
  ): Promise<'written' | 'not-loaded'>
  /**
   * Removes everything of a generation: its sentinels first, so that no row that is missing is taken for a new user's; then the rows,
   * batch by batch, so that nobody waits for it. Looks at every key there is.
   * @returns how many rows went
   * @throws FreshetError REDIS_UNAVAILABLE, ABORTED; what is left goes with the next call
   */
  drop(generation: string, partitions: number, signal: AbortSignal): Promise<number>
  /** @throws FreshetError TIMEOUT after deadlineMs, REDIS_UNAVAILABLE */
  read(
    generation: string,
    partition: number,
    userId: string,
    deadlineMs: number,
  ): Promise<OnlineRead>
  waitUntilReachable(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}
