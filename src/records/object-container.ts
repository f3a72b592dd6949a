import { createHash } from 'node:crypto'
import { FreshetError } from '../errors.ts'
import { AvroReader, AvroWriter } from './avro-io.ts'
import type { AvroSchema } from './schema-parts.ts'

/** Avro object container files (Avro 1.12), without compression. */
const magic = Buffer.from('Obj\u0001', 'latin1')
const markerBytes = 16
const blockBytes = 64 * 1024

export interface Container {
  readonly metadata: ReadonlyMap<string, string>
  /** Reads one value from `reader`, for each value in the file. */
  values<T>(read: (reader: AvroReader) => T): Generator<T>
}

/**
 * @param bodies Avro bodies of the schema, without any header
 * @returns the file in pieces; the same content gives the same bytes, so the marker between blocks is a hash of it and not random
 */
export function encodeContainer(
  schema: AvroSchema,
  bodies: readonly Buffer[],
  metadata: Readonly<Record<string, string>> = {},
): Buffer[] {
  const text = JSON.stringify(schema)
  const hash = createHash('sha256').update(text).update(JSON.stringify(metadata))
  for (const body of bodies) hash.update(body)
  const marker = hash.digest().subarray(0, markerBytes)
  const writer = new AvroWriter(blockBytes)
  writer.start(magic)
  const entries = Object.entries({ 'avro.codec': 'null', 'avro.schema': text, ...metadata })
  writer.long(entries.length)
  for (const [key, value] of entries) {
    writer.string(key)
    writer.string(value)
  }
  writer.long(0)
  writer.raw(marker)
  const parts = [writer.finish()]
  for (let from = 0; from < bodies.length;) {
    let to = from
    for (let bytes = 0; to < bodies.length && bytes < blockBytes; to++) bytes += bodies[to]!.length
    parts.push(block(writer, bodies.slice(from, to), marker))
    from = to
  }
  return parts
}

function block(writer: AvroWriter, bodies: readonly Buffer[], marker: Buffer): Buffer {
  writer.start(Buffer.alloc(0))
  writer.long(bodies.length)
  writer.long(bodies.reduce((sum, { length }) => sum + length, 0))
  for (const body of bodies) writer.raw(body)
  writer.raw(marker)
  return writer.finish()
}

/**
 * Opens a file that was written with exactly this schema.
 * @throws FreshetError FILE_INVALID saying what is wrong, and where
 */
export function openContainer(schema: AvroSchema, bytes: Buffer): Container {
  const reader = new AvroReader(bytes)
  return orFileInvalid(() => {
    reader.pass('the magic number', magic.length)
    if (!bytes.subarray(0, magic.length).equals(magic)) {
      reader.fail('the magic number', 'this is not an Avro object container file')
    }
    const metadata = readHeader(reader, JSON.stringify(schema))
    reader.pass('the sync marker', markerBytes)
    const marker = bytes.subarray(reader.offset - markerBytes, reader.offset)
    return { metadata, values: (read) => valuesOf(reader, marker, read) }
  })
}

function readHeader(reader: AvroReader, schema: string): Map<string, string> {
  const metadata = new Map<string, string>()
  for (let count = reader.blockCount('the header', 2); count > 0;) {
    for (let i = 0; i < count; i++) {
      metadata.set(reader.string('the header'), reader.string('the header'))
    }
    count = reader.blockCount('the header', 2)
  }
  const codec = metadata.get('avro.codec') ?? 'null'
  if (codec !== 'null') reader.fail('avro.codec', `${codec} is not supported`)
  if (metadata.get('avro.schema') !== schema) {
    reader.fail('avro.schema', `${metadata.get('avro.schema')} is not ${schema}`)
  }
  return metadata
}

function* valuesOf<T>(
  reader: AvroReader,
  marker: Buffer,
  read: (reader: AvroReader) => T,
): Generator<T> {
  const start = reader.offset
  while (reader.left > 0) {
    const { count, end } = orFileInvalid(() => {
      const count = reader.length('the block count', 1)
      return { count, end: reader.length('the block size', 1) + reader.offset }
    })
    for (let i = 0; i < count; i++) {
      const value = orFileInvalid(() => read(reader))
      yield value
    }
    orFileInvalid(() => {
      if (reader.offset !== end) reader.fail('a block', `its ${count} values do not end at ${end}`)
      reader.pass('the sync marker', markerBytes)
      if (!reader.bytes.subarray(end, reader.offset).equals(marker)) {
        reader.fail('the sync marker', 'it differs from the one in the header')
      }
    })
  }
  reader.offset = start
}

function orFileInvalid<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (!(cause instanceof FreshetError) || cause.code === 'FILE_INVALID') throw cause
    throw new FreshetError('FILE_INVALID', cause.message, { cause })
  }
}
