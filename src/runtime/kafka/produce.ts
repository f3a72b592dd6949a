import type { ProtocolEncoder, ProtocolRequest } from './kafkajs.ts'
import { Encoder } from './kafkajs.ts'
import { groupBy } from './group-by.ts'

export interface EncodedBatch {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
}

export interface ProduceResult {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
}

const acksAll = -1

/** Produce, version 7 (Kafka 2.1 and later): at most one batch of each partition. */
export function produceRequest(
  transactionalId: string | null,
  timeoutMs: number,
  batches: readonly EncodedBatch[],
): ProtocolRequest<ProduceResult[]> {
  return {
    request: {
      apiKey: 0,
      apiVersion: 7,
      apiName: 'Produce',
      encode: () => Promise.resolve(encode(transactionalId, timeoutMs, batches)),
    },
    response: {
      decode: (payload) => Promise.resolve(decode(payload)),
      parse: (decoded) => Promise.resolve(decoded),
    },
    requestTimeout: timeoutMs,
  }
}

function encode(
  transactionalId: string | null,
  timeoutMs: number,
  batches: readonly EncodedBatch[],
): ProtocolEncoder {
  const size = batches.reduce((sum, batch) => sum + batch.bytes.length + 64, 64)
  const byTopic = groupBy(batches, (batch) => batch.topic)
  const encoder = new Encoder(size)
    .writeString(transactionalId)
    .writeInt16(acksAll)
    .writeInt32(timeoutMs)
    .writeInt32(byTopic.size)
  for (const [topic, ofTopic] of byTopic) {
    encoder.writeString(topic).writeInt32(ofTopic.length)
    for (const { partition, bytes } of ofTopic) {
      encoder.writeInt32(partition).writeInt32(bytes.length).writeBuffer(bytes)
    }
  }
  return encoder
}

function decode(payload: Buffer): ProduceResult[] {
  const results: ProduceResult[] = []
  let at = 0
  const int16 = () => payload.readInt16BE((at += 2) - 2)
  const int32 = () => payload.readInt32BE((at += 4) - 4)
  for (let topics = int32(); topics > 0; topics--) {
    const nameBytes = int16()
    const topic = payload.toString('utf8', at, at + nameBytes)
    at += nameBytes
    for (let partitions = int32(); partitions > 0; partitions--) {
      results.push({ topic, partition: int32(), errorCode: int16() })
      at += 24
    }
  }
  return results
}
