import type { EmbeddingTable } from '../model/embedding-table.ts'
import { StreamingFrequency } from '../model/frequency.ts'
import type { Random } from '../model/hash.ts'
import type { ActivityState } from '../model/item-activity.ts'
import { PreparedFeatures } from '../model/prepared-features.ts'
import type { ModelSpec, TrainedTower } from '../model/spec.ts'
import { noFeatures } from '../records/types.ts'
import type { Example } from '../records/types.ts'
import { FullUpdateActivity } from './full-update-activity.ts'
import type { FrequencyState } from './full-update-types.ts'
import type { CatalogueChange } from './learner-types.ts'

/**
 * The item side of a full update. An item that nobody has clicked yet has no row of its own: it is row 0 with its features, until its first click makes
 * it a copy of row 0.
 */
export class FullUpdateItems {
  readonly table: EmbeddingTable
  readonly frequency: StreamingFrequency
  readonly prepared: PreparedFeatures
  readonly activity: FullUpdateActivity
  /** [slot] number of its features; 0: none are known */
  readonly #preparedOf: number[] = []
  /** Slots that can be drawn. */
  readonly #known: number[] = []
  readonly #withdrawn = new Set<string>()
  readonly #inCatalogue = new Set<number>()

  constructor(
    model: ModelSpec,
    table: EmbeddingTable,
    frequency: StreamingFrequency,
    activity: ActivityState,
    catalogue: readonly CatalogueChange[],
  ) {
    this.table = table
    this.frequency = frequency
    this.prepared = new PreparedFeatures(model.item)
    this.activity = new FullUpdateActivity(model, activity)
    this.prepared.add(noFeatures)
    for (const { itemId, item } of catalogue) {
      let slot = table.find(itemId)
      if (item === null) {
        this.#withdrawn.add(itemId)
        continue
      }
      if (slot === 0) slot = table.insert(itemId, 0)
      this.#inCatalogue.add(slot)
      this.#preparedOf[slot] = this.prepared.add(item.features)
    }
    for (let slot = 1; slot < table.slotCount; slot++) {
      if (!this.#withdrawn.has(table.idOf(slot))) this.#known.push(slot)
    }
  }

  /** Number of items that can be drawn. */
  get size(): number {
    return this.#known.length
  }

  draw(random: Random): number {
    return this.#known[Math.floor(random.nextFloat() * this.#known.length)]!
  }

  /** The slot of a clicked item; counts the click. */
  sight(itemId: string, eventTimeMs: number): number {
    let slot = this.table.find(itemId)
    if (slot === 0) {
      slot = this.table.insert(itemId, eventTimeMs)
      this.activity.welcome(slot, itemId)
      if (!this.#withdrawn.has(itemId)) this.#known.push(slot)
    } else if (this.table.timesMs[slot] === 0) this.table.reset(slot)
    this.table.touch(slot, eventTimeMs)
    this.frequency.observe(slot)
    return slot
  }

  /** The slot of the row that stands for the item. */
  rowOf(slot: number): number {
    return this.table.timesMs[slot] === 0 ? 0 : slot
  }

  /** Counts clicks of the day, all of them before the first step: computed features are as of an hour. */
  observe(examples: readonly Example[]): void {
    this.activity.observe(examples, (itemId) => this.table.find(itemId))
  }

  /** Writes the F features of an item as of the beginning of an hour, encoded except for `standardiseNumbers`. */
  writeFeatures(
    parameters: TrainedTower,
    slot: number,
    hour: number,
    out: Float32Array,
    offset: number,
  ): void {
    this.prepared.write(parameters, this.preparedOf(slot), out, offset)
    this.activity.write(slot, hour, out, offset)
  }

  /** Number of the slot's features among `prepared`. */
  preparedOf(slot: number): number {
    return this.#preparedOf[slot] ?? 0
  }

  /** What stays: neither withdrawn, nor out of the catalogue and not clicked since `beforeMs`. Unclicked items get row 0 as it is now. */
  finish(beforeMs: number): number[] {
    const slots: number[] = []
    for (let slot = 1; slot < this.table.slotCount; slot++) {
      if (this.#withdrawn.has(this.table.idOf(slot))) continue
      if (!this.#inCatalogue.has(slot) && this.table.timesMs[slot]! < beforeMs) continue
      if (this.rowOf(slot) === 0) this.table.reset(slot)
      slots.push(slot)
    }
    return slots
  }

  frequencyState(slots: readonly number[]): FrequencyState {
    const { examples, lastSeen, gap, gaps } = this.frequency
    const take = (column: Float64Array) => Float64Array.from(slots, (slot) => column[slot] ?? 0)
    return { examples, lastSeen: take(lastSeen), gap: take(gap), gaps: take(gaps) }
  }
}

/** Slot i + 1 is item i of the state, as in the table. */
export function openFrequency(state: FrequencyState, rate: number): StreamingFrequency {
  const frequency = new StreamingFrequency(rate, state.gap.length + 1)
  frequency.examples = state.examples
  frequency.lastSeen.set(state.lastSeen, 1)
  frequency.gap.set(state.gap, 1)
  frequency.gaps.set(state.gaps, 1)
  return frequency
}
