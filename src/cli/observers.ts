import { FreshetError, messageOf } from '../errors.ts'
import type { ComparedFigures } from '../streams/comparison.ts'
import { ComparisonThread } from './comparison.ts'
import type { DayTurns, EndedDay } from './day-turns.ts'
import { RecallProbe, type ProbeCounts } from './recall-probe.ts'
import type { RoleContext } from './role-context.ts'

/** What a run with a report watches beside itself. It costs: about a tenth more time, and a second core's worth of arithmetic. */
export class Observers {
  readonly #context: RoleContext
  readonly #probe: RecallProbe
  #comparison: ComparisonThread | null

  /** @param isCompared the replay has an end, and begins at its beginning */
  static async start(
    context: RoleContext,
    turns: DayTurns,
    isCompared: boolean,
  ): Promise<Observers> {
    const probe = await RecallProbe.start(context, () => turns.live)
    return new Observers(context, probe, isCompared ? new ComparisonThread(context.config) : null)
  }

  private constructor(
    context: RoleContext,
    probe: RecallProbe,
    comparison: ComparisonThread | null,
  ) {
    this.#context = context
    this.#probe = probe
    this.#comparison = comparison
  }

  get counts(): ProbeCounts {
    return this.#probe.counts
  }

  /** Null where nothing was compared. */
  get compared(): ComparedFigures | null {
    return this.#comparison?.figures ?? null
  }

  /** Resolves when the day before has been compared. A comparison that fails is given up; the run is not. */
  async onDayEnded({ live, cut }: Pick<EndedDay, 'live' | 'cut'>): Promise<void> {
    await this.#attempt(async (comparison) => comparison.compare({ live, to: cut }))
  }

  /** The day that is still open, up to the end of the topic. */
  async onEnd(live: string): Promise<void> {
    const { kafka, topics } = this.#context
    const ends = await kafka.offsets(topics.examples)
    const cut = ends.toSorted((a, b) => a.partition - b.partition).map(({ high }) => high)
    await this.onDayEnded({ live, cut })
    await this.#attempt((comparison) => comparison.settled())
  }

  async stop(): Promise<void> {
    await Promise.all([this.#probe.stop(), this.#comparison?.close()])
  }

  async #attempt(work: (comparison: ComparisonThread) => Promise<void>): Promise<void> {
    const comparison = this.#comparison
    if (comparison === null) return
    try {
      await work(comparison)
    } catch (error) {
      if (!(error instanceof FreshetError)) throw error
      this.#context.log.error(
        { code: error.code, error: messageOf(error) },
        'the comparison is given up; the report will be without it',
      )
      this.#comparison = null
      await comparison.close()
    }
  }
}
