import type { KnownReport, ReportBodies, ReportKind } from '../../src/records/reports.ts'
import type { ControlDocument, GenerationState } from '../../src/records/types.ts'
import { decide } from '../../src/streams/controller.ts'
import { KnownReports } from '../../src/streams/controller-known.ts'
import type { OperatorRequest } from '../../src/streams/controller-known.ts'
import type { ControllerOptions } from '../../src/streams/controller-progress.ts'
import { parseReport } from '../../src/streams/controller-reports.ts'

/** A controller of two partitions without a broker. */

export const options: ControllerOptions = {
  ...{ partitions: 2, keep: 3, caughtUpMs: 5_000, readyPods: 1 },
  ...{ switchTimeoutMs: 60_000, rollbackWindowMs: 3_600_000, catchUp: true },
}
export const silentMs = 10_000
export const nowMs = 1_000_000

const roles = {
  cut: 'compactor',
  training: 'compactor',
  trained: 'compactor',
  indexed: 'indexer',
  loaded: 'recall',
  learned: 'learner',
  request: 'operator',
} as const

export function report<Kind extends ReportKind>(
  kind: Kind,
  generation: string,
  body: ReportBodies[Kind],
  instance = 'one',
  atMs = nowMs,
): Extract<KnownReport, { kind: Kind }> {
  const raw = { role: roles[kind], instance, kind, generation, atMs, body: { ...body } }
  return parseReport(raw) as Extract<KnownReport, { kind: Kind }>
}

export function cutReport(day: string, examples = [10, 20], items = [5, 5]) {
  return report('cut', '', { day, examples, items })
}

export function trainedReport(
  generation: string,
  day: string,
  { parent = null, verdict = 'passed' }: Partial<ReportBodies['trained']> = {},
) {
  return report('trained', generation, { day, parent, verdict, why: 'because' })
}

export function indexedReport(generation: string) {
  return report('indexed', generation, { revision: 1, items: 3, recall: 1 })
}

export function loadedReport(verified: readonly string[], instance?: string) {
  return report('loaded', verified[0] ?? '', { verified }, instance)
}

/** Offsets by generation, at both partitions. */
export function learnedReport(
  offsets: Readonly<Record<string, readonly (number | { offset: number; eventTimeMs: number })[]>>,
  isLoaded = true,
  instance?: string,
) {
  const lineages = Object.entries(offsets).map(([generation, learned]) => ({
    ...{ generation, isLoaded },
    learnedThrough: learned.map((one, partition) => ({
      partition,
      ...(typeof one === 'number' ? { offset: one, eventTimeMs: 0 } : one),
    })),
  }))
  return report('learned', '', { lineages }, instance)
}

export function requestOf(
  action: ReportBodies['request']['action'],
  generation: string,
  live: string,
): OperatorRequest {
  return report('request', generation, { action, id: `${action} ${generation}`, live })
}

export function knownOf(reports: readonly KnownReport[], openedMs = nowMs): KnownReports {
  const known = new KnownReports(silentMs, openedMs)
  for (const one of reports) known.apply(one, nowMs)
  return known
}

/** Every document that follows, one by one. */
export function follow(
  document: ControlDocument,
  known: KnownReports,
  atMs = nowMs,
  changed: Partial<ControllerOptions> = {},
): ControlDocument[] {
  const documents: ControlDocument[] = []
  for (let last = document; ;) {
    known.follow(last, atMs)
    const next = decide(last, known, atMs, { ...options, ...changed })
    if (next === null) return documents
    documents.push(next)
    last = next
  }
}

/** With generations and their states in the order of their training. */
export function documentOf(
  states: Readonly<Record<string, GenerationState>>,
  changes: Partial<ControlDocument> = {},
): ControlDocument {
  const live = Object.keys(states).find((id) => states[id] === 'live') ?? null
  return {
    ...{ epoch: 7, live, candidate: null, previous: null, kept: Object.keys(states), states },
    cuts: { '2026-01-05': [10, 20] },
    catalogueCuts: { '2026-01-05': [5, 5] },
    liveSinceMs: nowMs - 1_000,
    ...changes,
  }
}
