import { FreshetError } from '../../errors.ts'
import { dayName, dayNamed, type Day } from '../../streams/day-cut.ts'
import type { Archive } from '../archive/archive.ts'

/** The days that the archive has already, seen by one backfill. */
export class TakenDays {
  /** Sealed by this very backfill before it was stopped. */
  readonly #own = new Set<Day>()
  /** Sealed by another one. */
  readonly #others = new Set<Day>()
  /** The first one that the log has, sealed or not. */
  #firstOfLog: Day = Infinity

  /** @param id of this backfill */
  static async of(archive: Archive, id: string): Promise<TakenDays> {
    const taken = new TakenDays()
    for (const name of await archive.days()) {
      const day = dayNamed(name)
      const seal = await archive.readSeal(name)
      if (seal?.backfill === id) taken.#own.add(day)
      else if (seal?.backfill !== undefined) taken.#others.add(day)
      else if (seal !== null || (await archive.files(name)).length > 0) {
        taken.#firstOfLog = Math.min(taken.#firstOfLog, day)
      }
    }
    return taken
  }

  isDone(day: Day): boolean {
    return this.#own.has(day)
  }

  /** @throws FreshetError USAGE_INVALID for a day that the archive has from elsewhere, with what to do */
  expectFree(day: Day): void {
    const name = dayName(day)
    if (day >= this.#firstOfLog) {
      const first = dayName(this.#firstOfLog)
      const last = dayName(this.#firstOfLog - 1)
      throw new FreshetError(
        'USAGE_INVALID',
        `the files have events of ${name}, but from ${first} on the archive has what came over Kafka: leave these days out with --until ${last}`,
      )
    }
    if (this.#others.has(day)) {
      throw new FreshetError(
        'USAGE_INVALID',
        `the archive has ${name} already, from a backfill of other files or settings: give --from files of other days only, or move archive/day=${name} out of artifacts.dir first`,
      )
    }
  }
}
