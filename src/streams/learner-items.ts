import type { AdmissionSnapshot } from '../model/admission.ts'
import { Admission } from '../model/admission.ts'
import { dotAt } from '../model/dot.ts'
import type { TableEntries } from '../model/embedding-table.ts'
import { EmbeddingTable } from '../model/embedding-table.ts'
import type { TensorModel } from '../model/engine.ts'
import { encodeFeatures } from '../model/features.ts'
import type { ActivityState } from '../model/item-activity.ts'
import { hash32 } from '../model/hash.ts'
import type { SamplerSnapshot } from '../model/sampler.ts'
import { NegativeSampler } from '../model/sampler.ts'
import type { DenseParameters, ModelSpec } from '../model/spec.ts'
import { featureWidth } from '../model/spec.ts'
import { grown } from '../model/typed-arrays.ts'
import { noFeatures, type Features, type Item } from '../records/types.ts'
import { LearnerActivity, type LearnerActivitySnapshot } from './learner-activity.ts'
import type { BaseRows } from './learner-users.ts'
import { loadRows } from './learner-users.ts'

const vectorsPerCall = 1_024

/** What is known of an item, as bits. */
const inCatalogue = 1
const isAdmitted = 2
const isWithdrawn = 4

export interface BaseItems extends BaseRows {
  /** [n x o] the vectors that the generation's index holds */
  readonly vectors: Float32Array
  /** Absent: nothing is known. */
  readonly activity?: ActivityState
}

export interface ItemOverride {
  readonly itemId: string
  /** [o], of length 1; null withdraws the item */
  readonly vector: Float32Array | null
  readonly eventTimeMs: number
}

export interface ItemOptions {
  readonly itemRowsMax: number
  readonly admitAfterItems: number
  readonly popularityHalfLifeMs: number
  readonly popularityShare: number
  readonly skewEpsilon: number
  readonly onlineRows: 'user' | 'user+item'
}

/**
 * The item side of the learner. A catalogue item has a slot from the start, whose row stays a copy of row 0 until clicks admit it;
 * an item that only examples name gets one when it is admitted, and has empty features.
 */
export class LearnerItems {
  readonly table: EmbeddingTable
  readonly sampler: NegativeSampler
  /** [slot x o] vectors as serving has them; valid where isRecallable. */
  published = new Float32Array(16)
  /** [slot] 1: the item's vector is published. */
  isRecallable = new Uint8Array(16)
  /** [slot] event time of the first click, Infinity before, -Infinity for items of the generation. */
  firstClickMs = new Float64Array(16)
  readonly #options: ItemOptions
  readonly #model: ModelSpec
  readonly #dense: DenseParameters
  readonly #width: number
  readonly #admission: Admission
  readonly #activity: LearnerActivity
  #bits = new Uint8Array(16)
  /** [slot x F] */
  #features = new Float32Array(16)
  /** Published items that are to be withdrawn at the next sync. */
  #withdrawn = new Set<string>()

  constructor(
    options: ItemOptions,
    model: ModelSpec,
    dense: DenseParameters,
    start: { defaultRow: Float32Array } | ItemsSnapshot,
  ) {
    const tableOptions = {
      rowsMax: options.itemRowsMax,
      released: (slot: number) => this.#forget(slot),
    }
    this.#options = options
    this.#model = model
    this.#dense = dense
    this.#width = featureWidth(model.item)
    this.#admission = new Admission(options.admitAfterItems)
    this.#activity = new LearnerActivity(model, options.onlineRows)
    this.sampler = new NegativeSampler({
      halfLifeMs: options.popularityHalfLifeMs,
      popularityShare: options.popularityShare,
    })
    if ('table' in start) {
      this.table = EmbeddingTable.restore(start.table, tableOptions)
      this.#restore(start)
    } else {
      this.table = new EmbeddingTable({ ...tableOptions, defaultRow: start.defaultRow })
      this.#cover(0)
    }
  }

  /** Width o of vectors. */
  get outputDim(): number {
    return this.#model.outputDim
  }

  load(base: BaseItems, eventTimeMs: number): void {
    for (const _ of this.loadInSlices(base, eventTimeMs)) continue
  }

