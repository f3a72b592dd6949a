import { brotliDecompressSync, crc32 } from 'node:zlib'
import type { Compressors } from 'hyparquet'
import { uncompressSync } from 'lz4-napi'
import type { ContainerCodec } from '../../records/object-container.ts'
import { deflate } from '../archive/deflate.ts'
import { codecNamed } from '../kafka/codecs.ts'

const gzip = codecNamed('gzip')!
const snappy = codecNamed('snappy')!
const zstd = codecNamed('zstd')!

/** How pages of Parquet are compressed; await `codecsReady` before the first one. */
export const pageCodecs: Compressors = {
  GZIP: (page) => gzip.decompress(bufferOf(page)),
  SNAPPY: (page) => snappy.decompress(bufferOf(page)),
  ZSTD: (page) => zstd.decompress(bufferOf(page)),
  BROTLI: (page) => brotliDecompressSync(page),
  LZ4_RAW: expandLz4,
}

/** How blocks of Avro files are compressed; await `codecsReady` before the first one. */
export const blockCodecs: readonly Pick<ContainerCodec, 'name' | 'expand'>[] = [
  { name: 'null', expand: (block) => block },
  deflate,
  { name: 'snappy', expand: expandSnappy },
  { name: 'zstandard', expand: (block) => zstd.decompress(block) },
]

const checksumBytes = 4

/** Avro puts the CRC-32 of what was compressed behind it. */
function expandSnappy(block: Buffer): Buffer {
  const expanded = snappy.decompress(block.subarray(0, -checksumBytes))
  if (crc32(expanded) !== block.readUInt32BE(block.length - checksumBytes)) {
    throw new Error('the checksum is not that of the block')
  }
  return expanded
}

/** A block of LZ4 does not say how long its content is; this library wants it in front. */
function expandLz4(page: Uint8Array, expandedBytes: number): Uint8Array {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(expandedBytes)
  return uncompressSync(Buffer.concat([length, page]))
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}
