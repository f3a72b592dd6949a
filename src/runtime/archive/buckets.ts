import fs from 'node:fs/promises'
import path from 'node:path'
import { readWhole } from '../generation/artifact-store.ts'
import { entryBytes, wholeEntriesEnd, writeEntry } from './packed-entries.ts'

/** Entries whose hashes begin with the same bits. */
export interface Bucket {
  readonly count: number
  /** Of its packed entries. */
  readonly bytes: number
  /** Of the hash that all of them share. */
  readonly bits: number
  /** Null: in memory. */
  readonly file: string | null
  readonly pages: readonly Page[]
}

export interface BucketsOptions {
  /** Bits of the hash that all entries share already. */
  readonly from: number
  /** The next bits, by which they are told apart. */
  readonly bits: number
  /** Memory, give or take a page. */
  readonly bytesMax: number
}

interface Page {
  readonly bytes: Buffer
  used: number
}

interface OpenBucket {
  readonly file: string
  readonly pages: Page[]
  /** The last of the pages, kept at hand; null: there is none. */
  page: Page | null
  count: number
  bytes: number
}

const pageBytesMin = 512
const pageBytesMax = 64 * 1024
/** So that the last page of each bucket, half empty, is little beside all of them. */
const pagesMin = 4_096
const pieceBytes = 8 << 20

/** Packed entries by the next bits of their hash: in pages of memory, which are appended to a file for each bucket when they are full. */
export class Buckets {
  readonly #dir: string
  readonly #options: BucketsOptions
  readonly #pageBytes: number
  readonly #buckets: readonly OpenBucket[]
  #heldBytes = 0
  #hasSpilled = false
  /** Written, to be used again: memory that is let go of stays until the garbage collector comes. */
  #free: Buffer[] = []

  constructor(dir: string, options: BucketsOptions) {
    this.#dir = dir
    this.#options = options
    const share = Math.floor(options.bytesMax / pagesMin)
    this.#pageBytes = Math.min(pageBytesMax, Math.max(pageBytesMin, share))
    this.#buckets = Array.from({ length: 2 ** options.bits }, (_, i) => ({
      ...{ file: path.join(dir, String(i)), pages: [], page: null, count: 0, bytes: 0 },
    }))
  }

  /** Time to spill. */
  get isFull(): boolean {
    return this.#heldBytes > this.#options.bytesMax - this.#pageBytes
  }

  /** @param high and `low`: signed integers */
  add(high: number, low: number, body: Buffer): void {
    const bucket = this.#buckets[this.#placeOf(high, low)]!
    const size = entryBytes(body)
    let page = bucket.page
    if (page === null || page.used + size > page.bytes.length) page = this.#turnPage(bucket, size)
    writeEntry(page.bytes, page.used, high, low, body)
    page.used += size
    bucket.count++
    bucket.bytes += size
  }

  async spill(): Promise<void> {
    if (!this.#hasSpilled) await fs.mkdir(this.#dir, { recursive: true })
    this.#hasSpilled = true
    for (const bucket of this.#buckets) {
      if (bucket.pages.length === 0) continue
      const handle = await fs.open(bucket.file, 'a')
      try {
        for (const { bytes, used } of bucket.pages) await handle.appendFile(bytes.subarray(0, used))
      } finally {
        await handle.close()
      }
      this.#release(bucket)
    }
    this.#heldBytes = 0
  }

  /** Nothing is added any more. What has been spilled in part is spilled whole. */
  async finish(): Promise<readonly Bucket[]> {
    if (this.#hasSpilled) await this.spill()
    this.#free = []
    const bits = this.#options.from + this.#options.bits
    const used = this.#buckets.filter(({ count }) => count > 0)
    return used.map(({ file, pages, count, bytes }) => ({
      ...{ count, bytes, bits, pages, file: this.#hasSpilled ? file : null },
    }))
  }

  #placeOf(high: number, low: number): number {
    const { from, bits } = this.#options
    return ((from < 32 ? high : low) << (from % 32)) >>> (32 - bits)
  }

  #turnPage(bucket: OpenBucket, size: number): Page {
    const bytes =
      size > this.#pageBytes
        ? Buffer.allocUnsafeSlow(size)
        : (this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#pageBytes))
    const page = { bytes, used: 0 }
    this.#heldBytes += bytes.length
    bucket.page = page
    bucket.pages.push(page)
    return page
  }

  #release(bucket: OpenBucket): void {
    for (const { bytes } of bucket.pages.splice(0)) {
      if (bytes.length === this.#pageBytes) this.#free.push(bytes)
    }
    bucket.page = null
  }
}

export async function readBucket({ file, pages }: Bucket): Promise<Buffer> {
  if (file !== null) return readWhole(file)
  return Buffer.concat(pages.map(({ bytes, used }) => bytes.subarray(0, used)))
}

/** The file of a bucket, in pieces of whole entries. */
export async function* piecesOf(file: string): AsyncGenerator<Buffer> {
  const handle = await fs.open(file, 'r')
  try {
    let rest = Buffer.alloc(0)
    for (;;) {
      const next = Buffer.allocUnsafeSlow(pieceBytes)
      const { bytesRead } = await handle.read(next, 0, pieceBytes, null)
      if (bytesRead === 0) return
      const bytes = Buffer.concat([rest, next.subarray(0, bytesRead)])
      const end = wholeEntriesEnd(bytes)
      yield bytes.subarray(0, end)
      rest = bytes.subarray(end)
    }
  } finally {
    await handle.close()
  }
}
