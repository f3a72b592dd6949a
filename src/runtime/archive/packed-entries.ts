/**
 * Examples with their hash, one behind the other, as they lie in memory and in spill files:
 *   u32 length of the body, i32 and i32 hash, Avro body; little-endian
 * Millions of them are no load for the garbage collector.
 */
const headerBytes = 12

export interface Entry {
  readonly high: number
  readonly low: number
  readonly body: Buffer
}

export function entryBytes(body: Buffer): number {
  return headerBytes + body.length
}

/** @param high and `low`: signed integers */
export function writeEntry(
  into: Buffer,
  at: number,
  high: number,
  low: number,
  body: Buffer,
): void {
  into.writeUInt32LE(body.length, at)
  into.writeInt32LE(high, at + 4)
  into.writeInt32LE(low, at + 8)
  into.set(body, at + headerBytes)
}

export function* entriesOf(bytes: Buffer): Generator<Entry> {
  for (let at = 0; at < bytes.length; at = endOf(bytes, at)) {
    const [high, low] = [bytes.readInt32LE(at + 4), bytes.readInt32LE(at + 8)]
    yield { high, low, body: bodyAt(bytes, at) }
  }
}

/** Where the body of the entry begins that starts there. */
export function bodyStart(start: number): number {
  return start + headerBytes
}

function bodyAt(bytes: Buffer, start: number): Buffer {
  return bytes.subarray(bodyStart(start), endOf(bytes, start))
}

/** Where the last entry ends that is whole. */
export function wholeEntriesEnd(bytes: Buffer): number {
  let at = 0
  while (at + headerBytes <= bytes.length && endOf(bytes, at) <= bytes.length) {
    at = endOf(bytes, at)
  }
  return at
}

/**
 * Where each entry starts, ordered by hash and, where that is the same, by the bytes of the body.
 * The first bits of the hash and the place in `bytes` are sorted as one double, which takes a tenth of the time of a comparison by function.
 */
export function sortedEntries(bytes: Buffer, count: number): Uint32Array {
  const indexBits = Math.max(21, Math.ceil(Math.log2(count)))
  const indices = 2 ** indexBits
  const hashUnit = 2 ** (indexBits - 21)
  const starts = new Uint32Array(count)
  const keys = new Float64Array(count)
  for (let i = 0, at = 0; i < count; i++, at = endOf(bytes, at)) {
    starts[i] = at
    keys[i] = Math.floor(bytes.readUInt32LE(at + 4) / hashUnit) * indices + i
  }
  keys.sort()
  const ordered = new Uint32Array(count)
  let runStart = 0
  let runHash = -1
  for (let i = 0; i < count; i++) {
    const hash = Math.floor(keys[i]! / indices)
    ordered[i] = starts[keys[i]! - hash * indices]!
    if (hash === runHash) continue
    sortRun(bytes, ordered, runStart, i)
    runStart = i
    runHash = hash
  }
  sortRun(bytes, ordered, runStart, count)
  return ordered
}

/** Those that begin with the same bits. */
function sortRun(bytes: Buffer, starts: Uint32Array, from: number, to: number): void {
  if (to - from < 2) return
  starts.subarray(from, to).sort((a, b) => {
    const byHash =
      bytes.readUInt32LE(a + 4) - bytes.readUInt32LE(b + 4) ||
      bytes.readUInt32LE(a + 8) - bytes.readUInt32LE(b + 8)
    return byHash || Buffer.compare(bodyAt(bytes, a), bodyAt(bytes, b))
  })
}

function endOf(bytes: Buffer, start: number): number {
  return start + headerBytes + bytes.readUInt32LE(start)
}
