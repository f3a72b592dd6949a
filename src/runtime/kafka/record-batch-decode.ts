import { FreshetError } from '../../errors.ts'
import type { SourceRecord } from '../../streams/stage.ts'
import { codecOf } from './codecs.ts'

/** Offsets in bytes of the fields of a record batch, format 2 (Kafka 0.11 and later). */
const at = {
  length: 8,
  magic: 16,
  attributes: 21,
  lastOffsetDelta: 23,
  firstTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  count: 57,
  records: 61,
} as const

const attribute = { logAppendTime: 0x08, transactional: 0x10, control: 0x20 } as const

export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
}

export interface FetchedRecords {
  readonly records: SourceRecord[]
  /** Where to go on reading: also past control records, aborted transactions and what compaction removed. */
  readonly nextOffset: number
}

/**
 * Records from `fetchOffset` on, without control records and those of aborted transactions. An incomplete batch at the
 * end is left for the next fetch. Values are slices of `bytes`. TCP guards the bytes, so checksums are not verified.
 */
export function decodeRecordSet(
  bytes: Buffer,
  topic: string,
  partition: number,
  fetchOffset: number,
  aborted: readonly AbortedTransaction[],
): FetchedRecords {
  const records: SourceRecord[] = []
  const abortedProducers = new Set<number>()
  let nextAborted = 0
  let nextOffset = fetchOffset

  for (let start = 0; start + at.records <= bytes.length;) {
    const end = start + 12 + bytes.readInt32BE(start + at.length)
    if (end > bytes.length) break
    if (bytes[start + at.magic] !== 2) {
      throw new FreshetError(
        'RECORD_UNDECODABLE',
        `${topic}/${partition} holds a message format older than Kafka 0.11`,
      )
    }
    const attributes = bytes.readInt16BE(start + at.attributes)
    const lastOffset = readInt64(bytes, start) + bytes.readInt32BE(start + at.lastOffsetDelta)
    const producerId = readInt64(bytes, start + at.producerId)
    while (nextAborted < aborted.length && aborted[nextAborted]!.firstOffset <= lastOffset) {
      abortedProducers.add(aborted[nextAborted++]!.producerId)
    }
    if ((attributes & attribute.control) !== 0) {
      if (isAbortMarker(bytes, start)) abortedProducers.delete(producerId)
    } else if ((attributes & attribute.transactional) === 0 || !abortedProducers.has(producerId)) {
      decodeBatch(bytes, start, end, attributes, topic, partition, fetchOffset, records)
    }
    nextOffset = Math.max(nextOffset, lastOffset + 1)
    start = end
  }
  return { records, nextOffset }
}

/** The key of a control record is [int16 version, int16 type]; type 0 ends an aborted transaction. */
function isAbortMarker(bytes: Buffer, start: number): boolean {
  const cursor = { at: start + at.records }
  readVarint(bytes, cursor)
  cursor.at += 1
  readVarint(bytes, cursor)
  readVarint(bytes, cursor)
  const keyLength = readVarint(bytes, cursor)
  return keyLength >= 4 && bytes.readInt16BE(cursor.at + 2) === 0
}

interface Cursor {
  at: number
}

function decodeBatch(
  bytes: Buffer,
  start: number,
  end: number,
  attributes: number,
  topic: string,
  partition: number,
  fetchOffset: number,
  into: SourceRecord[],
): void {
  const firstOffset = readInt64(bytes, start)
  const firstTimestamp = readInt64(bytes, start + at.firstTimestamp)
  const maxTimestamp = readInt64(bytes, start + at.maxTimestamp)
  const isAppendTime = (attributes & attribute.logAppendTime) !== 0
  const codec = codecOf(attributes)
  const body = codec === null ? bytes : codec.decompress(bytes.subarray(start + at.records, end))
  const cursor: Cursor = { at: codec === null ? start + at.records : 0 }

  for (let left = bytes.readInt32BE(start + at.count); left > 0; left--) {
    const length = readVarint(body, cursor)
    const next = cursor.at + length
    cursor.at += 1
    const timestampDelta = readVarint(body, cursor)
    const offset = firstOffset + readVarint(body, cursor)
    if (offset >= fetchOffset) {
      const key = readBytes(body, cursor)
      const value = readBytes(body, cursor)
      const timestampMs = isAppendTime ? maxTimestamp : firstTimestamp + timestampDelta
      const headerCount = readVarint(body, cursor)
      into.push(
        headerCount === 0
          ? { topic, partition, offset, timestampMs, key, value }
          : {
              topic,
              partition,
              offset,
              timestampMs,
              key,
              value,
              headers: readHeaders(body, cursor, headerCount),
            },
      )
    }
    cursor.at = next
  }
}

function readHeaders(bytes: Buffer, cursor: Cursor, count: number): Record<string, string> {
  const headers = Object.create(null) as Record<string, string>
  for (let left = count; left > 0; left--) {
    const name = readBytes(bytes, cursor)
    const value = readBytes(bytes, cursor)
    if (name !== null) headers[name.toString()] = value === null ? '' : value.toString()
  }
  return headers
}

function readBytes(bytes: Buffer, cursor: Cursor): Buffer | null {
  const length = readVarint(bytes, cursor)
  if (length < 0) return null
  const slice = bytes.subarray(cursor.at, cursor.at + length)
  cursor.at += length
  return slice
}

/** A zigzag varint of up to 53 bits: bitwise up to 28, arithmetic beyond, where numbers leave 32 bits. */
function readVarint(bytes: Buffer, cursor: Cursor): number {
  let value = 0
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = bytes[cursor.at++]!
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return (value >>> 1) ^ -(value & 1)
  }
  for (let factor = 2 ** 28; ; factor *= 128) {
    const byte = bytes[cursor.at++]
    if (byte === undefined)
      throw new FreshetError('RECORD_UNDECODABLE', 'record batch ends inside a number')
    value += (byte & 0x7f) * factor
    if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }
}

/** Exact up to 2^53; offsets, timestamps and producer ids stay far below. */
export function readInt64(bytes: Buffer, offset: number): number {
  return bytes.readInt32BE(offset) * 2 ** 32 + bytes.readUInt32BE(offset + 4)
}
