import { ComputedFeatures, levelOf } from '../model/computed-features.ts'
import { ageOf, hourMs, ItemActivity, type ActivityState } from '../model/item-activity.ts'
import type { ModelSpec } from '../model/spec.ts'
import type { Example } from '../records/types.ts'

interface ClicksOfDay {
  firstMs: number
  /** Hour since the epoch -> clicks. */
  readonly hours: Map<number, number>
}

/**
 * Age and recent clicks of items as of any hour of the day, although its examples come shuffled: what was known before the day, and its clicks by the hour,
 * which are counted first.
 */
export class FullUpdateActivity {
  readonly #features: ComputedFeatures
  /** By slot. */
  readonly #before: ItemActivity
  readonly #today = new Map<string, ClicksOfDay>()
  /** By slot. */
  #todayOf: (ClicksOfDay | undefined)[] = []

  /** @param state of items whose slots are their numbers + 1 */
  constructor({ item, popularityHalfLifeHours }: ModelSpec, state: ActivityState) {
    this.#features = new ComputedFeatures(item)
    this.#before = new ItemActivity(popularityHalfLifeHours)
    this.#before.restore(state, 1)
  }

  /** The model has no computed features: nothing has to be counted. */
  get isIdle(): boolean {
    return this.#features.isEmpty
  }

  /** Counts clicks of the day. @param slotOf 0: the item has none yet */
  observe(examples: readonly Example[], slotOf: (itemId: string) => number): void {
    for (const { itemId, eventTimeMs } of examples) {
      let clicks = this.#today.get(itemId)
      if (clicks === undefined) {
        clicks = { firstMs: eventTimeMs, hours: new Map() }
        this.#today.set(itemId, clicks)
        const slot = slotOf(itemId)
        if (slot !== 0) this.#todayOf[slot] = clicks
      }
      clicks.firstMs = Math.min(clicks.firstMs, eventTimeMs)
      const hour = Math.floor(eventTimeMs / hourMs)
      clicks.hours.set(hour, (clicks.hours.get(hour) ?? 0) + 1)
    }
  }

  /** A slot is given out. */
  welcome(slot: number, itemId: string): void {
    this.#todayOf[slot] = this.#today.get(itemId)
  }

  /** Writes the computed features of an item as of the beginning of an hour. */
  write(slot: number, hour: number, out: Float32Array, offset: number): void {
    if (this.isIdle) return
    const today = this.#todayOf[slot]
    let clicks = this.#before.clicksAt(slot, hour)
    let ageHours = this.#before.ageAt(slot, hour)
    if (today !== undefined) {
      if (Number.isNaN(ageHours)) ageHours = ageOf(today.firstMs, hour)
      for (const [when, count] of today.hours) {
        if (when < hour) clicks += count * this.#before.share(hour - when)
      }
    }
    this.#features.write(levelOf(ageHours), levelOf(clicks), out, offset)
  }

  /** After the day, whose clicks are like those before from here on. */
  state(slots: readonly number[]): ActivityState {
    if (this.isIdle) return this.#before.state([])
    for (const slot of slots) {
      const today = this.#todayOf[slot]
      if (today === undefined) continue
      this.#before.meet(slot, today.firstMs)
      const hours = [...today.hours].sort(([a], [b]) => a - b)
      for (const [hour, count] of hours) this.#before.add(slot, hour, count)
    }
    this.#today.clear()
    this.#todayOf = []
    return this.#before.state(slots)
  }
}
