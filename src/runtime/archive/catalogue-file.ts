import { AvroWriter } from '../../records/avro-io.ts'
import type { AvroReader } from '../../records/avro-io.ts'
import { decodeFeatures, passFeatures, writeFeatures } from '../../records/features-codec.ts'
import { encodeContainer, openContainer } from '../../records/object-container.ts'
import { record } from '../../records/schema-parts.ts'
import { item } from '../../records/schemas.ts'
import type { CatalogueChange } from '../../streams/learner-types.ts'

/** `item`: null for one that was withdrawn. */
const schema = record('CatalogueEntry', [
  { name: 'item_id', type: 'string' },
  { name: 'item', type: ['null', item] },
])

/** Sorted by id, so that the same catalogue gives the same bytes. */
export function encodeCatalogueFile(entries: readonly CatalogueChange[]): Buffer[] {
  const writer = new AvroWriter(1_024)
  const sorted = [...entries].sort((a, b) => (a.itemId < b.itemId ? -1 : 1))
  const bodies = sorted.map(({ itemId, item: entry }) => {
    writer.start(Buffer.alloc(0))
    writer.string(itemId)
    writer.long(entry === null ? 0 : 1)
    if (entry !== null) {
      writer.string(entry.itemId)
      writer.string(entry.title)
      writer.long(entry.createdAtMs)
      writeFeatures(writer, entry.features)
    }
    return writer.finish()
  })
  return encodeContainer(schema, bodies)
}

/** @throws FreshetError FILE_INVALID */
export function decodeCatalogueFile(bytes: Buffer): CatalogueChange[] {
  return [...openContainer(schema, bytes).values(readEntry)]
}

function readEntry(reader: AvroReader): CatalogueChange {
  const itemId = reader.string('item_id')
  if (reader.choice('item', 2) === 0) return { itemId, item: null }
  const entry = {
    itemId: reader.string('item.item_id'),
    title: reader.string('title'),
    createdAtMs: reader.long('created_at'),
  }
  const start = reader.offset
  passFeatures(reader)
  const features = decodeFeatures(reader.bytes.subarray(start, reader.offset))
  return { itemId, item: { ...entry, features } }
}
