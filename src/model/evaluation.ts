/** Progressive evaluation: each example is ranked before it is trained on. */

/**
 * Rank of the positive among recallable items, best = 1; of equal scores it gets the middle.
 * @param scores [n] by slot, beginning at `from`
 * @param isRecallable [n] 1 where the slot can be recalled
 * @param excluded slots that serving would not show, e.g. the user's recent clicks
 */
export function rankOf(
  scores: Float32Array,
  from: number,
  count: number,
  positive: number,
  isRecallable: Uint8Array,
  excluded: readonly number[],
): number {
  const score = scores[from + positive]!
  let above = 0
  let equal = 0
  for (let slot = 0; slot < count; slot++) {
    const other = scores[from + slot]!
    if (other < score) continue
    if (other > score) above += isRecallable[slot]!
    else equal += isRecallable[slot]!
  }
  for (const slot of excluded) {
    if (slot === positive || isRecallable[slot] !== 1) continue
    if (scores[from + slot]! > score) above--
    else if (scores[from + slot] === score) equal--
  }
  return 1 + above + (equal - 1) / 2
}

export interface RecallFigures {
  cases: number
  hitsAt50: number
  hitsAt100: number
  /** Sum of reciprocal ranks, of ranks up to 100. */
  reciprocalRanks: number
  /** Sum of the shares of other items ranked below the positive: its mean is the AUC. */
  areas: number
}

export function newFigures(): RecallFigures {
  return { cases: 0, hitsAt50: 0, hitsAt100: 0, reciprocalRanks: 0, areas: 0 }
}

/** What has been counted since `before`. */
export function since(now: RecallFigures, before: RecallFigures): RecallFigures {
  return {
    cases: now.cases - before.cases,
    hitsAt50: now.hitsAt50 - before.hitsAt50,
    hitsAt100: now.hitsAt100 - before.hitsAt100,
    reciprocalRanks: now.reciprocalRanks - before.reciprocalRanks,
    areas: now.areas - before.areas,
  }
}

/** Counts one case. @param rank null: the item could not be recalled at all */
export function countRank(figures: RecallFigures, rank: number | null, items: number): void {
  figures.cases++
  if (rank === null) return
  if (rank <= 50) figures.hitsAt50++
  if (rank <= 100) {
    figures.hitsAt100++
    figures.reciprocalRanks += 1 / rank
  }
  if (items > 1) figures.areas += (items - rank) / (items - 1)
}

export interface PopularityOptions {
  /** Clicks of so long count: a multiple of `refreshMs`. */
  readonly windowMs: number
  /** The counts are taken at multiples of this, of what came before. */
  readonly refreshMs: number
}

const dayMs = 86_400_000

/** The baseline to beat. */
export const popularity24h: PopularityOptions = { windowMs: dayMs, refreshMs: 15 * 60_000 }
/** Of the last whole days, taken at midnight. */
export const popularity7d: PopularityOptions = { windowMs: 7 * dayMs, refreshMs: dayMs }

/**
 * A baseline: items by clicks in a window of event time, refreshed now and then. For reports only, so it counts in a plain Map: it
 * holds the window's distinct items.
 */
export class Popularity {
  readonly #options: PopularityOptions
  /** Clicks per item of each `refreshMs` that are still in the window, by number since the epoch. */
  #intervals = new Map<number, Map<string, number>>()
  #current = -1
  /** As of the last refresh. */
  #counts = new Map<string, number>()
  /** Ascending. */
  #sorted = new Float64Array(0)

  constructor(options: PopularityOptions) {
    this.#options = options
  }

  observe(itemId: string, eventTimeMs: number): void {
    const interval = this.#intervalOf(eventTimeMs)
    if (interval > this.#current) this.#refresh(interval)
    if (interval <= this.#current - this.#length) return
    const counts = this.#intervals.get(interval) ?? new Map<string, number>()
    counts.set(itemId, (counts.get(itemId) ?? 0) + 1)
    this.#intervals.set(interval, counts)
  }

  /** Rank of an item as of the last refresh at or before `eventTimeMs`; null without clicks in the window. Call before `observe`. */
  rank(itemId: string, eventTimeMs: number, excluded: readonly string[]): number | null {
    const interval = this.#intervalOf(eventTimeMs)
    if (interval > this.#current) this.#refresh(interval)
    const own = this.#counts.get(itemId)
    if (own === undefined) return null
    let above = this.#sorted.length - firstAbove(this.#sorted, own)
    let equal = this.#sorted.length - firstAbove(this.#sorted, own - 1) - above
    for (const other of excluded) {
      const count = other === itemId ? undefined : this.#counts.get(other)
      if (count === undefined) continue
      if (count > own) above--
      else if (count === own) equal--
    }
    return 1 + above + (equal - 1) / 2
  }

  /** Clicks in the window by item, as of the last refresh at or before `eventTimeMs`. */
  counts(eventTimeMs: number): ReadonlyMap<string, number> {
    const interval = this.#intervalOf(eventTimeMs)
    if (interval > this.#current) this.#refresh(interval)
    return this.#counts
  }

  snapshot(): PopularitySnapshot {
    return {
      current: this.#current,
      intervals: [...this.#intervals].map(([number, counts]) => [number, [...counts]]),
      counts: [...this.#counts],
    }
  }

  restore(snapshot: PopularitySnapshot): void {
    this.#current = snapshot.current
    this.#intervals = new Map(
      snapshot.intervals.map(([number, counts]) => [number, new Map(counts)]),
    )
    this.#counts = new Map(snapshot.counts)
    this.#sorted = Float64Array.from(this.#counts.values()).sort()
  }

  #intervalOf(eventTimeMs: number): number {
    return Math.floor(eventTimeMs / this.#options.refreshMs)
  }

  /** Intervals in the window. */
  get #length(): number {
    return this.#options.windowMs / this.#options.refreshMs
  }

  #refresh(interval: number): void {
    this.#current = interval
    this.#counts = new Map()
    for (const [number, counts] of this.#intervals) {
      if (number < interval - this.#length) this.#intervals.delete(number)
      else {
        for (const [itemId, count] of counts) {
          this.#counts.set(itemId, (this.#counts.get(itemId) ?? 0) + count)
        }
      }
    }
    this.#sorted = Float64Array.from(this.#counts.values()).sort()
  }
}

export interface PopularitySnapshot {
  readonly current: number
  readonly intervals: readonly (readonly [number, readonly (readonly [string, number])[]])[]
  readonly counts: readonly (readonly [string, number])[]
}

function firstAbove(sorted: Float64Array, value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low
}
