import type { ProtocolEncoder, ProtocolRequest } from './kafkajs.ts'
import { Encoder } from './kafkajs.ts'
import type { AbortedTransaction } from './record-batch-decode.ts'
import { readInt64 } from './record-batch-decode.ts'

export interface FetchPosition {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export interface FetchOptions {
  readonly isReadUncommitted: boolean
  readonly maxWaitMs: number
  readonly maxBytes: number
  readonly partitionMaxBytes: number
}

export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: number
  /** Up to here a reader of committed records gets, while a transaction is open. */
  readonly lastStableOffset: number
  readonly logStartOffset: number
  readonly aborted: readonly AbortedTransaction[]
  readonly recordSet: Buffer
}

/** Fetch, version 11 (Kafka 2.3 and later), without a fetch session. */
export function fetchRequest(
  positions: readonly FetchPosition[],
  options: FetchOptions,
): ProtocolRequest<FetchedPartition[]> {
  return {
    request: {
      apiKey: 1,
      apiVersion: 11,
      apiName: 'Fetch',
      encode: () => Promise.resolve(encode(positions, options)),
    },
    response: {
      decode: (payload) => Promise.resolve(decode(payload)),
      parse: (decoded) => Promise.resolve(decoded),
    },
    requestTimeout: options.maxWaitMs + 1_000,
  }
}

function encode(positions: readonly FetchPosition[], options: FetchOptions): ProtocolEncoder {
  const encoder = new Encoder(64 + positions.length * 64)
    .writeInt32(-1)
    .writeInt32(options.maxWaitMs)
    .writeInt32(1)
    .writeInt32(options.maxBytes)
    .writeInt8(options.isReadUncommitted ? 0 : 1)
    .writeInt32(0)
    .writeInt32(-1)
    .writeInt32(positions.length)
  for (const { topic, partition, offset } of positions) {
    encoder
      .writeString(topic)
      .writeInt32(1)
      .writeInt32(partition)
      .writeInt32(-1)
      .writeInt64(offset)
      .writeInt64(-1)
      .writeInt32(options.partitionMaxBytes)
  }
  return encoder.writeInt32(0).writeString('')
}

function decode(payload: Buffer): FetchedPartition[] {
  const fetched: FetchedPartition[] = []
  let at = 10
  const int16 = () => payload.readInt16BE((at += 2) - 2)
  const int32 = () => payload.readInt32BE((at += 4) - 4)
  const int64 = () => readInt64(payload, (at += 8) - 8)
  for (let topics = int32(); topics > 0; topics--) {
    const nameBytes = int16()
    const topic = payload.toString('utf8', at, at + nameBytes)
    at += nameBytes
    for (let partitions = int32(); partitions > 0; partitions--) {
      const partition = int32()
      const errorCode = int16()
      const highWatermark = int64()
      const lastStableOffset = int64()
      const logStartOffset = int64()
      const aborted: AbortedTransaction[] = []
      for (let left = int32(); left > 0; left--) {
        aborted.push({ producerId: int64(), firstOffset: int64() })
      }
      at += 4
      const bytes = Math.max(0, int32())
      const recordSet = payload.subarray(at, at + bytes)
      at += bytes
      fetched.push({
        topic,
        partition,
        errorCode,
        highWatermark,
        lastStableOffset,
        logStartOffset,
        aborted: aborted.sort((a, b) => a.firstOffset - b.firstOffset),
        recordSet,
      })
    }
  }
  return fetched
}
