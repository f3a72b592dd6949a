/** A day in UTC, counted from 1970-01-01. */
export type Day = number

const dayMs = 86_400_000
/** The year 9999 is the last one whose days have names. */
const eventTimeEndMs = 253_402_300_800_000

/** Null for a time that no day can have. */
export function dayOf(eventTimeMs: number): Day | null {
  const isUsable = eventTimeMs >= 0 && eventTimeMs < eventTimeEndMs
  return isUsable ? Math.floor(eventTimeMs / dayMs) : null
}

/** YYYY-MM-DD */
export function dayName(day: Day): string {
  return new Date(day * dayMs).toISOString().slice(0, 10)
}

/** The first moment of a day, in ms. */
export function beginOf(day: Day): number {
  return day * dayMs
}

/** @param name YYYY-MM-DD */
export function dayNamed(name: string): Day {
  return Date.parse(`${name}T00:00:00Z`) / dayMs
}

/** A day as the control document has it. */
export interface DecidedCut {
  readonly day: Day
  /** By partition: the first offset that belongs to the next day. */
  readonly offsets: readonly number[]
}

/** From `offset` on, until the next start, records belong to `day`. */
export interface DayStart {
  readonly day: Day
  readonly offset: number
}

/** Where the fold of one partition goes on: days that began below `offset`, but for those that are decided. */
export interface PartitionStart {
  readonly offset: number
  readonly starts: readonly DayStart[]
}

interface PartitionDays {
  /** First offset that has not been seen. */
  position: number
  /** Days that are not decided, in order. */
  starts: DayStart[]
  /** Decided, and not reached yet. */
  readonly cuts: DayStart[]
}

/**
 * Cuts the examples topic into days: day D of a partition is a range of offsets, and ends with the first record whose event time
 * reaches the end of D, whatever comes after it: older records belong to the day that is open then. Heartbeats count like
 * examples. A fold of the log and of the decided cuts alone: however the log is cut into batches, and however often the fold begins
 * anew behind what is archived, the same records belong to the same days.
 */
export class DayFold {
  readonly #partitions: readonly PartitionDays[]
  /** What is older belongs to no day as long as none is open. */
  readonly #first: Day
  #decided: Day | null

  /**
   * @param decided in the order of their days
   * @param first the first day that the log may begin with, where those before are known from elsewhere
   */
  constructor(
    partitions: readonly PartitionStart[],
    decided: readonly DecidedCut[],
    first: Day = 0,
  ) {
    this.#first = first
    this.#decided = decided.at(-1)?.day ?? null
    this.#partitions = partitions.map(({ offset, starts }, partition) => ({
      position: offset,
      starts: [...starts],
      cuts: decided
        .map(({ day, offsets }) => ({ day, offset: offsets[partition] ?? 0 }))
        .filter((cut) => cut.offset > offset),
    }))
  }

  /** The newest day that is decided. */
  get decided(): Day | null {
    return this.#decided
  }

  /** Offset after the last record seen. */
  position(partition: number): number {
    return this.#partitions[partition]!.position
  }

  /** The day that the next record belongs to, unless it opens one itself; null: none is open yet. */
  openDay(partition: number): Day | null {
    const { starts, cuts } = this.#partitions[partition]!
    return cuts[0]?.day ?? starts.at(-1)?.day ?? (this.#decided === null ? null : this.#decided + 1)
  }

  /**
   * The next record of a partition.
   * @param day of its event time; null: it has none, and belongs where it stands
   * @returns the day it belongs to; null: it stands before the first day
   */
  add(partition: number, offset: number, day: Day | null): Day | null {
    this.advance(partition, offset)
    const { cuts, starts } = this.#partitions[partition]!
    const open = this.openDay(partition)
    const opensDay = cuts.length === 0 && day !== null && day > (open ?? this.#first - 1)
    if (opensDay) starts.push({ day, offset })
    this.advance(partition, offset + 1)
    return opensDay ? day : open
  }

  /** There is no record below `offset` that has not been seen. */
  advance(partition: number, offset: number): void {
    const state = this.#partitions[partition]!
    state.position = Math.max(state.position, offset)
    while (state.cuts.length > 0 && state.cuts[0]!.offset <= state.position) state.cuts.shift()
  }

  /** The oldest day that is not decided; null: no record has been seen. */
  get nextDay(): Day | null {
    if (this.#decided !== null) return this.#decided + 1
    const first = this.#partitions.flatMap(({ starts }) => starts[0]?.day ?? [])
    return first.length === 0 ? null : Math.min(...first)
  }

  /** The day to be cut next, and who has not passed its end. Null: no partition has. */
  get waiting(): { readonly day: Day; readonly partitions: readonly number[] } | null {
    const day = this.nextDay
    if (day === null) return null
    const all = [...this.#partitions.keys()]
    const partitions = all.filter((partition) => this.#endOf(partition, day) === null)
    return partitions.length === all.length ? null : { day, partitions }
  }

  /**
   * The cut of the next day, once every partition has passed its end. Those that are idle end where they are, but not all of them:
   * it is a record that ends a day.
   */
  cut(isIdle: (partition: number) => boolean): DecidedCut | null {
    const waiting = this.waiting
    if (waiting === null) return null
    // One that has not come as far as it is decided has records to come.
    const isAtEnd = (partition: number): boolean =>
      this.decidedEnd(partition) === null && isIdle(partition)
    if (!waiting.partitions.every(isAtEnd)) return null
    const { day } = waiting
    return {
      day,
      offsets: this.#partitions.map(({ position }, p) => this.#endOf(p, day) ?? position),
    }
  }

  /** Where the open day ends, if that is decided already. */
  decidedEnd(partition: number): number | null {
    return this.#partitions[partition]!.cuts[0]?.offset ?? null
  }

  /**
   * The next day is decided.
   * @returns false where that contradicts what records were said to belong to: the fold must begin anew
   */
  decide({ day, offsets }: DecidedCut): boolean {
    const next = this.nextDay
    const isNext = next === null || day === next
    const agrees = this.#partitions.every(({ position, cuts }, partition) => {
      const end = this.#endOf(partition, day)
      const cut = offsets[partition]
      if (cut === undefined) return false
      return end === null ? cut >= position && (cuts.at(-1)?.offset ?? 0) <= cut : cut === end
    })
    if (!isNext || !agrees) return false
    this.#decided = day
    for (const [partition, state] of this.#partitions.entries()) {
      state.starts = state.starts.filter((start) => start.day > day)
      const offset = offsets[partition]!
      if (offset > state.position) state.cuts.push({ day, offset })
    }
    return true
  }

  #endOf(partition: number, day: Day): number | null {
    const { starts } = this.#partitions[partition]!
    return starts.find((start) => start.day > day)?.offset ?? null
  }
}
