import type { ReportBodies } from '../records/reports.ts'
import type { ControlDocument, GenerationState } from '../records/types.ts'
import { nextDocument } from './controller-document.ts'
import type { KnownReports } from './controller-known.ts'
import { progressOf } from './controller-progress.ts'
import type { ControllerOptions, Progress } from './controller-progress.ts'

/** The document of a system that has no history: one generation, live at once because there is nothing to catch up with. */
export function firstDocument(generation: string, nowMs: number): ControlDocument {
  return {
    epoch: 1,
    live: generation,
    candidate: null,
    previous: null,
    kept: [generation],
    cuts: {},
    catalogueCuts: {},
    states: { [generation]: 'live' },
    liveSinceMs: nowMs,
  }
}

/** One thing that is wrong at the moment. */
export interface Alert {
  /** The same for as long as it is the same thing. */
  readonly key: string
  readonly message: string
}

/**
 * One step: the document that follows from what is known, or null when nothing does. Called again until it is null, all those
 * documents together are what has happened.
 */
export function decide(
  document: ControlDocument,
  known: KnownReports,
  nowMs: number,
  options: ControllerOptions,
): ControlDocument | null {
  return (
    withNextCut(document, known, options) ??
    withNextTrained(document, known, options) ??
    withCandidateMoved(document, known, nowMs, options) ??
    withCandidateChosen(document, options)
  )
}

/** What people should look at now. */
export function alertsOf(
  document: ControlDocument,
  known: KnownReports,
  nowMs: number,
  options: ControllerOptions,
): Alert[] {
  const alerts: Alert[] = []
  for (const cut of known.cuts) {
    const problem = cutProblem(document, cut, options)
    if (problem !== null) {
      alerts.push({
        key: `cut ${cut.day}`,
        message: `the cut of ${cut.day} is refused: ${problem}`,
      })
    }
  }
  for (const { generation, day } of known.trained) {
    if (generation in document.states || day in document.cuts) continue
    const message = `generation ${generation} is not taken: ${day} has no cut to catch up from`
    alerts.push({ key: `trained ${generation}`, message })
  }
  const { candidate } = document
  const { switchTimeoutMs } = options
  const sinceMs = known.candidateSinceMs
  if (candidate !== null && sinceMs !== null && nowMs - sinceMs >= switchTimeoutMs) {
    const { waitsFor } = progressOf(candidate, document, known, nowMs, options)
    const message = `candidate ${candidate} is not live after ${switchTimeoutMs / 1_000} s: ${waitsFor.join('; ')}`
    alerts.push({ key: `candidate ${candidate}`, message })
  }
  return alerts
}

type Cut = ReportBodies['cut']

/** A cut is fixed by the first document that has it. */
function withNextCut(
  document: ControlDocument,
  known: KnownReports,
  options: ControllerOptions,
): ControlDocument | null {
  const cut = known.cuts.find(
    (one) => !(one.day in document.cuts) && cutProblem(document, one, options) === null,
  )
  if (cut === undefined) return null
  const cuts = { ...document.cuts, [cut.day]: cut.examples }
  const catalogueCuts = { ...document.catalogueCuts, [cut.day]: cut.items }
  return nextDocument(document, { cuts, catalogueCuts }, options.keep)
}

function cutProblem(
  { cuts, catalogueCuts }: ControlDocument,
  { day, examples, items }: Cut,
  { partitions }: ControllerOptions,
): string | null {
  const fixed = cuts[day]
  if (fixed !== undefined) {
    const isSame = isEqual(fixed, examples) && isEqual(catalogueCuts[day] ?? [], items)
    return isSame ? null : `it is fixed already at [${fixed.join(', ')}]`
  }
  if (examples.length !== partitions || items.length !== partitions) {
    return `it has ${examples.length} partitions of examples and ${items.length} of items instead of ${partitions}`
  }
  const newest = Object.keys(cuts).sort().at(-1)
  if (newest === undefined) return null
  if (day !== dayAfter(newest)) return `the next day is ${dayAfter(newest)}`
  const steps = { examples: [cuts[newest]!, examples], items: [catalogueCuts[newest] ?? [], items] }
  for (const [what, [before, after]] of Object.entries(steps)) {
    const back = after!.findIndex((offset, partition) => offset < (before![partition] ?? 0))
    if (back >= 0) {
      return `partition ${back} of ${what} goes back to ${after![back]} from ${before![back]} on ${newest}`
    }
  }
  return null
}

function dayAfter(day: string): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10)
}

function isEqual(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}

/** In order of days, so that `kept` is. What was trained from a rejected generation is as suspect as that. */
function withNextTrained(
  document: ControlDocument,
  known: KnownReports,
  options: ControllerOptions,
): ControlDocument | null {
  const trained = known.trained.find(
    ({ generation, day }) => !(generation in document.states) && day in document.cuts,
  )
  if (trained === undefined) return null
  const { generation, parent, verdict } = trained
  const isSuspect = parent !== null && document.states[parent] === 'rejected'
  const state = verdict === 'failed' || isSuspect ? 'rejected' : 'trained'
  const states = { ...document.states, [generation]: state } as const
  return nextDocument(document, { states, kept: [...document.kept, generation] }, options.keep)
}

const order: readonly GenerationState[] = ['trained', 'indexed', 'loaded', 'caught-up', 'live']

/** As far as it is true; the switch is a step of its own. */
function withCandidateMoved(
  document: ControlDocument,
  known: KnownReports,
  nowMs: number,
  options: ControllerOptions,
): ControlDocument | null {
  const { candidate, states } = document
  if (candidate === null) return null
  const state = states[candidate]!
  const milestone = milestoneOf(progressOf(candidate, document, known, nowMs, options), options)
  if (milestone === state) {
    const isReady = state === (options.catchUp ? 'caught-up' : 'loaded')
    return isReady ? switched(document, candidate, nowMs, options) : null
  }
  // A controller that has just started has not heard of everybody yet.
  const isBack = order.indexOf(milestone) < order.indexOf(state)
  if (isBack && !known.isSettled(nowMs)) return null
  return nextDocument(document, { states: { ...states, [candidate]: milestone } }, options.keep)
}

/** The furthest that is reached with everything before it. */
function milestoneOf(
  { isIndexed, isLoaded, isCaughtUp }: Progress,
  { catchUp }: ControllerOptions,
): GenerationState {
  if (!isIndexed) return 'trained'
  if (!isLoaded) return 'indexed'
  return isCaughtUp && catchUp ? 'caught-up' : 'loaded'
}

/** One document: pods, learner and indexer go from one generation to the next with it. */
function switched(
  document: ControlDocument,
  candidate: string,
  nowMs: number,
  options: ControllerOptions,
): ControlDocument {
  const { live, states } = document
  const retired = live === null ? {} : ({ [live]: 'retired' } as const)
  const changes = {
    ...{ live: candidate, previous: live, candidate: null, liveSinceMs: nowMs },
    states: { ...states, ...retired, [candidate]: 'live' as const },
  }
  return nextDocument(document, changes, options.keep)
}

/** The newest that is newer than the live one. A candidate is not replaced: it finishes, or is rejected. */
function withCandidateChosen(
  document: ControlDocument,
  options: ControllerOptions,
): ControlDocument | null {
  const { candidate, live, kept, states } = document
  if (candidate !== null) return null
  const newer = kept.slice(live === null ? 0 : kept.indexOf(live) + 1)
  const newest = newer.findLast((generation) => states[generation] === 'trained')
  return newest === undefined ? null : nextDocument(document, { candidate: newest }, options.keep)
}
