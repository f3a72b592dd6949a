import fs from 'node:fs/promises'
import path from 'node:path'
import { mix32 } from '../../model/hash.ts'
import { AvroReader } from '../../records/avro-io.ts'
import { decodeExampleBody } from '../../records/example-codec.ts'
import type { Example } from '../../records/types.ts'
import { readWhole } from '../generation/artifact-store.ts'
import { BucketFiles, bucketEntries } from './bucket-files.ts'

export interface ShuffleOptions {
  /** Another one gives another order. */
  readonly seed: number
  /** Bytes of examples that are held in memory. */
  readonly bytesMax: number
  /** For a day that is larger; it is emptied first and removed at the end. */
  readonly spillDir: string
}

/** The examples of a day in one random order, which depends on the seed and on the examples, and on nothing else. */
export interface ShuffledDay {
  readonly count: number
  /** @param from number of examples to pass over */
  examples(from: number): AsyncIterable<readonly Example[]>
  close(): Promise<void>
}

/** One example with its place in the order. */
export interface Entry {
  readonly high: number
  readonly low: number
  /** Avro body */
  readonly body: Buffer
}

const sliceExamples = 512
/** What an entry takes besides its body. */
const entryBytes = 200
/** Digits of one level of buckets. */
const bucketBits = 8

/**
 * Orders examples by a 64-bit hash of the seed, request and item. A day that fits in `bytesMax` is sorted in memory. A larger one takes two
 * passes: into files by the first bits of the hash, then each file sorted on its own, split again where it is too large itself.
 */
export async function shuffleDay(
  bodies: AsyncIterable<readonly Buffer[]>,
  options: ShuffleOptions,
): Promise<ShuffledDay> {
  await fs.rm(options.spillDir, { recursive: true, force: true })
  const held: Entry[] = []
  let bytes = 0
  let files = null as BucketFiles | null
  for await (const some of bodies) {
    for (const body of some) {
      const entry = entryOf(body, options.seed)
      if (files !== null) {
        files.add(entry)
        continue
      }
      held.push(entry)
      bytes += body.length + entryBytes
      if (bytes <= options.bytesMax) continue
      files = await BucketFiles.open(path.join(options.spillDir, 'day'), 0, bucketBits)
      for (const one of held.splice(0)) files.add(one)
    }
    await files?.written()
  }
  const close = () => fs.rm(options.spillDir, { recursive: true, force: true })
  if (files === null) {
    sortEntries(held)
    return { count: held.length, examples: (from) => slicesOf(held, from), close }
  }
  const { buckets } = await files.finish()
  const count = buckets.reduce((sum, bucket) => sum + bucket.count, 0)
  return { count, examples: (from) => fromBuckets(buckets, from, options), close }
}

export interface Bucket {
  readonly file: string
  readonly count: number
  readonly bytes: number
  /** Bits of the hash that all entries of the bucket share. */
  readonly bits: number
}

async function* fromBuckets(
  buckets: readonly Bucket[],
  from: number,
  options: ShuffleOptions,
): AsyncGenerator<readonly Example[]> {
  let passed = 0
  for (const bucket of buckets) {
    const skip = Math.max(0, from - passed)
    passed += bucket.count
    if (skip >= bucket.count) continue
    if (
      bucket.bytes + bucket.count * entryBytes > options.bytesMax &&
      bucket.bits < 64 - bucketBits
    ) {
      yield* fromBuckets(await split(bucket), skip, options)
      continue
    }
    const entries = [...bucketEntries(await readWhole(bucket.file))]
    sortEntries(entries)
    yield* slicesOf(entries, skip)
  }
}

async function split(bucket: Bucket): Promise<readonly Bucket[]> {
  const files = await BucketFiles.open(`${bucket.file}-split`, bucket.bits, bucketBits)
  for await (const piece of BucketFiles.read(bucket.file)) {
    for (const entry of bucketEntries(piece)) files.add(entry)
    await files.written()
  }
  return (await files.finish()).buckets
}

async function* slicesOf(
  entries: readonly Entry[],
  from: number,
): AsyncGenerator<readonly Example[]> {
  for (let at = from; at < entries.length; at += sliceExamples) {
    const slice = entries.slice(at, at + sliceExamples)
    yield await Promise.resolve(slice.map(({ body }) => decodeExampleBody(body)))
  }
}

function sortEntries(entries: Entry[]): void {
  entries.sort((a, b) => a.high - b.high || a.low - b.low || Buffer.compare(a.body, b.body))
}

/** The ids are the first fields of the body: they are hashed as the bytes they are. */
function entryOf(body: Buffer, seed: number): Entry {
  const reader = new AvroReader(body)
  let start = reader.skip('request_id')
  let high = hashBytes(body, start, reader.offset, seed)
  let low = hashBytes(body, start, reader.offset, mix32(seed ^ 0x9e3779b9))
  reader.skip('user_id')
  start = reader.skip('item_id')
  high = hashBytes(body, start, reader.offset, high)
  low = hashBytes(body, start, reader.offset, low)
  return { high, low, body }
}

/** FNV-1a over bytes, then mixed, as `hash32` has it over text. */
function hashBytes(bytes: Buffer, from: number, to: number, seed: number): number {
  let h = seed | 0
  for (let i = from; i < to; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193)
  return mix32(h)
}
