import { FreshetError } from '../../errors.ts'
import { partitionOfKey } from '../../records/partition.ts'
import type { SinkRecord } from '../../streams/stage.ts'
import { partitionKey } from '../ports.ts'
import type { CompressionName } from './codecs.ts'
import { codecNamed } from './codecs.ts'
import type { Connection } from './connection.ts'
import { isRetriable, isPassing, protocol, protocolError, toFreshetError } from './errors.ts'
import { groupBy } from './group-by.ts'
import type { EncodedBatch } from './produce.ts'
import { produceRequest } from './produce.ts'
import { approximateBytes, encodeRecordBatch } from './record-batch-encode.ts'

/** Records of one partition that travel together, with whoever waits for them. */
export interface PendingBatch<Owner> {
  readonly topic: string
  readonly partition: number
  readonly records: SinkRecord[]
  readonly owners: Set<Owner>
  bytes: number
}

export interface Identity {
  readonly transactionalId: string | null
  readonly producerId: number
  readonly producerEpoch: number
  /** Next sequence number by partition; the broker drops what it has seen and refuses gaps. */
  readonly sequences: Map<string, number>
}

/** 'retry': nothing is known or it passes; the same bytes may be sent again. */
export type Outcome = 'done' | 'retry' | 'lost-identity' | FreshetError

const batchBytesMax = 512_000
const largeRecordBytes = 64_000
const requestBytesMax = 8_000_000
const sequenceEnd = 2 ** 31

/**
 * Cuts records into batches, per partition in order. A record that is large alone gets a batch of its own, so that a
 * refusal of it does not take others along.
 */
export class BatchCutter<Owner> {
  readonly #queues = new Map<string, PendingBatch<Owner>[]>()
  readonly #connection: Connection
  #next = 0

  constructor(connection: Connection) {
    this.#connection = connection
  }

  add(records: readonly SinkRecord[], owner: Owner): void {
    for (const record of records) {
      const partition = record.partition ?? this.#partitionOf(record)
      const key = partitionKey({ topic: record.topic, partition })
      let queue = this.#queues.get(key)
      if (queue === undefined) this.#queues.set(key, (queue = []))
      const bytes = approximateBytes(record)
      let batch = queue.at(-1)
      if (batch === undefined || batch.bytes + bytes > batchBytesMax || bytes > largeRecordBytes) {
        batch = { topic: record.topic, partition, records: [], owners: new Set(), bytes: 0 }
        queue.push(batch)
      }
      batch.records.push(record)
      batch.owners.add(owner)
      // Counts as full, so that nothing joins a large record.
      batch.bytes += bytes > largeRecordBytes ? Math.max(bytes, batchBytesMax) : bytes
    }
  }

  /** What goes into the next request: at most one batch of each partition; empty when all is taken. */
  takeRound(): PendingBatch<Owner>[] {
    const round: PendingBatch<Owner>[] = []
    let bytes = 0
    for (const [key, queue] of this.#queues) {
      const batch = queue[0]!
      if (bytes > 0 && bytes + batch.bytes > requestBytesMax) continue
      queue.shift()
      if (queue.length === 0) this.#queues.delete(key)
      round.push(batch)
      bytes += batch.bytes
    }
    return round
  }

  /** Records without a key go round the partitions. */
  #partitionOf(record: SinkRecord): number {
    const partitions = this.#connection.partitionsOf(record.topic).length
    if (partitions === 0) {
      throw new FreshetError('TOPIC_INVALID', `topic ${record.topic} does not exist`)
    }
    return record.key === null ? this.#next++ % partitions : partitionOfKey(record.key, partitions)
  }
}

export function encodeBatch(
  batch: PendingBatch<unknown>,
  identity: Identity,
  compression: CompressionName,
): EncodedBatch {
  const { topic, partition } = batch
  const bytes = encodeRecordBatch(batch.records, {
    producerId: identity.producerId,
    producerEpoch: identity.producerEpoch,
    firstSequence: identity.sequences.get(partitionKey(batch)) ?? 0,
    isTransactional: identity.transactionalId !== null,
    codec: codecNamed(compression),
  })
  return { topic, partition, bytes }
}

export function advanceSequence(identity: Identity, batch: PendingBatch<unknown>): void {
  const key = partitionKey(batch)
  const next = (identity.sequences.get(key) ?? 0) + batch.records.length
  identity.sequences.set(key, next % sequenceEnd)
}

/** Sends each batch to the leader of its partition; outcomes by `partitionKey`. Never throws. */
export async function produceOnce(
  connection: Connection,
  identity: Identity,
  timeoutMs: number,
  batches: readonly EncodedBatch[],
): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>()
  const byLeader = groupBy(batches, (b) => connection.leaderOf(b.topic, b.partition) ?? -1)
  await Promise.all(
    [...byLeader].map(async ([node, ofLeader]) => {
      for (const batch of ofLeader) outcomes.set(partitionKey(batch), 'retry')
      if (node < 0) return
      try {
        const request = produceRequest(identity.transactionalId, timeoutMs, ofLeader)
        for (const result of await connection.send(node, request)) {
          outcomes.set(partitionKey(result), outcomeOf(result.errorCode, identity, result.topic))
        }
      } catch (error) {
        if (isRetriable(error)) return
        const failure = toFreshetError(error, 'produce')
        for (const batch of ofLeader) outcomes.set(partitionKey(batch), failure)
      }
    }),
  )
  return outcomes
}

function outcomeOf(code: number, identity: Identity, topic: string): Outcome {
  if (code === 0 || code === protocol.duplicateSequence) return 'done'
  if (isPassing(code)) return 'retry'
  const isIdentityLost =
    code === protocol.outOfOrderSequence ||
    code === protocol.unknownProducerId ||
    code === protocol.invalidProducerEpoch
  if (isIdentityLost && identity.transactionalId === null) return 'lost-identity'
  return toFreshetError(protocolError(code), `produce to ${topic}`)
}
