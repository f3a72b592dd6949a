import { gunzipSync, gzipSync } from 'node:zlib'
import * as zstd from '@bokuweb/zstd-wasm'
import { compressFrameSync, decompressFrameSync } from 'lz4-napi'
import { compressSync, uncompressSync } from 'snappy'
import { FreshetError } from '../../errors.ts'

export type CompressionName = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** A record batch is compressed as one block, so these are synchronous: at most a few MB at a time. */
export interface Codec {
  /** Lowest three bits of the attributes of a record batch. */
  readonly id: number
  compress(bytes: Buffer): Buffer
  decompress(bytes: Buffer): Buffer
}

const codecs: Readonly<Record<Exclude<CompressionName, 'none'>, Codec>> = {
  gzip: { id: 1, compress: (bytes) => gzipSync(bytes), decompress: (bytes) => gunzipSync(bytes) },
  snappy: {
    id: 2,
    compress: (bytes) => compressSync(bytes),
    decompress: (bytes) => (isXerial(bytes) ? fromXerial(bytes) : uncompressBlock(bytes)),
  },
  lz4: {
    id: 3,
    compress: (bytes) => compressFrameSync(bytes),
    decompress: (bytes) => decompressFrameSync(bytes),
  },
  zstd: {
    id: 4,
    compress: (bytes) => Buffer.from(zstd.compress(bytes, 3)),
    decompress: decompressZstd,
  },
}

let isZstdReady: Promise<void> | null = null

/** zstd is WebAssembly and has to be started once; await this before encoding or decoding a batch. */
export function codecsReady(): Promise<void> {
  isZstdReady ??= zstd.init()
  return isZstdReady
}

/** The codec of that name; null for 'none'. */
export function codecNamed(name: CompressionName): Codec | null {
  return name === 'none' ? null : codecs[name]
}

/** The codec that the attributes of a record batch name; null: not compressed. */
export function codecOf(attributes: number): Codec | null {
  const id = attributes & 7
  if (id === 0) return null
  const codec = Object.values(codecs).find((c) => c.id === id)
  if (codec === undefined) {
    throw new FreshetError('RECORD_UNDECODABLE', `record batch with unknown compression ${id}`)
  }
  return codec
}

/** Java clients write snappy in the framing of snappy-java: header, then [length, block] repeated. */
const xerialMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])
const xerialHeaderBytes = 16

function isXerial(bytes: Buffer): boolean {
  return bytes.length >= xerialHeaderBytes && bytes.subarray(0, 8).equals(xerialMagic)
}

function fromXerial(bytes: Buffer): Buffer {
  const blocks: Buffer[] = []
  for (let at = xerialHeaderBytes; at < bytes.length;) {
    const length = bytes.readUInt32BE(at)
    blocks.push(uncompressBlock(bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  return Buffer.concat(blocks)
}

function uncompressBlock(bytes: Buffer): Buffer {
  return uncompressSync(bytes, { asBuffer: true }) as Buffer
}

const zstdBytesMax = 1 << 27

/** Frames of Java clients do not say how long their content is: try with more room until it fits. */
function decompressZstd(bytes: Buffer): Buffer {
  for (let room = Math.max(1 << 20, bytes.length * 8); ; room *= 4) {
    try {
      return Buffer.from(zstd.decompress(bytes, { defaultHeapSize: room }))
    } catch (error) {
      if (room >= zstdBytesMax) throw error
    }
  }
}
