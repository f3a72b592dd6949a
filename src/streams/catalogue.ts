import type { Item, RecallRequest } from '../records/types.ts'

interface Entry {
  readonly title: string
  readonly categorical: ReadonlyMap<string, readonly string[]>
}

type Filter = NonNullable<RecallRequest['filter']>

/** What the items topic says: titles, which items were withdrawn, and which have a given value of a categorical feature. */
export class Catalogue {
  readonly #entries = new Map<string, Entry>()
  readonly #withdrawn = new Set<string>()
  /** Feature -> value -> ids. */
  readonly #postings = new Map<string, Map<string, Set<string>>>()
  #withdrawnRevision = 0

  get size(): number {
    return this.#entries.size
  }

  /** `item: null` withdraws. */
  apply(itemId: string, item: Item | null): void {
    const before = this.#entries.get(itemId)
    if (before !== undefined) this.#unpost(itemId, before)
    if (item === null) {
      this.#entries.delete(itemId)
      if (!this.#withdrawn.has(itemId)) this.#withdrawnRevision++
      this.#withdrawn.add(itemId)
      return
    }
    const entry = { title: item.title, categorical: item.features.categorical }
    this.#entries.set(itemId, entry)
    if (this.#withdrawn.delete(itemId)) this.#withdrawnRevision++
    this.#post(itemId, entry)
  }

  /** The title; empty for an item that the catalogue does not know. */
  titleOf(itemId: string): string {
    return this.#entries.get(itemId)?.title ?? ''
  }

  /** True for an item that the catalogue has taken back; an item that it never knew is not withdrawn. */
  isWithdrawn(itemId: string): boolean {
    return this.#withdrawn.has(itemId)
  }

  /** Another number whenever other items are withdrawn. */
  get withdrawnRevision(): number {
    return this.#withdrawnRevision
  }

  /** Ids of the items with at least one of the values, each once. */
  matching({ feature, values }: Filter): ReadonlySet<string> {
    const postings = this.#postings.get(feature)
    const matches = new Set<string>()
    for (const value of values) {
      for (const id of postings?.get(value) ?? []) matches.add(id)
    }
    return matches
  }

  #post(itemId: string, { categorical }: Entry): void {
    for (const [feature, values] of categorical) {
      const postings = getOrCreate(this.#postings, feature, () => new Map<string, Set<string>>())
      for (const value of values) getOrCreate(postings, value, () => new Set()).add(itemId)
    }
  }

  #unpost(itemId: string, { categorical }: Entry): void {
    for (const [feature, values] of categorical) {
      const postings = this.#postings.get(feature)
      for (const value of values) {
        const ids = postings?.get(value)
        ids?.delete(itemId)
        if (ids?.size === 0) postings?.delete(value)
      }
      if (postings?.size === 0) this.#postings.delete(feature)
    }
  }
}

function getOrCreate<Key, Value>(map: Map<Key, Value>, key: Key, create: () => Value): Value {
  let value = map.get(key)
  if (value === undefined) map.set(key, (value = create()))
  return value
}
