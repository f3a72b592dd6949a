import fs from 'node:fs/promises'
import path from 'node:path'
import type { Bucket, Entry } from './shuffle.ts'

/** Entries by the next bits of their hash, each bucket a file: u32 length of the body, u32 high, u32 low, body; little-endian. */
const headerBytes = 12
/** Of one bucket, before they are written. */
const bufferBytes = 64 * 1024
const readBytes = 8 << 20

interface OpenBucket {
  readonly file: string
  readonly buffer: Buffer
  used: number
  count: number
  bytes: number
}

export class BucketFiles {
  readonly #from: number
  readonly #bits: number
  readonly #buckets: readonly OpenBucket[]
  /** Full buffers wait here: nothing is written while entries are being added. */
  #waiting: { readonly file: string; readonly bytes: Buffer }[] = []

  /** @param from bits of the hash that all entries share already */
  static async open(dir: string, from: number, bits: number): Promise<BucketFiles> {
    await fs.mkdir(dir, { recursive: true })
    return new BucketFiles(dir, from, bits)
  }

  private constructor(dir: string, from: number, bits: number) {
    this.#from = from
    this.#bits = bits
    this.#buckets = Array.from({ length: 2 ** bits }, (_, i) => ({
      file: path.join(dir, String(i).padStart(3, '0')),
      buffer: Buffer.allocUnsafeSlow(bufferBytes),
      ...{ used: 0, count: 0, bytes: 0 },
    }))
  }

  add({ high, low, body }: Entry): void {
    const bucket = this.#buckets[this.#placeOf(high, low)]!
    const size = headerBytes + body.length
    if (bucket.used + size > bufferBytes) this.#release(bucket)
    if (size > bufferBytes) {
      const bytes = Buffer.allocUnsafe(size)
      writeEntry(bytes, 0, high, low, body)
      this.#waiting.push({ file: bucket.file, bytes })
    } else {
      writeEntry(bucket.buffer, bucket.used, high, low, body)
      bucket.used += size
    }
    bucket.count++
    bucket.bytes += body.length
  }

  /** Resolves when little is held in memory. */
  async written(): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { file, bytes } of waiting) await fs.appendFile(file, bytes)
  }

  async finish(): Promise<{ readonly buckets: readonly Bucket[] }> {
    for (const bucket of this.#buckets) this.#release(bucket)
    await this.written()
    const bits = this.#from + this.#bits
    const used = this.#buckets.filter(({ count }) => count > 0)
    return { buckets: used.map(({ file, count, bytes }) => ({ file, count, bytes, bits })) }
  }

  /** The file of a bucket, in pieces of whole entries. */
  static async *read(file: string): AsyncGenerator<Buffer> {
    const handle = await fs.open(file, 'r')
    try {
      let rest = Buffer.alloc(0)
      for (;;) {
        const next = Buffer.allocUnsafe(readBytes)
        const { bytesRead } = await handle.read(next, 0, readBytes, null)
        if (bytesRead === 0) return
        const bytes = Buffer.concat([rest, next.subarray(0, bytesRead)])
        const end = wholeEntries(bytes)
        yield bytes.subarray(0, end)
        rest = bytes.subarray(end)
      }
    } finally {
      await handle.close()
    }
  }

  #placeOf(high: number, low: number): number {
    const word = this.#from < 32 ? high : low
    return (word << (this.#from % 32)) >>> (32 - this.#bits)
  }

  #release(bucket: OpenBucket): void {
    if (bucket.used === 0) return
    const bytes = Buffer.from(bucket.buffer.subarray(0, bucket.used))
    this.#waiting.push({ file: bucket.file, bytes })
    bucket.used = 0
  }
}

export function* bucketEntries(bytes: Buffer): Generator<Entry> {
  for (let at = 0; at < bytes.length;) {
    const start = at + headerBytes
    const end = start + bytes.readUInt32LE(at)
    const [high, low] = [bytes.readUInt32LE(at + 4), bytes.readUInt32LE(at + 8)]
    yield { high, low, body: bytes.subarray(start, end) }
    at = end
  }
}

function wholeEntries(bytes: Buffer): number {
  let at = 0
  while (at + headerBytes <= bytes.length) {
    const end = at + headerBytes + bytes.readUInt32LE(at)
    if (end > bytes.length) break
    at = end
  }
  return at
}

function writeEntry(into: Buffer, at: number, high: number, low: number, body: Buffer): void {
  into.writeUInt32LE(body.length, at)
  into.writeUInt32LE(high, at + 4)
  into.writeUInt32LE(low, at + 8)
  body.copy(into, at + headerBytes)
}
