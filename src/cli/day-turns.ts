import { FreshetError } from '../errors.ts'
import type { GateVerdict } from '../records/reports.ts'
import type { ControlDocument } from '../records/types.ts'
import { openArchive, type Archive } from '../runtime/archive/archive.ts'
import { watchControl, type ControlWatch } from '../runtime/control.ts'
import { openDirectoryStore, type ArtifactStore } from '../runtime/generation/artifact-store.ts'
import { loadManifest } from '../runtime/generation/generation.ts'
import { Wakeup } from '../runtime/wakeup.ts'
import { beginOf, dayNamed } from '../streams/day-cut.ts'
import type { DailyStatus } from './live-status.ts'
import type { ReportWatch } from './report-watch.ts'
import type { RoleContext } from './role-context.ts'

/** A full update, as the report of a run keeps it. */
export interface FullUpdateFacts {
  readonly day: string
  readonly generation: string
  readonly examples: number
  readonly verdict: GateVerdict
  readonly seconds: number
}

/** A day that is over: what was live while it lasted. */
export interface EndedDay {
  readonly day: string
  readonly live: string
  /** End of the day in each partition of examples. */
  readonly cut: readonly number[]
}

/** What is asked again without news: a report may have been lost. */
const askMs = 1_000

/** Waits, for a replay, until the pipeline has come to the end of a day, and counts what happens there. */
export class DayTurns {
  readonly fullUpdates: FullUpdateFacts[] = []
  /** How often another generation went live. */
  switches = 0
  readonly #reports: ReportWatch
  readonly #partitions: number
  readonly #deadlineMs: number
  readonly #store: ArtifactStore
  readonly #archive: Archive
  readonly #news = new Wakeup()
  readonly #sealed = new Map<string, number>()
  #watch: ControlWatch | null = null
  #document: ControlDocument | null = null

  static async open(
    context: Pick<RoleContext, 'config' | 'kafka' | 'topics' | 'log'>,
    reports: ReportWatch,
  ): Promise<DayTurns> {
    const turns = new DayTurns(context, reports)
    const { kafka, topics, log } = context
    turns.#watch = await watchControl(kafka, topics.control, log, (document) =>
      turns.#onDocument(document),
    )
    return turns
  }

  private constructor({ config }: Pick<RoleContext, 'config'>, reports: ReportWatch) {
    this.#reports = reports
    this.#partitions = config.kafka.partitions
    this.#deadlineMs = config.generations.switchTimeoutMs
    this.#store = openDirectoryStore(config.artifacts.dir)
    this.#archive = openArchive(this.#store)
    reports.onReport = () => this.#news.wake()
  }

  /** Null: the controller has not been heard of. */
  get live(): string | null {
    return this.#document?.live ?? null
  }

  get status(): DailyStatus {
    const { training, waitsFor } = this.#reports
    return { switches: this.switches, training, waitsFor }
  }

  /**
   * Resolves when the day is cut, its generation is live, rejected or not to come, and everything up to its end is learnt.
   * @throws FreshetError TIMEOUT naming what is missing
   */
  async dayEnded(day: string, signal: AbortSignal): Promise<EndedDay | null> {
    const live = this.live ?? ''
    const endMs = beginOf(dayNamed(day) + 1)
    await this.#until(`the end of ${day}`, signal, async () => {
      return [...(await this.#missingOf(day)), ...this.#unlearnt(endMs)]
    })
    if (signal.aborted) return null
    const generation = this.#generationOf(day)
    if (generation !== null && this.fullUpdates.every((each) => each.generation !== generation)) {
      this.fullUpdates.push(await this.#factsOf(day, generation))
    }
    return { day, live, cut: this.#document!.cuts[day]! }
  }

  /** Resolves when everything older than `eventTimeMs` is learnt and published. @throws FreshetError TIMEOUT */
  async learntThrough(eventTimeMs: number, signal: AbortSignal): Promise<void> {
    await this.#until('the end of the input', signal, () =>
      Promise.resolve(this.#unlearnt(eventTimeMs)),
    )
  }

  async close(): Promise<void> {
    await this.#watch?.close()
  }

  async #until(
    what: string,
    signal: AbortSignal,
    missing: () => Promise<readonly string[]>,
  ): Promise<void> {
    const wake = (): void => this.#news.wake()
    signal.addEventListener('abort', wake, { once: true })
    const deadlineMs = performance.now() + this.#deadlineMs
    try {
      while (!signal.aborted) {
        const waitsFor = await missing()
        if (waitsFor.length === 0) return
        if (performance.now() > deadlineMs) {
          const seconds = this.#deadlineMs / 1_000
          const message = `${what} has been waited for ${seconds} s (generations.switchTimeoutMs); missing: ${waitsFor.join('; ')}`
          throw new FreshetError('TIMEOUT', message)
        }
        await this.#news.within(askMs)
      }
    } finally {
      signal.removeEventListener('abort', wake)
    }
  }

  async #missingOf(day: string): Promise<readonly string[]> {
    const document = this.#document
    if (document === null) return ['the controller has written no document']
    if (!(day in document.cuts)) return ['the compactor has not cut the day']
    const generation = this.#generationOf(day)
    if (generation === null) {
      if ((await this.#examplesOf(day)) === 0) return []
      const { training, isFrozen } = this.#reports
      if (isFrozen) return []
      const share = training?.day === day ? ` (${Math.round(training.share * 100)} %)` : ''
      return [`the compactor has not trained the day${share}`]
    }
    const state = document.states[generation]
    if (state === 'live' || state === 'retired' || state === 'rejected') return []
    const { waitsFor } = this.#reports
    return waitsFor.length > 0 ? waitsFor : [`${generation} is ${state}`]
  }

  /** Also of the generation before: it scores what is left of its day, and hands the figures over only then. */
  #unlearnt(eventTimeMs: number): string[] {
    const { learned } = this.#reports
    // What is sent before it has heard of a switch would be scored by the generation before, or not, as chance has it.
    if (learned === null || learned.generation !== this.live) {
      return ['the learner has not reported on what is live']
    }
    const { lineages } = learned
    return lineages.flatMap(({ generation, learnedThrough }) => {
      const passed = learnedThrough.filter((each) => each.eventTimeMs >= eventTimeMs)
      if (passed.length === this.#partitions) return []
      const time = new Date(eventTimeMs).toISOString()
      return [
        `the learner has come to ${time} in ${passed.length} of ${this.#partitions} partitions of ${generation}`,
      ]
    })
  }

  #generationOf(day: string): string | null {
    const states = Object.keys(this.#document?.states ?? {})
    return states.findLast((id) => id.startsWith(`full-${day}-`)) ?? null
  }

  async #examplesOf(day: string): Promise<number | null> {
    const known = this.#sealed.get(day)
    if (known !== undefined) return known
    const seal = await this.#archive.readSeal(day)
    if (seal !== null) this.#sealed.set(day, seal.examples)
    return seal?.examples ?? null
  }

  async #factsOf(day: string, generation: string): Promise<FullUpdateFacts> {
    const { training, gate } = await loadManifest(this.#store, generation)
    return {
      ...{ day, generation, examples: training?.examples ?? 0 },
      ...{ verdict: gate?.verdict ?? 'ungated', seconds: training?.seconds ?? 0 },
    }
  }

  #onDocument(document: ControlDocument): void {
    const before = this.live
    if (before !== null && document.live !== before) this.switches++
    this.#document = document
    this.#news.wake()
  }
}
