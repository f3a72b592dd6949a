import type { ControllerReportBodies } from '../records/reports.ts'
import type { ControlDocument, GenerationState } from '../records/types.ts'
import { progressOf } from '../streams/controller-progress.ts'
import type {
  ControllerOptions,
  PartitionProgress,
  Progress,
} from '../streams/controller-progress.ts'
import { indexText } from '../console/watch-model.ts'
import type { Reached, WatchEvent, WatchModel } from '../console/watch-model.ts'
import { duration } from './duration.ts'

export interface WatchView {
  readonly model: WatchModel
  readonly nowMs: number
  readonly options: ControllerOptions
  /** Visible delay of the last seconds; null: no metrics are known. */
  readonly delay: { readonly p50Ms: number | null; readonly p99Ms: number | null } | null
}

/** The block that is drawn over and over on a terminal. */
export function watchBlock(view: WatchView): string[] {
  const { document } = view.model
  if (document === null)
    return ['live        none: no controller has written a control document yet']
  const { live, candidate } = document
  return [
    liveLine(view, document),
    // How it got there, until the next one is on its way.
    ...(candidate === null && live !== null ? milestoneLines(view, document, live) : []),
    `previous    ${previousText(document, view.model.controlling, view.nowMs)}`,
    candidateLine(document),
    ...(candidate === null ? [] : milestoneLines(view, document, candidate)),
    ...trainingLine(view, document),
    ...delayLine(view),
    ...(view.model.controlling?.alerts ?? []).map((alert) => `ALERT       ${alert}`),
  ]
}

/** What a rollback would go back to, and until when. */
export function previousText(
  { previous, states }: ControlDocument,
  controlling: Pick<ControllerReportBodies['controlling'], 'rollbackUntilMs'> | null,
  nowMs: number,
): string {
  if (previous === null) return 'none'
  const isLeft = states[previous] === 'rejected'
  const what = `${previous}  ${isLeft ? 'rolled back from' : 'was live before'}`
  if (controlling === null) return what
  const untilMs = controlling.rollbackUntilMs
  if (untilMs <= nowMs) return `${what}; no longer kept trained: no rollback to it`
  const command = isLeft
    ? `freshet rollback --to ${previous} takes that back`
    : 'freshet rollback goes back to it'
  return `${what}; ${command}, until ${clockTime(untilMs)} (${duration(untilMs - nowMs)})`
}

/** One line for logs and pipes. */
export function eventLine({ atMs, message }: WatchEvent): string {
  return `${clockTime(atMs)}  ${message}`
}

/** Where things are at the start, for those who see no block. */
export function openingEvent(document: ControlDocument | null, atMs: number): WatchEvent {
  return {
    ...{ atMs, event: 'watching', generation: document?.live ?? '' },
    message:
      document === null ? 'no controller has written a control document yet' : summary(document),
  }
}

function summary({ live, candidate, previous, states, epoch }: ControlDocument): string {
  const onTheWay = candidate === null ? 'none' : `${candidate} (${states[candidate]})`
  return `live ${live ?? 'none'}, candidate ${onTheWay}, previous ${previous ?? 'none'}, epoch ${epoch}`
}

function liveLine({ model, nowMs }: WatchView, { live, liveSinceMs }: ControlDocument): string {
  if (live === null) return 'live        none'
  const pods = model.known.pods(nowMs).filter((pod) => !pod.isSilent)
  const serving = pods.filter((pod) => pod.body.serves === live).length
  const served =
    pods.length === 0
      ? 'no pod has been heard of yet'
      : `served by ${serving} of ${pods.length} pods`
  return `live        ${live}  ${liveSinceMs === 0 ? '' : `for ${duration(nowMs - liveSinceMs)}; `}${served}`
}

function candidateLine({ candidate, states }: ControlDocument): string {
  return `candidate   ${candidate === null ? 'none' : `${candidate}  ${states[candidate]}`}`
}

