import { AvroWriter } from './avro-io.ts'
import { encodeContainer, openContainer } from './object-container.ts'
import { record } from './schema-parts.ts'

/** Ids in the order of the rows that belong to them, as an Avro object container file. */

export type IdKind = 'UserId' | 'ItemId'

/** The same ids give the same bytes. */
export function encodeIds(kind: IdKind, ids: readonly string[]): Uint8Array[] {
  const writer = new AvroWriter(256)
  const bodies = ids.map((id) => {
    writer.start(Buffer.alloc(0))
    writer.string(id)
    return writer.finish()
  })
  return encodeContainer(schemaOf(kind), bodies)
}

/** @throws FreshetError FILE_INVALID saying what is wrong */
export function decodeIds(kind: IdKind, bytes: Buffer): string[] {
  return [...openContainer(schemaOf(kind), bytes).values((reader) => reader.string(kind))]
}

function schemaOf(kind: IdKind) {
  return record(kind, [{ name: 'id', type: 'string' }])
}
