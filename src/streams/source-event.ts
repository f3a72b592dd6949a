import { eventTimeOf, idOf } from '../records/fields.ts'
import { isAbsent, itemOf, type Unchecked } from '../records/json.ts'
import type { Click, Impression, Item } from '../records/types.ts'

/** A change of the catalogue; `item: null` withdraws it. */
export interface ItemChange {
  readonly kind: 'item'
  readonly itemId: string
  readonly item: Item | null
  readonly eventTimeMs: number
}

/** What comes in from outside: from the generator, from files, from a team's own topics. */
export type SourceEvent = Impression | Click | ItemChange

/**
 * The documented JSON of an item, with two fields of its own: `event_time`, when it became so (default: `created_at`), and `withdrawn`.
 * @throws FreshetError RECORD_INVALID
 */
export function itemChangeOf(record: Unchecked): ItemChange {
  const time = record['event_time']
  if (record['withdrawn'] === true) {
    const itemId = idOf(record['item_id'], 'item_id')
    return { kind: 'item', itemId, item: null, eventTimeMs: eventTimeOf(time, 'event_time') }
  }
  const item = itemOf(record)
  const eventTimeMs = isAbsent(time) ? item.createdAtMs : eventTimeOf(time, 'event_time')
  return { kind: 'item', itemId: item.itemId, item, eventTimeMs }
}
