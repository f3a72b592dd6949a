import { FreshetError } from '../../errors.ts'
import { AvroWriter } from '../../records/avro-io.ts'
import type { AvroReader } from '../../records/avro-io.ts'
import { decodeFeatures, passFeatures, writeFeatures } from '../../records/features-codec.ts'
import { decodeContainer, encodeContainer } from '../../records/object-container.ts'
import { record } from '../../records/schema-parts.ts'
import { item } from '../../records/schemas.ts'
import type { CatalogueChange } from '../../streams/learner-types.ts'
import { deflate } from './deflate.ts'

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
  const { values } = decodeContainer(schema, bytes, readEntry, { codecs: [deflate] })
  const seen = new Set<string>()
  for (const { itemId, item: entry } of values) {
    if (seen.has(itemId)) throw new FreshetError('FILE_INVALID', `item ${itemId} is there twice`)
    if (entry !== null && entry.itemId !== itemId) {
      throw new FreshetError('FILE_INVALID', `item ${entry.itemId} is there as ${itemId}`)
    }
    seen.add(itemId)
  }
  return values
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
