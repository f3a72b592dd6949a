import { FreshetError } from '../errors.ts'

/** What `toString('utf8', start, end)` calls in the end; short strings, of which there are many, take half the time. */
interface SliceableBuffer extends Buffer {
  utf8Slice(start: number, end: number): string
}

/**
 * Avro's binary encoding over a Buffer, for the hand-written codecs. Field names are passed along only to be named in an
 * error. Nothing is allocated before its size has been checked against the bytes left.
 */
export class AvroReader {
  readonly bytes: SliceableBuffer
  offset: number

  constructor(bytes: Buffer, offset = 0) {
    this.bytes = bytes as SliceableBuffer
    this.offset = offset
  }

  get left(): number {
    return this.bytes.length - this.offset
  }

  /** A zigzag integer; beyond 2^53 it could not be told from its neighbours, so it is refused. */
  long(field: string): number {
    // Nearly all integers are lengths below 64.
    const first = this.bytes[this.offset]
    if (first === undefined || first > 127) return this.longerLong(field)
    this.offset++
    return (first & 1) === 0 ? first >>> 1 : -(first >>> 1) - 1
  }
  private longerLong(field: string): number {
    const bytes = this.bytes
    let offset = this.offset
    let byte = bytes[offset++] ?? this.fail(field, 'the bytes end inside an integer')
    let low = byte & 0x7f
    for (let shift = 7; byte > 127 && shift < 28; shift += 7) {
      byte = bytes[offset++] ?? this.fail(field, 'the bytes end inside an integer')
      low |= (byte & 0x7f) << shift
    }
    let high = 0
    for (let shift = 0; byte > 127; shift += 7) {
      if (shift === 28) this.fail(field, 'an integer is longer than 8 bytes')
      byte = bytes[offset++] ?? this.fail(field, 'the bytes end inside an integer')
      high |= (byte & 0x7f) << shift
    }
    const magnitude = high * 0x8000000 + (low >>> 1)
    if (magnitude > Number.MAX_SAFE_INTEGER) this.fail(field, 'an integer is beyond 2^53')
    this.offset = offset
    return (low & 1) === 0 ? magnitude : -magnitude - 1
  }

  /** Passes over an integer of up to 64 bits. */
  passLong(field: string): void {
    const start = this.offset
    for (let length = 1; length <= 10; length++) {
      const byte = this.bytes[this.offset++]
      if (byte !== undefined && byte < 128) return
    }
    this.offset = start
    this.fail(field, 'the bytes of an integer do not end')
  }

  /** How many bytes or items follow: `bytesEach` is the least that one takes. */
  length(field: string, bytesEach: number): number {
    const start = this.offset
    const length = this.long(field)
    if (length >= 0 && length * bytesEach <= this.left) return length
    const left = this.left
    this.offset = start
    return this.fail(field, `a length of ${length} does not fit the ${left} bytes left`)
  }

  /** The index of a union's branch or an enum's symbol, of so many. */
  choice(field: string, count: number): number {
    const start = this.offset
    const index = this.long(field)
    if (index >= 0 && index < count) return index
    this.offset = start
    return this.fail(field, `choice ${index} of ${count}`)
  }

  string(field: string): string {
    const start = this.skip(field)
    return this.bytes.utf8Slice(start, this.offset)
  }

  /** Passes over a string or bytes and returns where its content starts; it ends at `offset`. */
  skip(field: string): number {
    const length = this.length(field, 1)
    const start = this.offset
    this.offset = start + length
    return start
  }

  float(field: string): number {
    this.pass(field, 4)
    return this.bytes.readFloatLE(this.offset - 4)
  }

  double(field: string): number {
    this.pass(field, 8)
    return this.bytes.readDoubleLE(this.offset - 8)
  }

  /** Passes over so many bytes. */
  pass(field: string, bytes: number): void {
    if (bytes > this.left) this.fail(field, `${bytes} bytes expected, ${this.left} left`)
    this.offset += bytes
  }

  /** Number of items in the next block of an array or map, 0 at its end. */
  blockCount(field: string, bytesEach: number): number {
    const start = this.offset
    let count = this.long(field)
    if (count < 0) {
      count = -count
      this.long(field)
    }
    if (count * bytesEach <= this.left) return count
    const left = this.left
    this.offset = start
    return this.fail(field, `a block of ${count} does not fit the ${left} bytes left`)
  }

