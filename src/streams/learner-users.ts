import { FreshetError } from '../errors.ts'
import type { AdmissionSnapshot } from '../model/admission.ts'
import { Admission } from '../model/admission.ts'
import type { TableEntries } from '../model/embedding-table.ts'
import { EmbeddingTable } from '../model/embedding-table.ts'
import { hash32 } from '../model/hash.ts'
import { grown } from '../model/typed-arrays.ts'
import { RecentClicks } from './learner-recent.ts'

/** Offset of a row that has seen no example: one that came with the generation, or one just born. */
const baseOffset = -1
const bornOffset = -2
/** Loaded in a few milliseconds. */
const rowsPerSlice = 5_000

export interface UserRow {
  readonly userId: string
  /** Offset of the newest example in the row; -1 for a row as it came with the generation. */
  readonly offset: number
  readonly eventTimeMs: number
  /** [d] */
  readonly row: Float32Array
  /** Newest first. */
  readonly recentItems: readonly string[]
}

export interface BaseRows {
  readonly ids: readonly string[]
  /** [n x d] */
  readonly rows: Float32Array
  /** [n] event time of the newest example, 0 for none; rows without one count as old as the generation. */
  readonly seenMs?: Float64Array
  /** What the user of a row has clicked last, newest first. */
  readonly recentItems?: (entry: number) => readonly string[]
}

export interface UserOptions {
  readonly userRowsMax: number
  readonly admitAfterUsers: number
  readonly examplesPerUserPerMinuteMax: number
}

/** The user side of the learner: rows, and beside each where it comes from and what was clicked. */
export class LearnerUsers {
  readonly table: EmbeddingTable
  readonly #admission: Admission
  readonly #recent = new RecentClicks()
  readonly #perMinuteMax: number
  /** [slot] */
  #offsets = new Float64Array(16)
  #partitions = new Uint32Array(16)
  #minutes = new Uint32Array(16)
  #minuteCounts = new Uint32Array(16)
  /** Users that lost their rows since `takeRemoved`. */
  #removed = new Set<string>()

  constructor(
    options: UserOptions,
    start: { defaultRow: Float32Array } | UsersSnapshot,
    removed: readonly string[] = [],
  ) {
    const tableOptions = {
      rowsMax: options.userRowsMax,
      released: (slot: number) => this.#forget(slot),
    }
    this.#admission = new Admission(options.admitAfterUsers)
    this.#perMinuteMax = options.examplesPerUserPerMinuteMax
    if ('table' in start) {
      this.table = EmbeddingTable.restore(start.table, tableOptions)
      this.#restore(start)
    } else this.table = new EmbeddingTable({ ...tableOptions, defaultRow: start.defaultRow })
    this.#removed = new Set(removed)
  }

  load(base: BaseRows, eventTimeMs: number): void {
    for (const _ of this.loadInSlices(base, eventTimeMs)) continue
  }

  loadInSlices(base: BaseRows, eventTimeMs: number): Generator<void> {
    return loadRows(this.table, base, eventTimeMs, 'learner.userRowsMax', (slot, entry) => {
      this.#cover(slot)
      this.#offsets[slot] = baseOffset
      this.#remember(slot, base.recentItems?.(entry) ?? [])
    })
  }

