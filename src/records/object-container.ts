import { createHash } from 'node:crypto'
import { FreshetError, messageOf } from '../errors.ts'
import { AvroReader, AvroWriter } from './avro-io.ts'
import { canonicalForm } from './fingerprint.ts'
import type { AvroSchema } from './schema-parts.ts'

/**
 * Avro object container files ("Object Container Files", Avro 1.12), which any Avro library reads. Ours are deterministic, and one that
 * was damaged is noticed: Avro has no checksum, so a hash stands in the metadata, and the marker between blocks is the beginning of it.
 */
const magic = Buffer.from('Obj\u0001', 'latin1')
const markerBytes = 16
const blockBytes = 64 * 1024
/** What the blocks of a file may come to, decompressed: so many bytes, and so many for each byte of the file. */
const [expandedBytesMin, expandedBytesEach] = [64 * 2 ** 20, 32]
const hashKey = 'freshet.sha256'
const none = Buffer.alloc(0)

/** How blocks are compressed. Uncompressed is no codec. */
export interface ContainerCodec {
  /** As in `avro.codec`. */
  readonly name: string
  compress(bytes: Buffer): Buffer
  /** @throws where more than `bytesMax` would come out, and where the bytes are damaged */
  expand(bytes: Buffer, bytesMax: number): Buffer
}

export interface EncodeOptions {
  readonly metadata?: Readonly<Record<string, string>>
  readonly codec?: ContainerCodec
}

export interface DecodeOptions {
  /** Those that are read beside uncompressed blocks. */
  readonly codecs?: readonly ContainerCodec[]
  /** Values; a file that claims more is refused before they are read. */
  readonly countMax?: number
}

export interface Container<T> {
  readonly metadata: ReadonlyMap<string, string>
  readonly values: T[]
}

/**
 * @param bodies Avro bodies of the schema, without any header
 * @returns the file in pieces; the same content gives the same bytes
 */
export function encodeContainer(
  schema: AvroSchema,
  bodies: Iterable<Buffer>,
  { metadata = {}, codec }: EncodeOptions = {},
): Buffer[] {
  const text = JSON.stringify(schema)
  const entries = { 'avro.codec': codec?.name ?? 'null', 'avro.schema': text, ...metadata }
  const blocks = [...blocksOf(bodies, codec)]
  const digest = hashOf(new Map(Object.entries(entries)), blocks)
  const marker = digest.subarray(0, markerBytes)
  const header = headerOf({ ...entries, [hashKey]: digest.toString('hex') }, marker)
  return [header, ...blocks.flatMap((block) => [block, marker])]
}

function headerOf(metadata: Readonly<Record<string, string>>, marker: Buffer): Buffer {
  const writer = new AvroWriter(4_096)
  writer.start(magic)
  const entries = Object.entries(metadata)
  writer.long(entries.length)
  for (const [key, value] of entries) {
    writer.string(key)
    writer.string(value)
  }
  writer.long(0)
  writer.raw(marker)
  return writer.finish()
}

/** Without the markers behind them. */
function* blocksOf(bodies: Iterable<Buffer>, codec?: ContainerCodec): Generator<Buffer> {
  const content = new AvroWriter(2 * blockBytes)
  content.start(none)
  let count = 0
  let bytes = 0
  for (const body of bodies) {
    content.raw(body)
    count++
    bytes += body.length
    if (bytes < blockBytes) continue
    yield block(count, content.finish(), codec)
    content.start(none)
    count = 0
    bytes = 0
  }
  if (count > 0) yield block(count, content.finish(), codec)
}

function block(count: number, content: Buffer, codec?: ContainerCodec): Buffer {
  const stored = codec?.compress(content) ?? content
  const writer = new AvroWriter(stored.length + 20)
  writer.start(none)
  writer.long(count)
  writer.long(stored.length)
  writer.raw(stored)
  return writer.finish()
}

/** Of everything in a file but the marker. */
function hashOf(metadata: ReadonlyMap<string, string>, blocks: readonly Buffer[]): Buffer {
  const others = [...metadata].filter(([key]) => key !== hashKey)
  const hash = createHash('sha256').update(JSON.stringify(others))
  for (const one of blocks) hash.update(one)
  return hash.digest()
}

/**
 * Reads a file of this schema, also one that another library has written; nothing in it is taken for granted.
 * @param read one value; what it passes over is checked to lie within the block
 * @throws FreshetError FILE_INVALID saying what is wrong, and where
 */
export function decodeContainer<T>(
  schema: AvroSchema,
  bytes: Buffer,
  read: (reader: AvroReader) => T,
  { codecs = [], countMax = Infinity }: DecodeOptions = {},
): Container<T> {
  try {
    const reader = new AvroReader(bytes)
    const metadata = readHeader(reader)
    expectSchema(reader, metadata.get('avro.schema') ?? '', schema)
    const codec = codecOf(reader, metadata.get('avro.codec') ?? 'null', codecs)
    const marker = readMarker(reader)
    const blocks = framesOf(reader, marker)
    const count = blocks.reduce((sum, block) => sum + block.count, 0)
    if (count > countMax) reader.fail('the block counts', `${count} values, ${countMax} at most`)
    expectHash(reader, metadata, marker, blocks)
    return { metadata, values: valuesOf(bytes, blocks, read, codec) }
  } catch (cause) {
    if (!(cause instanceof FreshetError) || cause.code !== 'RECORD_UNDECODABLE') throw cause
    throw new FreshetError('FILE_INVALID', cause.message, { cause })
  }
}

