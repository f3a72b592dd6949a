import fs from 'node:fs/promises'
import path from 'node:path'
import { invariant } from '../../errors.ts'

/** Something to be sorted by time; `tag` is the caller's, 32 bits. */
export interface TimedRecord {
  readonly timeMs: number
  readonly tag: number
  readonly value: Buffer
}

export interface SorterOptions {
  /** Of the runs; emptied at the start, removed at the end. */
  readonly dir: string
  /** Of records in memory; beyond, they go to disk as a sorted run. */
  readonly bytesMax: number
  /** Runs that are merged at once: each takes `readBytes` of memory. */
  readonly runsMax?: number
}

/** Time as a double, tag, length of the value. */
const headBytes = 8 + 4 + 4
const writeBytes = 2 ** 20
const readBytes = 2 ** 18
const batchRecords = 1_000

/**
 * External merge sort by time (Knuth, The Art of Computer Programming 3, 5.4.1): what was added first comes first of equal times.
 * Memory is `bytesMax` while records are added, and `runsMax` read buffers while they are read.
 */
export class RecordSorter {
  readonly #dir: string
  readonly #bytesMax: number
  readonly #runsMax: number
  #arena: Buffer
  #used = 0
  #times: number[] = []
  #starts: number[] = []
  /** In the order in which their records were added. */
  #runs: string[] = []
  #runsMade = 0

  static async open(options: SorterOptions): Promise<RecordSorter> {
    await fs.rm(options.dir, { recursive: true, force: true })
    await fs.mkdir(options.dir, { recursive: true })
    return new RecordSorter(options)
  }

  private constructor({ dir, bytesMax, runsMax = 64 }: SorterOptions) {
    this.#dir = dir
    this.#bytesMax = bytesMax
    this.#runsMax = runsMax
    this.#arena = Buffer.allocUnsafeSlow(bytesMax)
  }

  get runsMade(): number {
    return this.#runsMade
  }

  /** Copies the value. Where this is false, `spill` has to be awaited before the next record. */
  add({ timeMs, tag, value }: TimedRecord): boolean {
    const start = this.#used
    const end = start + headBytes + value.length
    if (end > this.#arena.length) {
      // The last one before a spill may reach beyond.
      const grown = Buffer.allocUnsafeSlow(end)
      this.#arena.copy(grown, 0, 0, start)
      this.#arena = grown
    }
    this.#arena.writeDoubleLE(timeMs, start)
    this.#arena.writeUInt32LE(tag, start + 8)
    this.#arena.writeUInt32LE(value.length, start + 12)
    value.copy(this.#arena, start + headBytes)
    this.#times.push(timeMs)
    this.#starts.push(start)
    this.#used = end
    return end < this.#bytesMax
  }

  async spill(): Promise<void> {
    if (this.#starts.length === 0) return
    await this.#writeRun(chunksOf(this.#inOrder()), (run) => this.#runs.push(run))
    this.#used = 0
    this.#times = []
    this.#starts = []
  }

  /** Every record, in batches; nothing may be added any more. */
  async *sorted(): AsyncGenerator<readonly TimedRecord[]> {
    await this.spill()
    this.#arena = Buffer.alloc(0)
    while (this.#runs.length > this.#runsMax) {
      // The oldest become the oldest: of equal times, theirs still come first.
      const oldest = this.#runs.splice(0, this.#runsMax)
      await this.#writeRun(encoded(merged(oldest)), (run) => this.#runs.unshift(run))
      for (const run of oldest) await fs.rm(run)
    }
    yield* merged(this.#runs)
  }

  async close(): Promise<void> {
    await fs.rm(this.#dir, { recursive: true, force: true })
  }

  async #writeRun(
    chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
    keep: (run: string) => void,
  ): Promise<void> {
    const run = path.join(this.#dir, `run-${this.#runsMade++}`)
    await fs.writeFile(run, chunks)
    keep(run)
  }

  *#inOrder(): Generator<Buffer> {
    const times = Float64Array.from(this.#times)
    const order = Uint32Array.from(times.keys()).sort((a, b) => times[a]! - times[b]! || a - b)
    for (const i of order) {
      yield this.#arena.subarray(this.#starts[i], this.#starts[i + 1] ?? this.#used)
    }
  }
}

/** Small pieces as larger ones, so that the disk is not asked for each. */
function* chunksOf(pieces: Iterable<Buffer>): Generator<Buffer> {
  let waiting: Buffer[] = []
  let bytes = 0
  for (const piece of pieces) {
    waiting.push(piece)
    bytes += piece.length
    if (bytes < writeBytes) continue
    yield Buffer.concat(waiting, bytes)
    waiting = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(waiting, bytes)
}

async function* encoded(batches: AsyncIterable<readonly TimedRecord[]>): AsyncGenerator<Buffer> {
  for await (const batch of batches) yield* chunksOf(batch.flatMap(piecesOf))
}

function piecesOf({ timeMs, tag, value }: TimedRecord): Buffer[] {
  const head = Buffer.allocUnsafe(headBytes)
  head.writeDoubleLE(timeMs, 0)
  head.writeUInt32LE(tag, 8)
  head.writeUInt32LE(value.length, 12)
  return [head, value]
}

/** @param runs in the order of precedence */
async function* merged(runs: readonly string[]): AsyncGenerator<readonly TimedRecord[]> {
  const readers: RunReader[] = []
  try {
    for (const run of runs) readers.push(await RunReader.open(run))
    let batch: TimedRecord[] = []
    for (;;) {
      let first: RunReader | null = null
      for (const reader of readers) {
        const timeMs = reader.head?.timeMs ?? Infinity
        if (timeMs < (first?.head?.timeMs ?? Infinity)) first = reader
      }
      if (first === null) break
      batch.push(first.head!)
      if (!first.next()) await first.fill()
      if (batch.length < batchRecords) continue
      yield batch
      batch = []
    }
    if (batch.length > 0) yield batch
  } finally {
    for (const reader of readers) await reader.close()
  }
}

class RunReader {
  /** Null: it is at its end. */
  head: TimedRecord | null = null
  readonly #file: fs.FileHandle
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0

  static async open(run: string): Promise<RunReader> {
    const reader = new RunReader(await fs.open(run, 'r'))
    await reader.fill()
    return reader
  }

  private constructor(file: fs.FileHandle) {
    this.#file = file
  }

  /** Moves on to the next record; false: `fill` has to look for it on the disk. */
  next(): boolean {
    const bytes = this.#bytes
    const at = this.#at
    if (bytes.length < at + headBytes) return false
    const end = at + headBytes + bytes.readUInt32LE(at + 12)
    if (bytes.length < end) return false
    const value = bytes.subarray(at + headBytes, end)
    this.head = { timeMs: bytes.readDoubleLE(at), tag: bytes.readUInt32LE(at + 8), value }
    this.#at = end
    return true
  }

  /** Values that were handed out are views of the buffer before, which is left alone. */
  async fill(): Promise<void> {
    while (!this.next()) {
      const rest = this.#bytes.subarray(this.#at)
      const bytes = Buffer.allocUnsafeSlow(Math.max(readBytes, 2 * rest.length))
      rest.copy(bytes)
      const { bytesRead } = await this.#file.read(bytes, rest.length, bytes.length - rest.length)
      this.#bytes = bytes.subarray(0, rest.length + bytesRead)
      this.#at = 0
      if (bytesRead > 0) continue
      invariant(rest.length === 0, 'a run ends within a record')
      this.head = null
      return
    }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}
