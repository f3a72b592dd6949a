import { FreshetError, messageOf } from '../../errors.ts'
import type { Batch, Logger, TopicPartition } from '../ports.ts'
import { partitionKey } from '../ports.ts'
import type { Connection } from './connection.ts'
import { isPassing, protocol, protocolError } from './errors.ts'
import type { FetchedPartition, FetchOptions } from './fetch.ts'
import { fetchRequest } from './fetch.ts'
import { listOffsets } from './offsets.ts'
import { decodeRecordSet } from './record-batch-decode.ts'

export interface Progress extends TopicPartition {
  /** Offset of the next record to read; behind control records and aborted transactions. */
  readonly position: number
  readonly highWatermark: number
}

export interface ReaderOptions {
  readonly connection: Connection
  readonly log: Logger
  readonly fetch: FetchOptions
  onBatch(batch: Batch): Promise<void> | void
  /** After every answer of a broker, also one without records. */
  onProgress?(progress: Progress): void
  /** An error that does not pass by itself, also one thrown by onBatch; reading has stopped. */
  onFailure(error: unknown): void
}

interface Entry {
  readonly topic: string
  readonly partition: number
  position: number
  isFetching: boolean
  /** Changes with every seek: what was fetched before it is dropped. */
  version: number
}

/**
 * Reads partitions from given positions, one fetch under way per broker. A partition's batches come in order, and one is
 * handed over before the next is fetched. Positions are exact: they also move over what is never handed over.
 */
export class PartitionReader {
  readonly #options: ReaderOptions
  readonly #entries = new Map<string, Entry>()
  /** Also of partitions that are about to be assigned: whoever owns one may pause it before its position is known. */
  readonly #paused = new Set<string>()
  readonly #busyNodes = new Set<number>()
  #isStopped = false

  constructor(options: ReaderOptions) {
    this.#options = options
  }

  assign(partition: TopicPartition, offset: number): void {
    this.#entries.set(partitionKey(partition), {
      topic: partition.topic,
      partition: partition.partition,
      position: offset,
      isFetching: false,
      version: 0,
    })
    this.#schedule()
  }

  unassign(partition: TopicPartition): void {
    this.#entries.delete(partitionKey(partition))
    this.#paused.delete(partitionKey(partition))
  }

  pause(partition: TopicPartition): void {
    this.#paused.add(partitionKey(partition))
  }

  resume(partition: TopicPartition): void {
    if (this.#paused.delete(partitionKey(partition))) this.#schedule()
  }

  seek(partition: TopicPartition, offset: number): void {
    const entry = this.#entries.get(partitionKey(partition))
    if (entry === undefined) return
    entry.position = offset
    entry.version++
    this.#schedule()
  }

  stop(): void {
    this.#isStopped = true
    this.#entries.clear()
  }

  #schedule(): void {
    if (this.#isStopped || this.#options.connection.isClosed) return
    const idle = new Map<number, Entry[]>()
    for (const [key, entry] of this.#entries) {
      if (this.#paused.has(key) || entry.isFetching) continue
      const node = this.#options.connection.leaderOf(entry.topic, entry.partition) ?? -1
      if (this.#busyNodes.has(node)) continue
      const group = idle.get(node)
      if (group === undefined) idle.set(node, [entry])
      else group.push(entry)
    }
    for (const [node, entries] of idle) void this.#fetchFrom(node, entries)
  }

  async #fetchFrom(node: number, entries: readonly Entry[]): Promise<void> {
    this.#busyNodes.add(node)
    for (const entry of entries) entry.isFetching = true
    try {
      if (node < 0) await this.#refreshLater()
      else await this.#fetchOnce(node, entries)
    } catch (error) {
      if (!this.#isStopped) {
        this.#isStopped = true
        this.#options.onFailure(error)
      }
    } finally {
      for (const entry of entries) entry.isFetching = false
      this.#busyNodes.delete(node)
      this.#schedule()
    }
  }

  async #fetchOnce(node: number, entries: readonly Entry[]): Promise<void> {
    const { connection, fetch } = this.#options
    const versions = entries.map((entry) => entry.version)
    const request = fetchRequest(
      entries.map((e) => ({ topic: e.topic, partition: e.partition, offset: e.position })),
      fetch,
    )
    let answers: readonly FetchedPartition[]
    try {
      answers = await connection.send(node, request)
    } catch (error) {
      if (connection.isClosed) return
      this.#options.log.debug({ node, error: messageOf(error) }, 'fetch failed, trying again')
      await this.#refreshLater()
      return
    }
    const byKey = new Map(answers.map((answer) => [partitionKey(answer), answer]))
    let mustRefresh = false
    for (const [i, entry] of entries.entries()) {
      const answer = byKey.get(partitionKey(entry))
      if (answer === undefined || !this.#isCurrent(entry, versions[i]!)) continue
      if (answer.errorCode === 0) await this.#handOver(entry, answer)
      else if (answer.errorCode === protocol.offsetOutOfRange) await this.#reset(entry)
      else if (isPassing(answer.errorCode)) mustRefresh = true
      else throw protocolError(answer.errorCode)
    }
    this.#rotate(entries)
    if (mustRefresh) await this.#refreshLater()
  }

  async #handOver(entry: Entry, answer: FetchedPartition): Promise<void> {
    const { topic, partition, version } = entry
    const { highWatermark } = answer
    const { records, nextOffset } = decodeRecordSet(
      answer.recordSet,
      topic,
      partition,
      entry.position,
      answer.aborted,
    )
    entry.position = nextOffset
    if (records.length > 0) {
      await this.#options.onBatch({ topic, partition, highWatermark, records })
    }
    if (this.#entries.get(partitionKey(entry)) === entry && entry.version === version) {
      this.#options.onProgress?.({ topic, partition, position: nextOffset, highWatermark })
    }
  }

  #isCurrent(entry: Entry, version: number): boolean {
    const key = partitionKey(entry)
    return (
      !this.#isStopped &&
      !this.#paused.has(key) &&
      entry.version === version &&
      this.#entries.get(key) === entry
    )
  }

  /** The broker fills an answer in the order asked: who was first goes last, so that none starves. */
  #rotate(entries: readonly Entry[]): void {
    const key = partitionKey(entries[0]!)
    const entry = this.#entries.get(key)
    if (entry === undefined || entries.length < 2) return
    this.#entries.delete(key)
    this.#entries.set(key, entry)
  }

  /** The position is gone (retention) or beyond the end (the topic was made anew): go on with what there is. */
  async #reset(entry: Entry): Promise<void> {
    const { connection, log } = this.#options
    const [low] = await connection.retrying('read offsets', () =>
      listOffsets(connection, entry.topic, [entry.partition], 'earliest'),
    )
    if (low === undefined) throw new FreshetError('TOPIC_INVALID', `topic ${entry.topic} is gone`)
    log.warn(
      { topic: entry.topic, partition: entry.partition, position: entry.position, earliest: low },
      'the position is not in the partition any more: reading goes on at its start',
    )
    entry.position = low
    entry.version++
  }

  async #refreshLater(): Promise<void> {
    const { connection } = this.#options
    await connection.pause(50)
    if (this.#isStopped || connection.isClosed) return
    await connection
      .retrying('find the leaders of partitions', () => connection.refresh())
      .catch((error: unknown) => {
        if (!connection.isClosed) throw error
      })
  }
}
