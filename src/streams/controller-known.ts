import type { KnownReport, Lineage, ReportBodies } from '../records/reports.ts'
import type { ControlDocument } from '../records/types.ts'

type Of<Kind extends KnownReport['kind']> = Extract<KnownReport, { kind: Kind }>
export type OperatorRequest = Of<'request'>

/** What an instance said last, and when that came here: its own clock decides nothing. */
interface Heard<R extends KnownReport> {
  readonly report: R
  readonly atMs: number
}

export interface Instance<Body> {
  readonly instance: string
  readonly isSilent: boolean
  readonly body: Body
}

/** More than are ever open at once; what is forgotten is repeated. */
const rememberedMax = 200
/** An instance that has been silent for so many times `silentMs` is forgotten. */
const forgottenAfter = 10

/** The newest of what every instance has said. The order in which reports of different kinds come makes no difference. */
export class KnownReports {
  readonly #silentMs: number
  readonly #openedMs: number
  readonly #cuts = new Map<string, ReportBodies['cut']>()
  readonly #trained = new Map<string, ReportBodies['trained']>()
  readonly #training = new Map<string, ReportBodies['training']>()
  readonly #indexed = new Map<string, ReportBodies['indexed']>()
  readonly #pods = new Map<string, Heard<Of<'loaded'>>>()
  readonly #learners = new Map<string, Heard<Of<'learned'>>>()
  #candidate: { readonly id: string; readonly sinceMs: number } | null = null

  /** @param silentMs what an instance said counts for so long after its last report */
  constructor(silentMs: number, openedMs: number) {
    this.#silentMs = silentMs
    this.#openedMs = openedMs
  }

  apply(report: KnownReport, atMs: number): void {
    switch (report.kind) {
      case 'cut':
        return remember(this.#cuts, report.body.day, report.body)
      case 'training':
        return remember(this.#training, report.generation, report.body)
      case 'trained':
        return remember(this.#trained, report.generation, report.body)
      case 'indexed':
        return remember(this.#indexed, report.generation, report.body)
      case 'loaded':
        return hear(this.#pods, report, atMs)
      case 'learned':
        return hear(this.#learners, report, atMs)
      case 'request':
        // Acted on when it comes or not at all.
        return
    }
  }

  /** Since when the candidate is one; a controller that has just started counts from then. */
  follow({ candidate }: ControlDocument, nowMs: number): void {
    if (candidate === this.#candidate?.id) return
    this.#candidate = candidate === null ? null : { id: candidate, sinceMs: nowMs }
  }

  get candidateSinceMs(): number | null {
    return this.#candidate?.sinceMs ?? null
  }

  /** By day. */
  get cuts(): readonly ReportBodies['cut'][] {
    return [...this.#cuts.values()].sort(byDay)
  }

  /** By day. */
  get trained(): readonly (ReportBodies['trained'] & { readonly generation: string })[] {
    return [...this.#trained].map(([generation, body]) => ({ generation, ...body })).sort(byDay)
  }

  /** The full update that was reported last, unless it is done. */
  get training(): (ReportBodies['training'] & { readonly generation: string }) | null {
    const last = [...this.#training].at(-1)
    if (last === undefined || this.#trained.has(last[0])) return null
    return { generation: last[0], ...last[1] }
  }

  indexed(generation: string): ReportBodies['indexed'] | null {
    return this.#indexed.get(generation) ?? null
  }

  pods(nowMs: number): Instance<Of<'loaded'>['body'] & { readonly serves: string }>[] {
    return this.#heard(this.#pods, nowMs).map(({ report, isSilent }) => ({
      ...{ instance: report.instance, isSilent },
      body: { ...report.body, serves: report.generation },
    }))
  }

  learners(nowMs: number): Instance<Of<'learned'>['body']>[] {
    return this.#heard(this.#learners, nowMs).map(({ report, isSilent }) => ({
      ...{ instance: report.instance, isSilent, body: report.body },
    }))
  }

  /** How far a generation has learnt: what every learner says together. Null: no learner that is heard of has it open. */
  lineage(generation: string, nowMs: number): Omit<Lineage, 'generation'> | null {
    const lineages = this.learners(nowMs)
      .filter(({ isSilent }) => !isSilent)
      .flatMap(({ body }) => body.lineages.filter((lineage) => lineage.generation === generation))
    if (lineages.length === 0) return null
    const through = new Map<number, Lineage['learnedThrough'][number]>()
    for (const learned of lineages.flatMap(({ learnedThrough }) => learnedThrough)) {
      const before = through.get(learned.partition)
      if (before === undefined || before.offset < learned.offset) {
        through.set(learned.partition, learned)
      }
    }
    const learnedThrough = [...through.values()].sort((a, b) => a.partition - b.partition)
    return { learnedThrough, isLoaded: lineages.every(({ isLoaded }) => isLoaded) }
  }

  /** Whoever is there has been heard by now, so silence means something. */
  isSettled(nowMs: number): boolean {
    return nowMs - this.#openedMs >= this.#silentMs
  }

  #heard<R extends KnownReport>(all: Map<string, Heard<R>>, nowMs: number) {
    for (const [instance, { atMs }] of all) {
      if (nowMs - atMs >= forgottenAfter * this.#silentMs) all.delete(instance)
    }
    return [...all.values()].map(({ report, atMs }) => ({
      ...{ report, isSilent: nowMs - atMs >= this.#silentMs },
    }))
  }
}

function byDay(a: { readonly day: string }, b: { readonly day: string }): number {
  if (a.day === b.day) return 0
  return a.day < b.day ? -1 : 1
}

function remember<V>(all: Map<string, V>, key: string, value: V): void {
  all.delete(key)
  all.set(key, value)
  if (all.size > rememberedMax) all.delete(all.keys().next().value!)
}

function hear<R extends KnownReport>(all: Map<string, Heard<R>>, report: R, atMs: number): void {
  const before = all.get(report.instance)
  if (before !== undefined && report.atMs < before.report.atMs) return
  all.set(report.instance, { report, atMs })
}