  loadInSlices(base: BaseItems, eventTimeMs: number): Generator<void> {
    const dim = this.outputDim
    this.#activity.load(eventTimeMs)
    return loadRows(this.table, base, eventTimeMs, 'learner.itemRowsMax', (slot, i) => {
      if (base.activity !== undefined) this.#activity.copy(slot, base.activity, i)
      this.#welcome(slot, isAdmitted)
      this.firstClickMs[slot] = -Infinity
      this.published.set(base.vectors.subarray(i * dim, (i + 1) * dim), slot * dim)
      this.isRecallable[slot] = 1
    })
  }

  /**
   * Adds or changes a catalogue item; null withdraws it. Call `table.makeRoom` first.
   * @returns how many of its features were unusable
   */
  applyCatalogue(itemId: string, item: Item | null): number {
    let slot = this.table.find(itemId)
    if (item === null) {
      if (slot !== 0) this.#withdraw(slot)
      return 0
    }
    if (slot === 0) {
      slot = this.table.insert(itemId, item.createdAtMs)
      this.#welcome(slot, 0)
    }
    this.#bits[slot] = (this.#bits[slot]! & ~isWithdrawn) | inCatalogue
    this.sampler.add(slot)
    this.#withdrawn.delete(itemId)
    this.table.markDirty(slot)
    return this.#encode(slot, item.features)
  }

  /** Computed features go on to the hour of `timeMs`, before anything is trained in it. */
  advance(timeMs: number): void {
    for (const slot of this.#activity.advance(timeMs, this.table.slotCount)) {
      this.#activity.write(slot, this.#dense.item, this.#features, slot * this.#width)
      if (this.table.isLive(slot)) this.table.markDirty(slot)
    }
  }

  /** The slot of a clicked item, 0 while it has none. Counts towards its admission and its popularity. */
  sight(itemId: string, eventTimeMs: number): number {
    let slot = this.table.find(itemId)
    if (!this.trains(slot) && this.#admission.admits(hash32(itemId))) {
      if (slot === 0) {
        slot = this.table.insert(itemId, eventTimeMs)
        this.#welcome(slot, 0)
        this.sampler.add(slot)
        this.#withdrawn.delete(itemId)
      }
      this.#bits[slot]! |= isAdmitted
      this.table.markDirty(slot)
    }
    if (slot === 0) return 0
    this.table.touch(slot, eventTimeMs)
    this.sampler.observe(slot, eventTimeMs)
    this.#activity.observe(slot, eventTimeMs)
    if (this.firstClickMs[slot] === Infinity) this.firstClickMs[slot] = eventTimeMs
    return slot
  }

