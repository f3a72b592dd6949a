import { FreshetError } from '../../errors.ts'
import type { OnlineRow } from '../ports.ts'

const headerBytes = 18
const recentItemsMax = 50
const idBytesMax = 0xffff

/**
 * One user's row as Redis holds it, little-endian throughout (as is every machine the tensor engine runs on):
 *   f64 offset, f64 event time in ms, u16 dim, dim x f32, u16 count, count x (u16 bytes, utf8 item id).
 * The offset comes first because the write script compares it to decide which of two values is newer.
 */
export function encodeRow(row: OnlineRow): Buffer {
  // An id too long for its length prefix could not have been clicked through our topics; leaving it out costs one exclusion.
  const ids = row.recentItems
    .slice(0, recentItemsMax)
    .map((id) => Buffer.from(id))
    .filter((id) => id.length <= idBytesMax)
  const rowBytes = row.row.byteLength
  const size = headerBytes + rowBytes + 2 + ids.reduce((sum, id) => sum + 2 + id.length, 0)
  const out = Buffer.allocUnsafe(size)
  out.writeDoubleLE(row.offset, 0)
  out.writeDoubleLE(row.eventTimeMs, 8)
  out.writeUInt16LE(row.row.length, 16)
  out.set(new Uint8Array(row.row.buffer, row.row.byteOffset, rowBytes), headerBytes)
  let at = out.writeUInt16LE(ids.length, headerBytes + rowBytes)
  for (const id of ids) {
    at = out.writeUInt16LE(id.length, at)
    at += id.copy(out, at)
  }
  return out
}

/** @throws FreshetError RECORD_UNDECODABLE naming the key when the bytes are not such a value. */
export function decodeRow(bytes: Buffer, key: string): OnlineRow {
  let at = headerBytes
  const need = (count: number): number => {
    if (at + count > bytes.length) throw notARow(key, `it ends at byte ${bytes.length}`)
    at += count
    return at - count
  }
  if (bytes.length < headerBytes) throw notARow(key, `it has ${bytes.length} bytes`)
  const rowBytes = bytes.readUInt16LE(16) * 4
  const start = need(rowBytes)
  // Copied, because a Float32Array needs alignment and the reply buffer is shared.
  const row = new Float32Array(Uint8Array.from(bytes.subarray(start, start + rowBytes)).buffer)
  const count = bytes.readUInt16LE(need(2))
  const recentItems: string[] = []
  for (let i = 0; i < count; i++) {
    const length = bytes.readUInt16LE(need(2))
    const from = need(length)
    recentItems.push(bytes.toString('utf8', from, from + length))
  }
  if (at !== bytes.length) throw notARow(key, `${bytes.length - at} bytes follow it`)
  return { offset: bytes.readDoubleLE(0), eventTimeMs: bytes.readDoubleLE(8), row, recentItems }
}

export interface Position {
  readonly offset: number
  readonly eventTimeMs: number
}

/** f64 offset, f64 event time: the head of a row, so the same script refuses an older one. */
export function encodePosition(position: Position): Buffer {
  const out = Buffer.allocUnsafe(16)
  out.writeDoubleLE(position.offset, 0)
  out.writeDoubleLE(position.eventTimeMs, 8)
  return out
}

export function encodeOffset(offset: number): Buffer {
  const out = Buffer.allocUnsafe(8)
  out.writeDoubleLE(offset)
  return out
}

export function decodePosition(bytes: Buffer, key: string): Position {
  if (bytes.length !== 16) throw notARow(key, `a position has 16 bytes, this ${bytes.length}`)
  return { offset: bytes.readDoubleLE(0), eventTimeMs: bytes.readDoubleLE(8) }
}

function notARow(key: string, why: string): FreshetError {
  return new FreshetError(
    'RECORD_UNDECODABLE',
    `The value of Redis key ${key} was not written by freshet: ${why}. Is another program using these keys?`,
  )
}
