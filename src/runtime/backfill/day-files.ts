import { dayName, type Day } from '../../streams/day-cut.ts'
import type { CatalogueChange } from '../../streams/learner-types.ts'
import type { Archive, ArchivedRange, DaySeal } from '../archive/archive.ts'

export interface DayFilesOptions {
  readonly archive: Archive
  readonly partitions: number
  /** Of examples that wait to be written: by partition, and of all together. */
  readonly rollBytes: number
  readonly bytesMax: number
}

interface PartitionFile {
  readonly partition: number
  /** Examples of the day that are in files already. */
  written: number
  values: Buffer[]
  bytes: number
}

/** Writes the examples of one day after the other into the archive. A day is sealed when it is whole. */
export class DayFiles {
  readonly #options: DayFilesOptions
  #partitions: PartitionFile[] = []
  #ranges: ArchivedRange[] = []
  #bytes = 0

  constructor(options: DayFilesOptions) {
    this.#options = options
  }

  /** What a backfill that was stopped has left of the day is removed. */
  async begin(day: Day): Promise<void> {
    const { archive, partitions } = this.#options
    await archive.removeDay(dayName(day))
    this.#partitions = Array.from({ length: partitions }, (_, partition) => newFile(partition, 0))
    this.#ranges = []
    this.#bytes = 0
  }

  /** @param value as in the examples topic */
  async add(day: Day, partition: number, value: Buffer): Promise<void> {
    const { rollBytes, bytesMax } = this.#options
    const file = this.#partitions[partition]!
    file.values.push(value)
    file.bytes += value.length
    this.#bytes += value.length
    if (file.bytes >= rollBytes) await this.#write(day, file)
    else if (this.#bytes >= bytesMax) await this.#write(day, this.#largest())
  }

  /** @param backfill the run */
  async seal(day: Day, catalogue: readonly CatalogueChange[], backfill: string): Promise<DaySeal> {
    const { archive } = this.#options
    for (const file of this.#partitions) await this.#write(day, file)
    await archive.writeCatalogue(dayName(day), catalogue)
    this.#ranges.sort((a, b) => a.partition - b.partition || a.from - b.from)
    return archive.seal(dayName(day), this.#ranges, backfill)
  }

  async #write(day: Day, { partition, written, values, bytes }: PartitionFile): Promise<void> {
    if (values.length === 0) return
    const range = { partition, from: written, to: written + values.length }
    await this.#options.archive.write(dayName(day), range, values, 'backfill')
    this.#ranges.push(range)
    this.#partitions[partition] = newFile(partition, range.to)
    this.#bytes -= bytes
  }

  #largest(): PartitionFile {
    return this.#partitions.reduce((a, b) => (b.bytes > a.bytes ? b : a))
  }
}

function newFile(partition: number, written: number): PartitionFile {
  return { partition, written, values: [], bytes: 0 }
}
