import type { ControlDocument, GenerationState } from '../records/types.ts'
import { progressOf } from '../streams/controller-progress.ts'
import type {
  ControllerOptions,
  PartitionProgress,
  Progress,
} from '../streams/controller-progress.ts'
import type { WatchEvent, WatchModel } from './watch-model.ts'

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
  return [
    liveLine(view, document),
    previousLine(view, document),
    candidateLine(view, document),
    ...milestoneLines(view, document),
    ...trainingLine(view, document),
    ...delayLine(view),
    ...(view.model.controlling?.alerts ?? []).map((alert) => `ALERT       ${alert}`),
  ]
}

/** One line for logs and pipes. */
export function eventLine({ atMs, message }: WatchEvent): string {
  return `${clockTime(atMs)}  ${message}`
}

export function openingLine(document: ControlDocument | null): string {
  if (document === null) return 'no controller has written a control document yet'
  const { live, candidate, previous, states, epoch } = document
  const onTheWay = candidate === null ? 'none' : `${candidate} (${states[candidate]})`
  return `live ${live ?? 'none'}, candidate ${onTheWay}, previous ${previous ?? 'none'}, epoch ${epoch}`
}

function liveLine({ model, nowMs }: WatchView, { live, liveSinceMs }: ControlDocument): string {
  if (live === null) return 'live        none'
  const pods = model.known.pods(nowMs).filter((pod) => !pod.isSilent)
  const serving = pods.filter((pod) => pod.body.serves === live)
  const since = liveSinceMs === 0 ? '' : ` for ${duration(nowMs - liveSinceMs)};`
  return `live        ${live}  ${since.trimStart()} served by ${serving.length} of ${pods.length} pods`
}

function previousLine({ model, nowMs }: WatchView, { previous, states }: ControlDocument): string {
  if (previous === null) return 'previous    none'
  const untilMs = model.controlling?.rollbackUntilMs ?? 0
  const rollback =
    untilMs > nowMs
      ? `freshet rollback goes back to it, for another ${duration(untilMs - nowMs)}`
      : 'no longer kept trained: no rollback'
  return `previous    ${previous}  ${states[previous]}; ${rollback}`
}

function candidateLine({ model }: WatchView, { candidate, states }: ControlDocument): string {
  if (candidate === null) return 'candidate   none'
  const waitsFor = model.controlling?.waitsFor ?? []
  const waits = waitsFor.length === 0 ? '' : `; waits: ${waitsFor.join('; ')}`
  return `candidate   ${candidate}  ${states[candidate]}${waits}`
}

/** Of the candidate; without one, how the live generation got there. */
function milestoneLines(view: WatchView, document: ControlDocument): string[] {
  const { model, nowMs, options } = view
  const generation = document.candidate ?? document.live
  if (generation === null) return []
  const reached = model.reached(generation)
  const day = model.dayOf(generation)
  // A first generation was never on its way.
  if (day === null && document.candidate === null) return []
  const isOnItsWay = generation === document.candidate
  const progress = isOnItsWay ? progressOf(generation, document, model.known, nowMs, options) : null
  const trained = model.known.trained.find((one) => one.generation === generation)
  const indexed = model.known.indexed(generation)
  const line = (name: string, atMs: number | null | undefined, detail: string): string =>
    `  ${name.padEnd(10)}${atMs === null || atMs === undefined ? '-        ' : clockTime(atMs)}  ${detail}`.trimEnd()
  const at = (state: GenerationState) => reached.get(state)
  // A milestone may be passed together with the next.
  const indexedAt = at('indexed') ?? at('loaded') ?? at('caught-up') ?? at('live')
  const loadedAt = at('loaded') ?? at('caught-up') ?? at('live')
  const caughtUpAt = at('caught-up') ?? (options.catchUp ? at('live') : undefined)
  return [
    line('cut', day === null ? null : model.cutAtMs(day), day === null ? '' : `day ${day}`),
    line(
      'trained',
      at('trained'),
      trained === undefined ? '' : `${trained.verdict}: ${trained.why}`,
    ),
    line(
      'indexed',
      indexedAt,
      indexed === null
        ? ''
        : `${count(indexed.items)} items, recall@100 ${indexed.recall.toFixed(3)}`,
    ),
    line('loaded', loadedAt, progress === null ? '' : podsText(progress, options.readyPods)),
    line('caught up', caughtUpAt, progress === null ? '' : learnedText(progress)),
    line('live', at('live'), ''),
  ]
}

function podsText({ pods }: Progress, readyPods: number): string {
  const ready = pods.filter((pod) => pod.hasVerified && !pod.isSilent)
  const names = ready.map(({ instance }) => instance).slice(0, 8)
  const by = names.length === 0 ? '' : `: ${names.join(', ')}`
  return `verified by ${ready.length} pods of ${pods.length}, ${readyPods} needed${by}`
}

const partitionsMax = 8

function learnedText({ partitions, hasRows }: Progress): string {
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

export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`
  return `${(seconds / 3_600).toFixed(1)} h`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
