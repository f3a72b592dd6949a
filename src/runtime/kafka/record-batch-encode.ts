import type { SinkRecord } from '../../streams/stage.ts'
import type { Codec } from './codecs.ts'
import { crc32c } from './kafkajs.ts'

export interface BatchHeader {
  readonly producerId: number
  readonly producerEpoch: number
  readonly firstSequence: number
  readonly isTransactional: boolean
  readonly codec: Codec | null
}

const headerBytes = 61
const crcAt = 17
const attributesAt = 21

/** One record batch, format 2, with the records in this order. */
export function encodeRecordBatch(records: readonly SinkRecord[], header: BatchHeader): Buffer {
  const firstTimestamp = records[0]!.timestampMs
  let maxTimestamp = firstTimestamp
  let bodyBytes = 0
  const sizes = new Int32Array(records.length)
  for (let i = 0; i < records.length; i++) {
    const record = records[i]!
    if (record.timestampMs > maxTimestamp) maxTimestamp = record.timestampMs
    const size = recordSize(record, i, record.timestampMs - firstTimestamp)
    sizes[i] = size
    bodyBytes += varintSize(size) + size
  }

  const plain = Buffer.allocUnsafe(headerBytes + bodyBytes)
  let at = headerBytes
  for (let i = 0; i < records.length; i++) {
    at = writeRecord(plain, at, records[i]!, sizes[i]!, i, records[i]!.timestampMs - firstTimestamp)
  }
  const batch =
    header.codec === null
      ? plain
      : Buffer.concat([
          plain.subarray(0, headerBytes),
          header.codec.compress(plain.subarray(headerBytes)),
        ])

  writeInt64(batch, 0, 0)
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(-1, 12)
  batch.writeInt8(2, 16)
  batch.writeInt16BE((header.codec?.id ?? 0) | (header.isTransactional ? 0x10 : 0), attributesAt)
  batch.writeInt32BE(records.length - 1, 23)
  writeInt64(batch, 27, firstTimestamp)
  writeInt64(batch, 35, maxTimestamp)
  writeInt64(batch, 43, header.producerId)
  batch.writeInt16BE(header.producerEpoch, 51)
  batch.writeInt32BE(header.firstSequence, 53)
  batch.writeInt32BE(records.length, 57)
  batch.writeUInt32BE(crc32c(batch.subarray(attributesAt)), crcAt)
  return batch
}

/** Bytes of a record on the wire, near enough to cut batches by. */
export function approximateBytes(record: SinkRecord): number {
  return 24 + (record.key?.length ?? 0) + (record.value?.length ?? 0)
}

function recordSize(record: SinkRecord, offsetDelta: number, timestampDelta: number): number {
  return (
    1 +
    varintSize(timestampDelta) +
    varintSize(offsetDelta) +
    fieldSize(record.key) +
    fieldSize(record.value) +
    headersSize(record.headers)
  )
}

function fieldSize(field: Buffer | string | null): number {
  if (field === null) return 1
  const length = typeof field === 'string' ? Buffer.byteLength(field) : field.length
  return varintSize(length) + length
}

function headersSize(headers: SinkRecord['headers']): number {
  if (headers === undefined) return 1
  const entries = Object.entries(headers)
  return entries.reduce(
    (sum, [name, value]) => sum + fieldSize(name) + fieldSize(value),
    varintSize(entries.length),
  )
}

function writeRecord(
  bytes: Buffer,
  start: number,
  record: SinkRecord,
  size: number,
  offsetDelta: number,
  timestampDelta: number,
): number {
  let at = writeVarint(bytes, start, size)
  bytes[at++] = 0
  at = writeVarint(bytes, at, timestampDelta)
  at = writeVarint(bytes, at, offsetDelta)
  at = writeField(bytes, at, record.key)
  at = writeField(bytes, at, record.value)
  const entries = record.headers === undefined ? [] : Object.entries(record.headers)
  at = writeVarint(bytes, at, entries.length)
  for (const [name, value] of entries) {
    at = writeField(bytes, at, name)
    at = writeField(bytes, at, value)
  }
  return at
}

function writeField(bytes: Buffer, start: number, field: Buffer | string | null): number {
  if (field === null) return writeVarint(bytes, start, -1)
  if (typeof field === 'string') {
    const at = writeVarint(bytes, start, Buffer.byteLength(field))
    return at + bytes.write(field, at)
  }
  const at = writeVarint(bytes, start, field.length)
  field.copy(bytes, at)
  return at + field.length
}

function varintSize(value: number): number {
  let rest = value >= 0 ? value * 2 : -value * 2 - 1
  let size = 1
  while (rest >= 128) {
    rest = Math.floor(rest / 128)
    size++
  }
  return size
}

function writeVarint(bytes: Buffer, start: number, value: number): number {
  let rest = value >= 0 ? value * 2 : -value * 2 - 1
  let at = start
  while (rest >= 128) {
    bytes[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  bytes[at++] = rest
  return at
}

function writeInt64(bytes: Buffer, at: number, value: number): void {
  bytes.writeInt32BE(Math.floor(value / 2 ** 32), at)
  bytes.writeUInt32BE(((value % 2 ** 32) + 2 ** 32) % 2 ** 32, at + 4)
}
