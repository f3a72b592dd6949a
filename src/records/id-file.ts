import { createHash } from 'node:crypto'
import { FreshetError } from '../errors.ts'
import { AvroReader, AvroWriter } from './avro-io.ts'

/** Ids in the order of the rows that belong to them, as an Avro object container file (Avro 1.12, without compression). */
const magic = Buffer.from('Obj\u0001', 'latin1')
const markerBytes = 16
const blockIds = 4_096

export type IdKind = 'UserId' | 'ItemId'

/** The same ids give the same bytes, so the marker between blocks is a hash of them and not random. */
export function encodeIds(kind: IdKind, ids: readonly string[]): Uint8Array[] {
  const marker = markerOf(kind, ids)
  const writer = new AvroWriter()
  writer.start(magic)
  writer.long(2)
  writer.string('avro.codec')
  writer.string('null')
  writer.string('avro.schema')
  writer.string(schemaOf(kind))
  writer.long(0)
  writer.raw(marker)
  const parts: Uint8Array[] = [writer.finish()]
  for (let from = 0; from < ids.length; from += blockIds) {
    const block = ids.slice(from, from + blockIds)
    writer.start(Buffer.alloc(0))
    for (const id of block) writer.string(id)
    const content = writer.finish()
    writer.start(Buffer.alloc(0))
    writer.long(block.length)
    writer.long(content.length)
    parts.push(writer.finish(), content, marker)
  }
  return parts
}

/** @throws FreshetError FILE_INVALID saying what is wrong */
export function decodeIds(kind: IdKind, bytes: Buffer): string[] {
  try {
    return readIds(kind, new AvroReader(bytes))
  } catch (cause) {
    if (!(cause instanceof FreshetError)) throw cause
    throw new FreshetError('FILE_INVALID', cause.message, { cause })
  }
}

function readIds(kind: IdKind, reader: AvroReader): string[] {
  reader.pass('the magic number', magic.length)
  if (!reader.bytes.subarray(0, magic.length).equals(magic)) {
    reader.fail('the magic number', 'this is not an Avro object container file')
  }
  checkHeader(kind, reader)
  reader.pass('the sync marker', markerBytes)
  const marker = reader.bytes.subarray(reader.offset - markerBytes, reader.offset)
  const ids: string[] = []
  while (reader.left > 0) {
    const count = reader.length('the block count', 1)
    const size = reader.length('the block size', 1)
    const end = reader.offset + size
    for (let i = 0; i < count; i++) ids.push(reader.string(kind))
    if (reader.offset !== end) reader.fail('a block', `its ${count} ids do not end at ${end}`)
    reader.pass('the sync marker', markerBytes)
    if (!reader.bytes.subarray(end, reader.offset).equals(marker)) {
      reader.fail('the sync marker', 'it differs from the one in the header')
    }
  }
  return ids
}

function checkHeader(kind: IdKind, reader: AvroReader): void {
  for (let count = reader.blockCount('the header', 2); count > 0;) {
    for (let i = 0; i < count; i++) {
      const key = reader.string('the header')
      const value = reader.string('the header')
      if (key === 'avro.codec' && value !== 'null') reader.fail(key, `${value} is not supported`)
      if (key === 'avro.schema' && value !== schemaOf(kind)) {
        reader.fail(key, `${value} is not ${schemaOf(kind)}`)
      }
    }
    count = reader.blockCount('the header', 2)
  }
}

function schemaOf(kind: IdKind): string {
  const fields = [{ name: 'id', type: 'string' }]
  return JSON.stringify({ type: 'record', name: kind, namespace: 'freshet', fields })
}

function markerOf(kind: IdKind, ids: readonly string[]): Buffer {
  const hash = createHash('sha256').update(kind)
  for (const id of ids) hash.update(`\n${id}`)
  return hash.digest().subarray(0, markerBytes)
}
