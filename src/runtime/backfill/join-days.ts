import type { Config } from '../../config/schema.ts'
import { decodeDeadLetter, decodeEvent, decodeItem, encodeEvent } from '../../records/codec.ts'
import { jsonOf } from '../../records/json.ts'
import { beginOf, dayName, dayOf, type Day } from '../../streams/day-cut.ts'
import type { CatalogueChange } from '../../streams/learner-types.ts'
import { OfflineJoiner } from '../../streams/offline-joiner.ts'
import type { Archive } from '../archive/archive.ts'
import { DayFiles } from './day-files.ts'
import type { DeadLetterFile } from './dead-letter-file.ts'
import { itemTag, withdrawnTag } from './read-events.ts'
import type { TimedRecord } from './record-sorter.ts'
import type { TakenDays } from './taken-days.ts'

export interface JoinDeps {
  readonly archive: Archive
  readonly config: Pick<Config, 'archive' | 'joiner' | 'kafka'>
  /** Of this backfill, for the seals. */
  readonly id: string
  readonly taken: TakenDays
  readonly deadLetters: DeadLetterFile
  /** Of examples that wait to be written. */
  readonly bytesMax: number
  onDay(day: JoinedDay): void
  /** Called every so many events. @throws where it is to stop */
  onEvents(count: number): void
}

export interface JoinedDay {
  /** YYYY-MM-DD */
  readonly day: string
  readonly examples: number
  /** A run before this one, which was stopped, has sealed it. */
  readonly wasThere: boolean
}

/** What the joiner says it has passed over. */
export interface JoinCounts {
  readonly duplicates: number
  readonly conflicts: number
  readonly evictions: number
}

/** Events in order of time into days of the archive, through the joiner of production. */
export async function joinDays(
  batches: AsyncIterable<readonly TimedRecord[]>,
  deps: JoinDeps,
): Promise<JoinCounts> {
  const days = new JoinedDays(deps)
  for await (const batch of batches) {
    for (const record of batch) await days.add(record)
    await days.afterBatch(batch.length)
  }
  return days.end()
}

class JoinedDays {
  readonly #deps: JoinDeps
  readonly #joiner: OfflineJoiner
  readonly #files: DayFiles
  readonly #catalogue = new Map<string, CatalogueChange>()
  #open: Day | null = null
  #lastMs = 0

  constructor(deps: JoinDeps) {
    const { archive, config, bytesMax } = deps
    const { partitions } = config.kafka
    this.#deps = deps
    this.#joiner = new OfflineJoiner(config.joiner, partitions)
    const { rollBytes } = config.archive
    this.#files = new DayFiles({ archive, partitions, rollBytes, bytesMax })
  }

  async add({ timeMs, tag, value }: TimedRecord): Promise<void> {
    if (this.#open !== null && timeMs >= beginOf(this.#open + 1)) await this.#close(this.#open)
    if (tag === itemTag || tag === withdrawnTag) return this.#changeItem(tag, value)
    const day = (this.#open ??= await this.#begin(dayOf(timeMs)!))
    this.#lastMs = timeMs
    const { examples, deadLetters } = this.#joiner.add(tag, value, timeMs)
    this.#refuse(deadLetters)
    if (this.#deps.taken.isDone(day)) return
    for (const example of examples) await this.#files.add(day, tag, example)
  }

  async afterBatch(events: number): Promise<void> {
    await this.#deps.deadLetters.flush()
    this.#deps.onEvents(events)
  }

  /** Time goes on until nothing is open: clicks without a page are refused as they would be. */
  async end(): Promise<JoinCounts> {
    const { windowMs, graceMs } = this.#deps.config.joiner
    const eventTimeMs = this.#lastMs + windowMs + graceMs + 1
    const heartbeat = encodeEvent({ kind: 'heartbeat', eventTimeMs })
    for (let partition = 0; partition < this.#deps.config.kafka.partitions; partition++) {
      this.#refuse(this.#joiner.add(partition, heartbeat, eventTimeMs).deadLetters)
    }
    if (this.#open !== null) await this.#close(this.#open)
    return {
      duplicates: this.#joiner.count('duplicates'),
      conflicts: this.#joiner.count('conflicts'),
      evictions: this.#joiner.count('evictions'),
    }
  }

  async #begin(day: Day): Promise<Day> {
    if (!this.#deps.taken.isDone(day)) await this.#files.begin(day)
    return day
  }

  async #close(day: Day): Promise<void> {
    const { archive, taken, id, onDay } = this.#deps
    const name = dayName(day)
    const wasThere = taken.isDone(day)
    const { examples } = wasThere
      ? (await archive.readSeal(name))!
      : await this.#files.seal(day, [...this.#catalogue.values()], id)
    onDay({ day: name, examples, wasThere })
    this.#open = null
  }

  #changeItem(tag: number, value: Buffer): void {
    const item = tag === withdrawnTag ? null : decodeItem(value)
    const itemId = item?.itemId ?? value.toString()
    this.#catalogue.set(itemId, { itemId, item })
  }

  #refuse(values: readonly Buffer[]): void {
    for (const value of values) {
      const { code, message, original } = decodeDeadLetter(value)
      const event = decodeEvent(original)
      const record = event.kind === 'heartbeat' ? event : { record: event.kind, ...jsonOf(event) }
      this.#deps.deadLetters.add({ code, message, record })
    }
  }
}