/** What stands in front of the blocks: for readers that take a file block by block. @throws FreshetError RECORD_UNDECODABLE */
export function readContainerHeader(reader: AvroReader): {
  readonly metadata: ReadonlyMap<string, string>
  readonly marker: Buffer
} {
  return { metadata: readHeader(reader), marker: readMarker(reader) }
}

function readHeader(reader: AvroReader): Map<string, string> {
  reader.pass('the magic number', magic.length)
  if (!reader.bytes.subarray(0, magic.length).equals(magic)) {
    reader.fail('the magic number', 'this is not an Avro object container file')
  }
  const metadata = new Map<string, string>()
  for (let count = reader.blockCount('the header', 2); count > 0;) {
    for (let i = 0; i < count; i++) {
      metadata.set(reader.string('the header'), reader.string('the header'))
    }
    count = reader.blockCount('the header', 2)
  }
  return metadata
}

function readMarker(reader: AvroReader): Buffer {
  reader.pass('the sync marker', markerBytes)
  return reader.bytes.subarray(reader.offset - markerBytes, reader.offset)
}

/** Libraries write the same schema in different ways. */
function expectSchema(reader: AvroReader, text: string, schema: AvroSchema): void {
  if (text === JSON.stringify(schema)) return
  const expected = canonicalForm(schema)
  let found
  try {
    found = canonicalForm(JSON.parse(text) as AvroSchema)
  } catch {
    found = text
  }
  if (found === expected) return
  const lengthMax = 300
  reader.fail(
    'avro.schema',
    `expected ${expected.slice(0, lengthMax)}, found ${found.slice(0, lengthMax)}`,
  )
}

function codecOf(
  reader: AvroReader,
  name: string,
  codecs: readonly ContainerCodec[],
): ContainerCodec | undefined {
  if (name === 'null') return undefined
  const names = ['null', ...codecs.map((one) => one.name)].join(', ')
  return (
    codecs.find((one) => one.name === name) ??
    reader.fail('avro.codec', `${name} is not supported: ${names}`)
  )
}

/** A block in the file: [start, end) with its two numbers, without the marker. */
interface Frame {
  readonly count: number
  readonly start: number
  readonly content: number
  readonly end: number
}

function framesOf(reader: AvroReader, marker: Buffer): Frame[] {
  const frames: Frame[] = []
  while (reader.left > 0) {
    const start = reader.offset
    const count = reader.length('the block count', 0)
    const length = reader.length('the block size', 1)
    const content = reader.offset
    reader.pass('a block', length)
    frames.push({ count, start, content, end: reader.offset })
    if (!readMarker(reader).equals(marker)) {
      reader.fail('the sync marker', 'it differs from the one in the header')
    }
  }
  return frames
}

/** Files of other libraries have no hash. */
function expectHash(
  reader: AvroReader,
  metadata: ReadonlyMap<string, string>,
  marker: Buffer,
  frames: readonly Frame[],
): void {
  const expected = metadata.get(hashKey)
  if (expected === undefined) return
  const blocks = frames.map(({ start, end }) => reader.bytes.subarray(start, end))
  const digest = hashOf(metadata, blocks)
  if (digest.toString('hex') === expected && digest.subarray(0, markerBytes).equals(marker)) return
  reader.fail(hashKey, 'the bytes are not those that were written')
}

function valuesOf<T>(
  bytes: Buffer,
  frames: readonly Frame[],
  read: (reader: AvroReader) => T,
  codec: ContainerCodec | undefined,
): T[] {
  const values: T[] = []
  let bytesLeft = expandedBytesMax(bytes.length)
  for (const { count, content, end } of frames) {
    try {
      const block = bytes.subarray(content, end)
      const expanded = codec === undefined ? block : expand(block, bytesLeft, codec)
      bytesLeft -= expanded.length
      readBlock(new AvroReader(expanded), count, read, values)
    } catch (cause) {
      if (!(cause instanceof FreshetError)) throw cause
      const message = `in the block that begins at byte ${content}: ${cause.message}`
      throw new FreshetError(cause.code, message, { cause })
    }
  }
  return values
}

function readBlock<T>(
  reader: AvroReader,
  count: number,
  read: (reader: AvroReader) => T,
  values: T[],
): void {
  // Every value takes a byte at least, so what is allocated is bounded by what is there.
  if (count > reader.left) reader.fail('the block', `${count} values in ${reader.left} bytes`)
  for (let i = 0; i < count; i++) values.push(read(reader))
  if (reader.left > 0) reader.fail('the block', `${reader.left} bytes follow its ${count} values`)
}

/** The most that so many bytes may come to, decompressed. */
export function expandedBytesMax(bytes: number): number {
  return expandedBytesMin + expandedBytesEach * bytes
}

function expand(block: Buffer, bytesMax: number, codec: ContainerCodec): Buffer {
  try {
    return codec.expand(block, bytesMax)
  } catch (cause) {
    const message = `Avro: ${codec.name}: ${messageOf(cause)}`
    throw new FreshetError('RECORD_UNDECODABLE', message, { cause })
  }
}
