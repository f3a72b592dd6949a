import { ComputedFeatures, levelOf } from '../model/computed-features.ts'
import { hourMs, ItemActivity, type ActivityState } from '../model/item-activity.ts'
import type { ModelSpec, TowerParameters } from '../model/spec.ts'
import { grown } from '../model/typed-arrays.ts'

/** Levels of a slot: of its age and of its recent clicks. */
const levelsASlot = 2

/**
 * Computed features of the learner's items, by slot. They are those of an hour of event time, the newest that an example came from. Where item rows do not
 * train, several learners have a part of the log each, and the features stay those of the generation.
 */
export class LearnerActivity {
  readonly #features: ComputedFeatures
  readonly #activity: ItemActivity
  readonly #isIdle: boolean
  /** Since the epoch. */
  #hour = 0
  /** [slot x 2] as the encoded features have them */
  #levels = new Int32Array(16)

  constructor({ item, popularityHalfLifeHours }: ModelSpec, onlineRows: 'user' | 'user+item') {
    this.#features = new ComputedFeatures(item)
    this.#activity = new ItemActivity(popularityHalfLifeHours)
    this.#isIdle = this.#features.isEmpty || onlineRows === 'user'
  }

  /** @param timeMs to which the generation has learnt */
  load(timeMs: number): void {
    this.#hour = Math.floor(timeMs / hourMs)
  }

  /** What the generation knows of its item `i`. */
  copy(slot: number, state: ActivityState, i: number): void {
    if (!this.#features.isEmpty) this.#activity.copy(slot, state, i)
  }

  observe(slot: number, timeMs: number): void {
    if (!this.#isIdle) this.#activity.observe(slot, timeMs)
  }

  forget(slot: number): void {
    if (!this.#features.isEmpty) this.#activity.forget(slot)
  }

  /** @returns slots whose levels have changed */
  advance(timeMs: number, slotCount: number): number[] {
    const hour = Math.floor(timeMs / hourMs)
    if (this.#isIdle || hour <= this.#hour) return []
    this.#hour = hour
    const changed: number[] = []
    for (let slot = 1; slot < slotCount; slot++) if (this.#refresh(slot)) changed.push(slot)
    return changed
  }

  /** Writes the encoded features. @param offset where those of the item begin */
  write(slot: number, parameters: TowerParameters, out: Float32Array, offset: number): void {
    if (this.#features.isEmpty) return
    this.#refresh(slot)
    const [age, clicks] = [this.#levels[slot * levelsASlot]!, this.#levels[slot * levelsASlot + 1]!]
    this.#features.writeStandardised(age, clicks, parameters, out, offset)
  }

  snapshot(slotCount: number): LearnerActivitySnapshot {
    const slots = this.#features.isEmpty ? [] : Array.from({ length: slotCount }, (_, slot) => slot)
    return {
      state: this.#activity.state(slots),
      hour: this.#hour,
      levels: this.#levels.slice(0, slots.length * levelsASlot),
    }
  }

  restore({ state, hour, levels }: LearnerActivitySnapshot): void {
    this.#activity.restore(state, 0)
    this.#hour = hour
    this.#levels = grown(levels.slice(), 16)
  }

  /** @returns whether one has changed */
  #refresh(slot: number): boolean {
    const at = slot * levelsASlot
    this.#levels = grown(this.#levels, at + levelsASlot)
    const age = levelOf(this.#activity.ageAt(slot, this.#hour))
    const clicks = levelOf(this.#activity.clicksAt(slot, this.#hour))
    if (this.#levels[at] === age && this.#levels[at + 1] === clicks) return false
    this.#levels[at] = age
    this.#levels[at + 1] = clicks
    return true
  }
}

export interface LearnerActivitySnapshot {
  /** Entry i is slot i. */
  readonly state: ActivityState
  readonly hour: number
  readonly levels: Int32Array
}
