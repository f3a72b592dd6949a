import { grown } from './typed-arrays.ts'

export const hourMs = 3_600_000

/** What the log says of items, entry by entry. */
export interface ActivityState {
  /** Event time of the first click, 0 for none. */
  readonly firstMs: Float64Array
  /** Hour, since the epoch, of the newest click. */
  readonly hours: Float64Array
  /** Clicks before that hour, each halved in every half-life since. */
  readonly before: Float64Array
  /** Clicks within that hour. */
  readonly within: Float64Array
}

/**
 * Age and recent clicks of items, from the log. Both are as of the beginning of an hour, from clicks before it: within the hour they do not change, so
 * that vectors that depend on them are computed at most once an hour.
 */
export class ItemActivity implements ActivityState {
  firstMs = new Float64Array(16)
  hours = new Float64Array(16)
  before = new Float64Array(16)
  within = new Float64Array(16)
  readonly #halfLifeHours: number

  constructor(halfLifeHours = 24) {
    this.#halfLifeHours = halfLifeHours
  }

  /** Counts a click. */
  observe(slot: number, timeMs: number): void {
    this.meet(slot, timeMs)
    this.add(slot, Math.floor(timeMs / hourMs), 1)
  }

  /** There was a click then, which is not counted. */
  meet(slot: number, timeMs: number): void {
    this.cover(slot)
    if (this.firstMs[slot] === 0 || timeMs < this.firstMs[slot]!) this.firstMs[slot] = timeMs
  }

  /** Counts clicks of an hour. */
  add(slot: number, hour: number, count: number): void {
    this.cover(slot)
    if (hour > this.hours[slot]!) {
      this.before[slot] = this.clicksAt(slot, hour)
      this.within[slot] = 0
      this.hours[slot] = hour
    }
    if (hour === this.hours[slot]) this.within[slot]! += count
    else this.before[slot]! += count * this.share(this.hours[slot]! - hour)
  }

  /** Recent clicks as of the beginning of an hour that is not before the newest click's. */
  clicksAt(slot: number, hour: number): number {
    const passed = hour - (this.hours[slot] ?? 0)
    if (passed <= 0) return this.before[slot] ?? 0
    return ((this.before[slot] ?? 0) + (this.within[slot] ?? 0)) * this.share(passed)
  }

  /** Hours since the first click as of the beginning of an hour; NaN: there was none before it. */
  ageAt(slot: number, hour: number): number {
    return ageOf(this.firstMs[slot] ?? 0, hour)
  }

  /** What is left of a click after so many hours. */
  share(hours: number): number {
    return 2 ** (-hours / this.#halfLifeHours)
  }

  /** Nothing is known of it any more. */
  forget(slot: number): void {
    this.cover(slot)
    for (const column of this.#columns) column[slot] = 0
  }

  /** Room for a slot. */
  cover(slot: number): void {
    if (slot < this.firstMs.length) return
    this.firstMs = grown(this.firstMs, slot + 1)
    this.hours = grown(this.hours, slot + 1)
    this.before = grown(this.before, slot + 1)
    this.within = grown(this.within, slot + 1)
  }

  /** Entry i of the state is slot `from + i`. */
  restore(state: ActivityState, from: number): void {
    this.cover(from + state.firstMs.length)
    this.firstMs.set(state.firstMs, from)
    this.hours.set(state.hours, from)
    this.before.set(state.before, from)
    this.within.set(state.within, from)
  }

  /** What a state says of its entry `i`. */
  copy(slot: number, state: ActivityState, i: number): void {
    this.cover(slot)
    this.firstMs[slot] = state.firstMs[i]!
    this.hours[slot] = state.hours[i]!
    this.before[slot] = state.before[i]!
    this.within[slot] = state.within[i]!
  }

  /** Of these slots, in their order. */
  state(slots: readonly number[]): ActivityState {
    const take = (column: Float64Array) => Float64Array.from(slots, (slot) => column[slot] ?? 0)
    const { firstMs, hours, before, within } = this
    return {
      ...{ firstMs: take(firstMs), hours: take(hours) },
      ...{ before: take(before), within: take(within) },
    }
  }

  get #columns(): readonly Float64Array[] {
    return [this.firstMs, this.hours, this.before, this.within]
  }
}

/** Hours from `firstMs` to the beginning of an hour; NaN where that is not before it. */
export function ageOf(firstMs: number, hour: number): number {
  return firstMs === 0 || firstMs >= hour * hourMs ? NaN : hour - firstMs / hourMs
}

export function noActivity(): ActivityState {
  const none = () => new Float64Array(0)
  return { firstMs: none(), hours: none(), before: none(), within: none() }
}