/** Each with its time, and how long after the cut of its day that was. */
function milestoneLines(view: WatchView, document: ControlDocument, generation: string): string[] {
  const { model, nowMs, options } = view
  const day = model.dayOf(generation)
  const isCandidate = generation === document.candidate
  // A first generation was never on its way.
  if (day === null && !isCandidate) return []
  const progress = isCandidate
    ? progressOf(generation, document, model.known, nowMs, options)
    : null
  const trained = model.known.trained.find((one) => one.generation === generation)
  const indexed = model.known.indexed(generation)
  const cutAtMs = day === null ? null : model.cutAtMs(day)
  const line = (name: string, atMs: number | null, detail = ''): string => {
    const after =
      atMs === null || cutAtMs === null || name === 'cut' ? '' : `+${duration(atMs - cutAtMs)}`
    const time = atMs === null ? '-' : clockTime(atMs)
    return `  ${name.padEnd(10)}${time.padEnd(11)}${after.padEnd(9)}${detail}`.trimEnd()
  }
  const at = (...states: GenerationState[]) => firstReached(model.reached(generation), states)
  const { catchUp, readyPods } = options
  return [
    line('cut', cutAtMs, day === null ? '' : `end of ${day}`),
    line('trained', at('trained'), trained && `${trained.verdict}: ${trained.why}`),
    line(
      'indexed',
      at('indexed', 'loaded', 'caught-up', 'live'),
      indexed ? indexText(indexed) : '',
    ),
    line(
      'loaded',
      at('loaded', 'caught-up', 'live'),
      progress ? podsText(progress, readyPods) : '',
    ),
    catchUp
      ? line('caught up', at('caught-up', 'live'), progress ? learnedText(progress) : '')
      : line('caught up', null, 'generations.catchUp is off'),
    line('live', at('live')),
  ]
}

/** A milestone may be passed together with a later one. */
function firstReached(reached: Reached, states: readonly GenerationState[]): number | null {
  const state = states.find((one) => reached.has(one))
  return state === undefined ? null : reached.get(state)!
}

function podsText({ pods }: Progress, readyPods: number): string {
  const ready = pods.filter((pod) => pod.hasVerified && !pod.isSilent)
  const names = ready.map(({ instance }) => instance).slice(0, 8)
  const by = names.length === 0 ? '' : `: ${names.join(', ')}`
  return `verified by ${ready.length} of ${pods.length} pods, ${readyPods} needed${by}`
}

const partitionsMax = 8

function learnedText({ partitions, hasRows }: Progress): string {
  if (partitions.every(({ behind }) => behind === null)) return 'no learner has begun it'
  const behind = partitions.filter((partition) => !partition.isCaughtUp)
  const shown = partitions.length <= partitionsMax ? partitions : behind.slice(0, partitionsMax)
  const rows = hasRows ? '' : 'rows not all in the online store; '
  const head = `${rows}${partitions.length - behind.length} of ${partitions.length} partitions`
  return `${head}: ${shown.map(partitionText).join('  ')}`
}

function partitionText({ partition, behind, behindMs, isCaughtUp }: PartitionProgress): string {
  if (behind === null) return `${partition} ?`
  if (behind === 0) return `${partition} ok`
  const time = behindMs === null ? '' : `, ${duration(behindMs)}`
  return `${partition} ${isCaughtUp ? 'ok ' : ''}-${count(behind)}${time}`
}

function trainingLine({ model }: WatchView, { states }: ControlDocument): string[] {
  const { training } = model.known
  if (training === null || training.generation in states) return []
  const left = training.etaMs === null ? '' : `, ${duration(training.etaMs)} left`
  const done = `${(training.share * 100).toFixed(0)} %`
  return [`training    ${training.generation}  full update of ${training.day}: ${done}${left}`]
}

function delayLine({ delay }: WatchView): string[] {
  if (delay === null) return []
  const text = (ms: number | null) => (ms === null ? '-' : `${Math.round(ms)} ms`)
  return [
    `delay       visible p50 ${text(delay.p50Ms)}, p99 ${text(delay.p99Ms)}   (of user rows, over the last 10 s)`,
  ]
}

/** UTC, as everything else here is. */
function clockTime(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(11, 19)}Z`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
