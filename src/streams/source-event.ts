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