  strings(field: string): string[] {
    const strings: string[] = []
    for (let count = this.blockCount(field, 1); count > 0; count = this.blockCount(field, 1)) {
      for (let i = 0; i < count; i++) strings.push(this.string(field))
    }
    return strings
  }

  /** A view of everything that is left. */
  rest(): Buffer {
    const start = this.offset
    this.offset = this.bytes.length
    return this.bytes.subarray(start)
  }

  skipStrings(field: string): void {
    for (let count = this.blockCount(field, 1); count > 0; count = this.blockCount(field, 1)) {
      for (let i = 0; i < count; i++) this.skip(field)
    }
  }

  /** @throws FreshetError RECORD_UNDECODABLE when something follows the record. */
  end(): void {
    if (this.left > 0) this.fail('the record', `${this.left} bytes follow its end`)
  }

  fail(field: string, what: string): never {
    throw new FreshetError(
      'RECORD_UNDECODABLE',
      `Avro: ${field} at byte ${this.offset} of ${this.bytes.length}: ${what}`,
    )
  }
}

/** Strings up to this many UTF-16 units are written by a loop, which is faster than a call into the runtime. */
const loopUnitsMax = 40

/** Writes into one growing buffer that is used again; `finish` copies what was written. */
export class AvroWriter {
  private bytes: Buffer
  private offset = 0

  constructor(capacity = 4096) {
    this.bytes = Buffer.allocUnsafeSlow(capacity)
  }

  start(header: Buffer): void {
    this.offset = 0
    this.raw(header)
  }

  finish(): Buffer {
    const finished = Buffer.allocUnsafe(this.offset)
    this.bytes.copy(finished, 0, 0, this.offset)
    return finished
  }

  /** @throws FreshetError RECORD_INVALID for anything but an integer within 2^53 */
  long(value: number): void {
    if (!Number.isSafeInteger(value)) {
      throw new FreshetError('RECORD_INVALID', `Avro: ${value} is not an integer within 2^53`)
    }
    this.reserve(10)
    const bytes = this.bytes
    let offset = this.offset
    let rest = value < 0 ? -value * 2 - 1 : value * 2
    // Beyond 31 bits the operators would cut the number off, so the high part is divided away.
    if (rest > 0x7fffffff) {
      const magnitude = value < 0 ? -(value + 1) : value
      let low = ((magnitude % 0x8000000) * 2 + (value < 0 ? 1 : 0)) | 0
      rest = Math.floor(magnitude / 0x8000000)
      for (let i = 0; i < 4; i++) {
        bytes[offset++] = (low & 0x7f) | 0x80
        low >>>= 7
      }
    }
    while (rest > 0x7f) {
      bytes[offset++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    bytes[offset++] = rest
    this.offset = offset
  }

  string(value: string): void {
    const length = value.length
    this.reserve(length * 3 + 10)
    if (length > loopUnitsMax || !this.shortAscii(value, length)) this.anyString(value)
  }

  float(value: number): void {
    this.reserve(4)
    this.offset = this.bytes.writeFloatLE(value, this.offset)
  }

  double(value: number): void {
    this.reserve(8)
    this.offset = this.bytes.writeDoubleLE(value, this.offset)
  }

  strings(values: readonly string[]): void {
    if (values.length > 0) {
      this.long(values.length)
      for (const value of values) this.string(value)
    }
    this.long(0)
  }

  /** The bytes [from, to) of `value`, verbatim. */
  raw(value: Buffer, from = 0, to = value.length): void {
    this.reserve(to - from)
    this.offset += value.copy(this.bytes, this.offset, from, to)
  }

  private shortAscii(value: string, length: number): boolean {
    const bytes = this.bytes
    const start = this.offset + 1
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i)
      if (unit > 127) return false
      bytes[start + i] = unit
    }
    bytes[this.offset] = length * 2
    this.offset = start + length
    return true
  }

  private anyString(value: string): void {
    this.long(Buffer.byteLength(value))
    this.offset += this.bytes.write(value, this.offset)
  }

  private reserve(bytes: number): void {
    const needed = this.offset + bytes
    if (needed <= this.bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2))
    this.bytes.copy(grown, 0, 0, this.offset)
    this.bytes = grown
  }
}