  /** Whether the item's row may change: it was admitted. */
  trains(slot: number): boolean {
    return (this.#bits[slot]! & isAdmitted) !== 0
  }

  expire(beforeMs: number): number {
    return this.table.expire(beforeMs, (slot) => (this.#bits[slot]! & inCatalogue) !== 0)
  }

  copyFeatures(slot: number, out: Float32Array, at: number): void {
    const start = slot * this.#width
    for (let i = 0; i < this.#width; i++) out[at + i] = this.#features[start + i]!
  }

  /** Vectors that are new or have turned by more than skewEpsilon since they were published, and withdrawals; all count as published now. */
  async takeOverrides(engine: TensorModel): Promise<ItemOverride[]> {
    const overrides: ItemOverride[] = []
    for (const itemId of this.#withdrawn) {
      const slot = this.table.find(itemId)
      this.isRecallable[slot] = 0
      overrides.push({ itemId, vector: null, eventTimeMs: this.table.timesMs[slot]! })
    }
    this.#withdrawn = new Set()
    const slots = this.table.takeDirty().filter((slot) => (this.#bits[slot]! & isWithdrawn) === 0)
    for (let from = 0; from < slots.length; from += vectorsPerCall) {
      await this.#takeMoved(slots.slice(from, from + vectorsPerCall), engine, overrides)
    }
    return overrides
  }

  snapshot(): ItemsSnapshot {
    const count = this.table.slotCount
    return {
      table: this.table.entries(),
      admission: this.#admission.snapshot(),
      sampler: this.sampler.snapshot(),
      published: this.published.slice(0, count * this.outputDim),
      isRecallable: this.isRecallable.slice(0, count),
      firstClickMs: this.firstClickMs.slice(0, count),
      bits: this.#bits.slice(0, count),
      features: this.#features.slice(0, count * this.#width),
      activity: this.#activity.snapshot(count),
      withdrawn: [...this.#withdrawn],
    }
  }

  #restore(snapshot: ItemsSnapshot): void {
    this.#cover(snapshot.table.slotCount)
    this.#admission.restore(snapshot.admission)
    this.sampler.restore(snapshot.sampler)
    this.published.set(snapshot.published)
    this.isRecallable.set(snapshot.isRecallable)
    this.firstClickMs.set(snapshot.firstClickMs)
    this.#bits.set(snapshot.bits)
    this.#features.set(snapshot.features)
    this.#activity.restore(snapshot.activity)
    this.#withdrawn = new Set(snapshot.withdrawn)
  }

  async #takeMoved(slots: number[], engine: TensorModel, overrides: ItemOverride[]): Promise<void> {
    const { outputDim } = this
    const { dim } = this.table
    const rows = new Float32Array(slots.length * dim)
    const features = new Float32Array(slots.length * this.#width)
    slots.forEach((slot, i) => {
      this.table.copyRow(slot, rows, i * dim)
      this.copyFeatures(slot, features, i * this.#width)
    })
    const vectors = await engine.vectors('item', rows, features, slots.length)
    slots.forEach((slot, i) => {
      const skew = 1 - dotAt(vectors, i * outputDim, this.published, slot * outputDim, outputDim)
      if (this.isRecallable[slot] === 1 && skew <= this.#options.skewEpsilon) return
      const vector = vectors.slice(i * outputDim, (i + 1) * outputDim)
      this.published.set(vector, slot * outputDim)
      this.isRecallable[slot] = 1
      overrides.push({
        itemId: this.table.idOf(slot),
        vector,
        eventTimeMs: this.table.timesMs[slot]!,
      })
    })
  }

  #welcome(slot: number, bits: number): void {
    this.#cover(slot)
    this.#bits[slot] = bits
    this.firstClickMs[slot] = Infinity
    this.isRecallable[slot] = 0
    this.#encode(slot, noFeatures)
    if (bits === isAdmitted) this.sampler.add(slot)
  }

  #encode(slot: number, features: Features): number {
    const at = slot * this.#width
    const { item } = this.#dense
    const unusable = encodeFeatures(this.#model.item, item, features, this.#features, at)
    this.#activity.write(slot, item, this.#features, at)
    return unusable
  }

  #withdraw(slot: number): void {
    this.#bits[slot] = (this.#bits[slot]! & ~inCatalogue) | isWithdrawn
    this.sampler.remove(slot)
    if (this.isRecallable[slot] === 1) this.#withdrawn.add(this.table.idOf(slot))
  }

  /** An item that expires or is evicted can no longer be recalled: its vector would never change again. */
  #forget(slot: number): void {
    this.#withdraw(slot)
    this.isRecallable[slot] = 0
    this.#activity.forget(slot)
  }

  #cover(slot: number): void {
    this.published = grown(this.published, (slot + 1) * this.outputDim)
    this.isRecallable = grown(this.isRecallable, slot + 1)
    this.firstClickMs = grown(this.firstClickMs, slot + 1)
    this.#bits = grown(this.#bits, slot + 1)
    this.#features = grown(this.#features, (slot + 1) * this.#width)
  }
}

/** Arrays are by slot, except the table's entries. */
export interface ItemsSnapshot {
  readonly table: TableEntries
  readonly admission: AdmissionSnapshot
  readonly sampler: SamplerSnapshot
  readonly published: Float32Array
  readonly isRecallable: Uint8Array
  readonly firstClickMs: Float64Array
  readonly bits: Uint8Array
  readonly features: Float32Array
  readonly activity: LearnerActivitySnapshot
  readonly withdrawn: readonly string[]
}