  /** The user's slot, given one if this sighting admits the user; 0 without. */
  sight(userId: string, eventTimeMs: number): number {
    const known = this.table.find(userId)
    if (known !== 0) return known
    if (!this.#admission.admits(hash32(userId))) return 0
    const slot = this.table.insert(userId, eventTimeMs)
    this.#cover(slot)
    this.#removed.delete(userId)
    this.#offsets[slot] = bornOffset
    this.#minuteCounts[slot] = 0
    return slot
  }

  /** Counts an example against the limit of a minute of event time, which holds off bots; false: it is one too many. */
  isWithinRate(slot: number, eventTimeMs: number): boolean {
    if (slot === 0) return true
    const minute = Math.floor(eventTimeMs / 60_000)
    if (this.#minuteCounts[slot] === 0 || minute > this.#minutes[slot]!) {
      this.#minutes[slot] = minute
      this.#minuteCounts[slot] = 0
    }
    return ++this.#minuteCounts[slot]! <= this.#perMinuteMax
  }

  isNew(slot: number): boolean {
    return slot === 0 || this.#offsets[slot] === bornOffset
  }

  record(
    slot: number,
    partition: number,
    offset: number,
    itemId: string,
    eventTimeMs: number,
  ): void {
    if (slot === 0) return
    this.#partitions[slot] = partition
    this.#offsets[slot] = offset
    this.#recent.push(slot, itemId)
    this.table.touch(slot, eventTimeMs)
    this.table.markDirty(slot)
  }

  recentItems(slot: number): readonly string[] {
    return this.#recent.list(slot)
  }

  /** Rows changed since the last call, by partition. */
  takeChanged(): Map<number, UserRow[]> {
    const byPartition = new Map<number, UserRow[]>()
    for (const slot of this.table.takeDirty()) {
      const partition = this.#partitions[slot]!
      const rows = byPartition.get(partition) ?? []
      rows.push(this.#rowOf(slot))
      byPartition.set(partition, rows)
    }
    return byPartition
  }

  /** Users whose rows have gone since `takeRemoved`, and did not come back. */
  get removed(): readonly string[] {
    return [...this.#removed]
  }

  takeRemoved(): readonly string[] {
    const { removed } = this
    this.#removed = new Set()
    return removed
  }

  *all(): Generator<UserRow> {
    for (let slot = 1; slot < this.table.slotCount; slot++) {
      if (this.table.isLive(slot)) yield this.#rowOf(slot)
    }
  }

  snapshot(): UsersSnapshot {
    const table = this.table.entries()
    return {
      table,
      admission: this.#admission.snapshot(),
      offsets: Float64Array.from(table.slots, (slot) => this.#offsets[slot]!),
      partitions: Uint32Array.from(table.slots, (slot) => this.#partitions[slot]!),
      minutes: Uint32Array.from(table.slots, (slot) => this.#minutes[slot]!),
      minuteCounts: Uint32Array.from(table.slots, (slot) => this.#minuteCounts[slot]!),
      recentItems: Array.from(table.slots, (slot) => this.#recent.list(slot)),
    }
  }

  #restore(snapshot: UsersSnapshot): void {
    this.#admission.restore(snapshot.admission)
    this.#cover(snapshot.table.slotCount)
    snapshot.table.slots.forEach((slot, i) => {
      this.#offsets[slot] = snapshot.offsets[i]!
      this.#partitions[slot] = snapshot.partitions[i]!
      this.#minutes[slot] = snapshot.minutes[i]!
      this.#minuteCounts[slot] = snapshot.minuteCounts[i]!
      this.#remember(slot, snapshot.recentItems[i]!)
    })
  }

  /** @param items newest first */
  #remember(slot: number, items: readonly string[]): void {
    for (const itemId of items.toReversed()) this.#recent.push(slot, itemId)
  }

  #forget(slot: number): void {
    this.#recent.clear(slot)
    this.#removed.add(this.table.idOf(slot))
  }

  #rowOf(slot: number): UserRow {
    return {
      userId: this.table.idOf(slot),
      offset: Math.max(baseOffset, this.#offsets[slot]!),
      eventTimeMs: this.table.timesMs[slot]!,
      row: this.table.row(slot).slice(),
      recentItems: this.#recent.list(slot),
    }
  }

  #cover(slot: number): void {
    this.#offsets = grown(this.#offsets, slot + 1)
    this.#partitions = grown(this.#partitions, slot + 1)
    this.#minutes = grown(this.#minutes, slot + 1)
    this.#minuteCounts = grown(this.#minuteCounts, slot + 1)
  }
}

/** Arrays beside the table are parallel to its entries. */
export interface UsersSnapshot {
  readonly table: TableEntries
  readonly admission: AdmissionSnapshot
  readonly offsets: Float64Array
  readonly partitions: Uint32Array
  readonly minutes: Uint32Array
  readonly minuteCounts: Uint32Array
  readonly recentItems: readonly (readonly string[])[]
}

/**
 * Fills an empty table with a generation's rows, a slice at each step, so that others may have their turn in between.
 * @throws FreshetError CONFIG_INVALID when they do not fit
 */
export function* loadRows(
  table: EmbeddingTable,
  base: BaseRows,
  eventTimeMs: number,
  limitName: string,
  loaded: (slot: number, entry: number) => void,
): Generator<void> {
  if (base.ids.length > table.rowsMax) {
    throw new FreshetError(
      'CONFIG_INVALID',
      `the generation has ${base.ids.length} rows, ${limitName} allows ${table.rowsMax}: raise it`,
    )
  }
  for (const [i, id] of base.ids.entries()) {
    const seenMs = base.seenMs?.[i] ?? 0
    const slot = table.insert(id, seenMs === 0 ? eventTimeMs : seenMs)
    table.row(slot).set(base.rows.subarray(i * table.dim, (i + 1) * table.dim))
    loaded(slot, i)
    if (i % rowsPerSlice === rowsPerSlice - 1) yield
  }
}
