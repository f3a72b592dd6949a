import type { CommittedOffset } from '../ports.ts'
import { protocolError } from './errors.ts'
import type { ProtocolEncoder, ProtocolRequest } from './kafkajs.ts'
import { Encoder } from './kafkajs.ts'
import { readInt64 } from './record-batch-decode.ts'

/**
 * OffsetFetch, version 7 (Kafka 2.5 and later), the first that can ask for *stable* offsets: while a transaction that
 * holds an offset is being closed, the broker says so instead of giving the offset before it. kafkajs stops at an older one.
 */
export function offsetFetchRequest(
  groupId: string,
  topic: string,
  partitions: readonly number[],
): ProtocolRequest<Map<number, CommittedOffset>> {
  return {
    request: {
      apiKey: 9,
      apiVersion: 7,
      apiName: 'OffsetFetch',
      encode: () => Promise.resolve(encode(groupId, topic, partitions)),
    },
    response: {
      decode: (payload) => Promise.resolve(decode(payload)),
      parse: (decoded) => Promise.resolve(decoded),
    },
  }
}

/** A flexible version: lengths are varints of the length + 1, and every structure, the header too, ends in tags (none). */
function encode(groupId: string, topic: string, partitions: readonly number[]): ProtocolEncoder {
  const encoder = new Encoder().writeInt8(0)
  writeCompactString(encoder, groupId)
  writeLength(encoder, 1)
  writeCompactString(encoder, topic)
  writeLength(encoder, partitions.length)
  for (const partition of partitions) encoder.writeInt32(partition)
  const requireStable = 1
  return encoder.writeInt8(0).writeInt8(requireStable).writeInt8(0)
}

function writeCompactString(encoder: ProtocolEncoder, text: string): void {
  const bytes = Buffer.from(text)
  writeLength(encoder, bytes.length)
  encoder.writeBuffer(bytes)
}

function writeLength(encoder: ProtocolEncoder, length: number): void {
  const bytes: number[] = []
  let rest = length + 1
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  encoder.writeBuffer(Buffer.from([...bytes, rest]))
}

function decode(payload: Buffer): Map<number, CommittedOffset> {
  const found = new Map<number, CommittedOffset>()
  let at = 5
  const int16 = () => payload.readInt16BE((at += 2) - 2)
  const int32 = () => payload.readInt32BE((at += 4) - 4)
  const length = () => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = payload[at++]!
      value |= (byte & 0x7f) << shift
      if (byte < 128) return value - 1
    }
  }
  for (let topics = length(); topics > 0; topics--) {
    const nameBytes = length()
    at += nameBytes
    for (let partitions = length(); partitions > 0; partitions--) {
      const partition = int32()
      const offset = readInt64(payload, at)
      at += 12
      const metadataBytes = Math.max(0, length())
      const metadata = payload.toString('utf8', at, at + metadataBytes)
      at += metadataBytes
      const errorCode = int16()
      if (errorCode !== 0) throw protocolError(errorCode)
      at += 1
      found.set(partition, { offset: offset < 0 ? null : offset, metadata })
    }
    at += 1
  }
  const errorCode = int16()
  if (errorCode !== 0) throw protocolError(errorCode)
  return found
}
