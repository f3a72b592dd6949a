import { setTimeout as sleep } from 'node:timers/promises'
import { FreshetError, messageOf } from '../errors.ts'
import type { DayFile } from '../streams/archive-chain.ts'
import { dayName } from '../streams/day-cut.ts'
import type { Day } from '../streams/day-cut.ts'
import type { Archive, ArchivedRange } from './archive/archive.ts'
import type { Clock, Logger } from './ports.ts'

export interface ArchiveFilesOptions {
  readonly archive: Pick<Archive, 'write'>
  readonly rollBytes: number
  readonly rollMs: number
  readonly clock: Clock
  readonly log: Logger
  /**
   * Resolves when this process is known to be the one that writes.
   * @throws FreshetError PRODUCER_FENCED
   */
  assertOwner(): Promise<void>
  pause(partition: number): void
  resume(partition: number): void
  onWritten(examples: number): void
  /** Nothing is written any more. */
  onFailure(error: unknown): void
}

interface ArchiveFile {
  readonly day: Day
  readonly from: number
  readonly values: Buffer[]
  bytes: number
  readonly openedMs: number
}

interface PartitionFiles {
  readonly partition: number
  open: ArchiveFile | null
  /** Where the file begins that is open, or comes next. */
  from: number
  /** One past the last record. */
  next: number
  /** Everything below is in the archive. */
  through: number
  writing: Promise<void>
  /** Of the files that are closed and not written yet. */
  bytesToWrite: number
  isPaused: boolean
}

const retryMs = 1_000

/**
 * The files of the archive that are being filled, one for each partition. They follow each other without a gap: the range of a file
 * also holds heartbeats and what cannot be read, and a file that has nothing else is written all the same.
 */
export class ArchiveFiles {
  readonly #options: ArchiveFilesOptions
  readonly #partitions: readonly PartitionFiles[]
  /** Of the days that are not sealed. */
  readonly #written = new Map<string, ArchivedRange[]>()
  readonly #ending = new AbortController()

  /**
   * @param offsets by partition: everything below is in the archive
   * @param files that are there already, of days that are not sealed
   */
  constructor(options: ArchiveFilesOptions, offsets: readonly number[], files: readonly DayFile[]) {
    this.#options = options
    for (const { day, ...range } of files) this.#remember(dayName(day), range)
    this.#partitions = offsets.map((offset, partition) => ({
      ...{ partition, open: null, from: offset, next: offset, through: offset },
      ...{ writing: Promise.resolve(), bytesToWrite: 0, isPaused: false },
    }))
  }

  /**
   * The next record of a partition; where it begins another day, the day before must have been ended.
   * @param day null: before the first day; the first file begins with it all the same
   * @param value copied; null: not an example
   */
  add(partition: number, offset: number, day: Day | null, value: Buffer | null): void {
    const state = this.#partitions[partition]!
    state.next = offset + 1
    if (day === null) return
    state.open ??= this.#newFile(day, state.from)
    if (value === null) return
    state.open.values.push(Buffer.from(value))
    state.open.bytes += value.length
    if (state.open.bytes >= this.#options.rollBytes) this.#close(state, state.open, state.next)
  }

  /** The partition's day ends in front of `offset`: whatever stands since the last file is of that day. */
  endDay(partition: number, offset: number, day: Day): void {
    const state = this.#partitions[partition]!
    if (state.from >= offset) return
    this.#close(state, state.open ?? this.#newFile(day, state.from), offset)
  }

  /** Closes what has been open for too long. */
  roll(): void {
    const dueMs = this.#options.clock.nowMs() - this.#options.rollMs
    for (const state of this.#partitions) {
      const { open, next } = state
      if (open === null || open.values.length === 0 || open.openedMs > dueMs) continue
      this.#close(state, open, next)
    }
  }

  /** The files of a day, by partition and offset: those that this process has written or found when it began. */
  rangesOf(day: string): readonly ArchivedRange[] {
    const ranges = this.#written.get(day) ?? []
    return ranges.toSorted((a, b) => a.partition - b.partition || a.from - b.from)
  }

  /** The day is sealed. */
  forget(day: string): void {
    this.#written.delete(day)
  }

  /** Whether everything below these offsets is in the archive. */
  isThrough(offsets: readonly number[]): boolean {
    return this.#partitions.every(({ partition, through }) => through >= (offsets[partition] ?? 0))
  }

  /** Resolves when every file that is closed by now has been written; false: there was a failure, or the end. */
  async settled(): Promise<boolean> {
    await Promise.all(this.#partitions.map(({ writing }) => writing))
    return !this.#ending.signal.aborted
  }

  /** What is not written by now is left to be read again; a write under way is waited for. */
  async stop(): Promise<void> {
    this.#ending.abort()
    await this.settled()
  }

  #newFile(day: Day, from: number): ArchiveFile {
    return { day, from, values: [], bytes: 0, openedMs: this.#options.clock.nowMs() }
  }

  #close(state: PartitionFiles, file: ArchiveFile, to: number): void {
    state.open = null
    state.from = to
    state.bytesToWrite += file.bytes
    if (!state.isPaused && state.bytesToWrite >= this.#options.rollBytes) {
      state.isPaused = true
      this.#options.pause(state.partition)
    }
    const range = { partition: state.partition, from: file.from, to }
    state.writing = state.writing.then(() => this.#write(state, file, range))
  }

  async #write(state: PartitionFiles, file: ArchiveFile, range: ArchivedRange): Promise<void> {
    const { archive, assertOwner, onWritten, onFailure } = this.#options
    while (!this.#ending.signal.aborted) {
      try {
        await assertOwner()
        await archive.write(dayName(file.day), range, file.values)
        this.#remember(dayName(file.day), range)
        state.through = range.to
        state.bytesToWrite -= file.bytes
        onWritten(file.values.length)
        this.#resumeIfRoom(state)
        return
      } catch (error) {
        if (error instanceof FreshetError) {
          this.#ending.abort()
          onFailure(error)
          return
        }
        await this.#sayAndWait(file, range, error)
      }
    }
  }

  #remember(day: string, range: ArchivedRange): void {
    const ranges = this.#written.get(day)
    if (ranges === undefined) this.#written.set(day, [range])
    else ranges.push(range)
  }

  /** A full disk is no reason to end: it waits, with what it holds, and takes no more. */
  async #sayAndWait(file: ArchiveFile, range: ArchivedRange, error: unknown): Promise<void> {
    this.#options.log.error(
      { day: dayName(file.day), ...range, error: messageOf(error) },
      'the archive cannot be written: trying again',
    )
    await sleep(retryMs, undefined, { signal: this.#ending.signal }).catch(() => undefined)
  }

  #resumeIfRoom(state: PartitionFiles): void {
    if (!state.isPaused || state.bytesToWrite >= this.#options.rollBytes) return
    state.isPaused = false
    this.#options.resume(state.partition)
  }
}
