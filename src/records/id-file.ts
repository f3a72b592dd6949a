import { AvroWriter } from './avro-io.ts'
import { decodeContainer, encodeContainer } from './object-container.ts'
import { record } from './schema-parts.ts'

/** Ids in the order of the rows that belong to them, as an Avro object container file. */

export type IdKind = 'UserId' | 'ItemId'

/** The same ids give the same bytes. */
export function encodeIds(kind: IdKind, ids: readonly string[]): Uint8Array[] {
  return encodeContainer(schemaOf(kind), bodiesOf(ids))
}

/** @throws FreshetError FILE_INVALID saying what is wrong */
export function decodeIds(kind: IdKind, bytes: Buffer): string[] {
  return decodeContainer(schemaOf(kind), bytes, (reader) => reader.string(kind)).values
}

/** One after the other: there may be millions. */
function* bodiesOf(ids: readonly string[]): Generator<Buffer> {
  const writer = new AvroWriter(256)
  for (const id of ids) {
    writer.start(Buffer.alloc(0))
    writer.string(id)
    yield writer.finish()
  }
}

function schemaOf(kind: IdKind) {
  return record(kind, [{ name: 'id', type: 'string' }])
}
