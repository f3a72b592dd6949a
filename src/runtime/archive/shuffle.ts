import fs from 'node:fs/promises'
import path from 'node:path'
import { AvroReader } from '../../records/avro-io.ts'
import { readExampleBody } from '../../records/example-codec.ts'
import type { Example } from '../../records/types.ts'
import { Buckets, piecesOf, readBucket } from './buckets.ts'
import type { Bucket } from './buckets.ts'
import { ExampleHash } from './example-hash.ts'
import { bodyStart, entriesOf, sortedEntries } from './packed-entries.ts'

export interface ShuffleOptions {
  /** Another one gives another order. */
  readonly seed: number
  /** Bytes that are held in memory, beside what `bodies` gives at a time. */
  readonly bytesMax: number
  /** For a day that is larger; it is emptied first and removed at the end. */
  readonly spillDir: string
}

/** The examples of a day in one random order, which depends on the seed and on the examples, and on nothing else. */
export interface ShuffledDay {
  readonly count: number
  /** @param from number of examples to pass over; buckets that are passed over whole are not read */
  examples(from: number): AsyncIterable<readonly Example[]>
  close(): Promise<void>
}

const sliceExamples = 512
/** Of one level of buckets. */
const bucketBits = 8
/** Beside the example itself, while a bucket is sorted. */
const sortedBytesEach = 16

/**
 * Orders examples by a 64-bit hash of the seed, request and item (equal ones by their bytes). Two passes: into buckets by the first bits of
 * the hash, which go to files whenever `bytesMax` are in memory; then each bucket is sorted on its own, split again where it is too large.
 * @param bodies Avro bodies of examples, as `Archive.read` gives them
 */
export async function shuffleDay(
  bodies: AsyncIterable<readonly Buffer[]>,
  options: ShuffleOptions,
): Promise<ShuffledDay> {
  const { seed, bytesMax, spillDir } = options
  await fs.rm(spillDir, { recursive: true, force: true })
  const into = new Buckets(path.join(spillDir, 'day'), { from: 0, bits: bucketBits, bytesMax })
  const hash = new ExampleHash(seed)
  for await (const some of bodies) {
    for (const body of some) {
      hash.of(body)
      into.add(hash.high, hash.low, body)
      if (into.isFull) await into.spill()
    }
  }
  const buckets = await into.finish()
  return {
    count: buckets.reduce((sum, bucket) => sum + bucket.count, 0),
    examples: (from) => decoded(sorted(buckets, from, bytesMax)),
    close: () => fs.rm(spillDir, { recursive: true, force: true }),
  }
}

async function* decoded(buckets: AsyncIterable<SortedBucket>): AsyncGenerator<readonly Example[]> {
  let slice: Example[] = []
  for await (const { bytes, starts } of buckets) {
    const reader = new AvroReader(bytes)
    for (const start of starts) {
      reader.offset = bodyStart(start)
      slice.push(readExampleBody(reader))
      if (slice.length < sliceExamples) continue
      yield slice
      slice = []
    }
  }
  if (slice.length > 0) yield slice
}

interface SortedBucket {
  /** Packed entries. */
  readonly bytes: Buffer
  /** Where those that are asked for start, in their order. */
  readonly starts: Uint32Array
}

async function* sorted(
  buckets: readonly Bucket[],
  from: number,
  bytesMax: number,
): AsyncGenerator<SortedBucket> {
  let passed = 0
  for (const bucket of buckets) {
    const skip = Math.max(0, from - passed)
    passed += bucket.count
    if (skip >= bucket.count) continue
    if (isSortedAtOnce(bucket, bytesMax)) {
      const bytes = await readBucket(bucket)
      yield { bytes, starts: sortedEntries(bytes, bucket.count).subarray(skip) }
      continue
    }
    const dir = `${bucket.file!}-split`
    try {
      yield* sorted(await split(bucket, dir, bytesMax), skip, bytesMax)
    } finally {
      await fs.rm(dir, { recursive: true, force: true })
    }
  }
}

function isSortedAtOnce({ file, count, bytes, bits }: Bucket, bytesMax: number): boolean {
  const isSmall = bytes + count * sortedBytesEach <= bytesMax
  // What is in memory already, and what no bit of the hash tells apart, is not split.
  return isSmall || file === null || count === 1 || bits === 64
}

async function split(bucket: Bucket, dir: string, bytesMax: number): Promise<readonly Bucket[]> {
  await fs.rm(dir, { recursive: true, force: true })
  const into = new Buckets(dir, { from: bucket.bits, bits: bucketBits, bytesMax })
  for await (const piece of piecesOf(bucket.file!)) {
    for (const { high, low, body } of entriesOf(piece)) {
      into.add(high, low, body)
      if (into.isFull) await into.spill()
    }
  }
  return into.finish()
}
