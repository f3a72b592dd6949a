import type { Override, OverrideSetEnd } from '../records/types.ts'

/** What a whole set changes. */
export interface AppliedSet {
  readonly sequence: number
  readonly overrides: readonly Override[]
}

/**
 * Collects the override sets of one generation, in log order. What has come stays invisible until the end record of its
 * set says that the set is whole.
 *
 * The topic is compacted, so an earlier set may have lost its end and those of its items that a later set repeats. What
 * is left of it goes out with the next whole set: together they are what the later one left behind. Only a set from which
 * nothing was compacted closes; the newest always does.
 */
export class OverrideSets {
  readonly #generation: string
  /** Item id -> its newest override since the last set that was applied. */
  #pending = new Map<string, Override>()

  constructor(generation: string) {
    this.#generation = generation
  }

  /** How many overrides wait for the end of their set. */
  get pending(): number {
    return this.#pending.size
  }

  /** The set that this record completes, or null. Records of other generations are passed over. */
  add(record: Override | OverrideSetEnd): AppliedSet | null {
    if (record.generation !== this.#generation) return null
    switch (record.kind) {
      case 'override':
        // Deleted first, so that the order of the map is the order of the log.
        this.#pending.delete(record.itemId)
        this.#pending.set(record.itemId, record)
        return null
      case 'set-end': {
        const overrides = [...this.#pending.values()]
        const ofThisSet = overrides.filter(({ sequence }) => sequence === record.sequence).length
        if (ofThisSet < record.count) return null
        this.#pending = new Map()
        return { sequence: record.sequence, overrides }
      }
    }
  }
}
