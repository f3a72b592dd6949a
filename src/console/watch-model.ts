import type { ControllerReportBodies, ReportBodies, RequestAnswer } from '../records/reports.ts'
import type { ControlDocument, GenerationState, Report } from '../records/types.ts'
import { changesBetween, type Change } from '../streams/controller-changes.ts'
import { KnownReports } from '../streams/controller-known.ts'
import { parseReport } from '../streams/controller-reports.ts'
import { RoleStates } from '../streams/controller-roles.ts'

export interface WatchEvent {
  readonly atMs: number
  readonly event: string
  /** Empty where it is about none. */
  readonly generation: string
  readonly message: string
}

/** When something became true; the time of the record that says so. */
export type Reached = ReadonlyMap<GenerationState, number>

export const silentMs = 10_000

/** What the documents and reports say so far. Each method returns what is news for people. */
export class WatchModel {
  readonly known: KnownReports
  readonly #roles = new RoleStates(silentMs)
  readonly #reached = new Map<string, Map<GenerationState, number>>()
  readonly #cutAtMs = new Map<string, number>()
  readonly #days = new Map<string, string>()
  #document: ControlDocument | null = null
  #controlling: ControllerReportBodies['controlling'] | null = null

  constructor(openedMs: number) {
    this.known = new KnownReports(silentMs, openedMs)
  }

  get document(): ControlDocument | null {
    return this.#document
  }

  /** What the controller said last; null: nothing yet. */
  get controlling(): ControllerReportBodies['controlling'] | null {
    return this.#controlling
  }

  reached(generation: string): Reached {
    return this.#reached.get(generation) ?? new Map()
  }

  cutAtMs(day: string): number | null {
    return this.#cutAtMs.get(day) ?? null
  }

  /** The last day that a generation was trained on; null: not known. */
  dayOf(generation: string): string | null {
    const named = /^full-(\d{4}-\d\d-\d\d)-/.exec(generation)?.[1] ?? null
    return this.#days.get(generation) ?? named
  }

  onDocument(document: ControlDocument, atMs: number): WatchEvent[] {
    const before = this.#document
    if (before !== null && document.epoch <= before.epoch) return []
    this.#document = document
    this.known.follow(document, atMs)
    for (const [generation, state] of Object.entries(document.states)) {
      if (before?.states[generation] !== state) this.#reach(generation, state, atMs)
    }
    for (const day of Object.keys(document.cuts)) {
      if (before !== null && !(day in before.cuts)) this.#cutAtMs.set(day, atMs)
    }
    return changesBetween(before, document).map((change) => this.#eventOf(change, atMs))
  }

  onReport(report: Report, atMs: number): WatchEvent[] {
    const { role, kind, generation } = report
    if (role === 'controller') return this.#onController(report, atMs)
    const events: WatchEvent[] = []
    const change = this.#roles.apply(report)
    if (
      change?.what === 'is back' ||
      (change?.what === 'changed generation' && role === 'recall')
    ) {
      const what = change.what === 'is back' ? 'is back' : `serves ${generation}`
      events.push({
        atMs,
        event: 'role',
        generation,
        message: `${role} ${report.instance} ${what}`,
      })
    }
    const known = parseReport(report)
    if (known === null) return events
    if (kind === 'training' && this.known.training?.generation !== generation) {
      this.known.apply(known, atMs)
      const { training } = this.known
      const message = `the full update of ${training?.day} has begun: ${generation}`
      if (training !== null) events.push({ atMs, event: 'training', generation, message })
    }
    this.known.apply(known, atMs)
    if (known.kind === 'training' || known.kind === 'trained') {
      this.#days.set(generation, known.body.day)
    }
    return events
  }

  onTick(nowMs: number): WatchEvent[] {
    return this.#roles.silentAt(nowMs).map(({ state: { role, instance, generation } }) => ({
      ...{ atMs: nowMs, event: 'role', generation },
      message: `${role} ${instance} is silent`,
    }))
  }

  #onController({ kind, body, generation }: Report, atMs: number): WatchEvent[] {
    if (kind === 'controlling') {
      this.#controlling = body as unknown as ControllerReportBodies['controlling']
      return []
    }
    const { message } = body as unknown as RequestAnswer
    if (kind === 'alert') return [{ atMs, event: 'alert', generation, message }]
    if (kind !== 'accepted' && kind !== 'refused') return []
    return [{ atMs, event: kind, generation, message: `operator: ${kind}: ${message}` }]
  }

  #reach(generation: string, state: GenerationState, atMs: number): void {
    const reached = this.#reached.get(generation) ?? new Map<GenerationState, number>()
    // On its way once more: what was before does not count.
    if (state === 'trained') reached.clear()
    reached.set(state, atMs)
    this.#reached.set(generation, reached)
  }

  #eventOf({ kind, generation, message }: Change, atMs: number): WatchEvent {
    const state = this.#document!.states[generation]
    const trained = this.known.trained.find((one) => one.generation === generation)
    const indexed = this.known.indexed(generation)
    const event = kind === 'state' ? state! : kind
    const isVerdict = event === 'trained' || event === 'rejected'
    const detail =
      isVerdict && trained !== undefined
        ? ` (${trained.verdict}: ${trained.why})`
        : event === 'indexed' && indexed !== null
          ? ` (${indexText(indexed)})`
          : ''
    return { atMs, event, generation, message: `${message}${detail}` }
  }
}

export function indexText({ items, recall }: ReportBodies['indexed']): string {
  return `${items.toLocaleString('en-US')} items, recall@100 ${recall.toFixed(3)}`
}
