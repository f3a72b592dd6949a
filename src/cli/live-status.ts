import { delayStages } from '../metrics/metrics.ts'
import type { ReplayProgress } from '../runtime/replay/replayer.ts'
import type { Figures } from './figures.ts'

export interface StatusInput {
  readonly figures: Figures
  /** Null before the first. */
  readonly before: Figures | null
  readonly elapsedMs: number
  readonly replay: ReplayProgress | null
  readonly input: string
  readonly metricsUrl: string | null
  /** Null where it is off. */
  readonly consoleUrl: string | null
  readonly daily: DailyStatus
}

/** The daily loop as people see it. */
export interface DailyStatus {
  /** Since the start of this process. */
  readonly switches: number
  /** Full update under way, of this day and so far in [0, 1]; null: none. */
  readonly training: { readonly day: string; readonly share: number } | null
  /** What the candidate waits for; empty without one. */
  readonly waitsFor: readonly string[]
}

/** The block that is drawn over and over on a terminal. */
export function statusBlock(input: StatusInput): string[] {
  const { figures, replay } = input
  const { events, examples } = rates(input)
  const delays = delayStages.map(
    (stage) =>
      `${stage} ${milliseconds(figures.delays[stage].p50Ms)}/${milliseconds(figures.delays[stage].p99Ms)}`,
  )
  return [
    `input          ${input.input}${replay === null ? '' : progressOf(replay)}`,
    `events         ${count(figures.impressions)} impressions, ${count(figures.clicks)} clicks   ${count(events)}/s`,
    `examples       ${count(figures.examples)} joined, ${count(figures.learned)} learned   ${count(examples)}/s`,
    `delay p50/p99  ${delays.join('   ')}   (since arrival)`,
    `recall         @50 ${share(figures.recallAt50)}   @100 ${share(figures.recallAt100)}   (each click scored before it is learned)`,
    `index          recall ${share(figures.annRecall)}   (of a sample of the replies, against the exact top k)`,
    `dead letters   ${count(figures.deadLetters)}${reasons(figures)}   duplicates ${count(figures.duplicates)}`,
    `days           ${dailyOf(input.daily)}`,
    `serving        generation ${figures.generation ?? 'none yet'}, override set ${figures.overrideSequence}`,
    ...(input.metricsUrl === null ? [] : [`metrics        ${input.metricsUrl}/metrics`]),
    ...(input.consoleUrl === null ? [] : [`console        ${input.consoleUrl}`]),
  ]
}

/** One line for logs and pipes. */
export function statusLine(input: StatusInput): string {
  const { figures, replay } = input
  const { events, examples } = rates(input)
  const { visible } = figures.delays
  return [
    `events ${figures.impressions + figures.clicks} (${events}/s)`,
    `examples ${figures.examples} (${examples}/s)`,
    `visible delay p50 ${milliseconds(visible.p50Ms)} p99 ${milliseconds(visible.p99Ms)}`,
    `recall@50 ${share(figures.recallAt50)} @100 ${share(figures.recallAt100)}`,
    ...(figures.annRecall === null ? [] : [`index recall ${share(figures.annRecall)}`]),
    `dead letters ${figures.deadLetters}${reasons(figures)}`,
    `generation ${figures.generation ?? 'none'} set ${figures.overrideSequence}`,
    ...(input.daily.switches === 0 ? [] : [`switches ${input.daily.switches}`]),
    ...(replay === null || replay.share === null ? [] : [`input${progressOf(replay)}`]),
  ].join(' | ')
}

function dailyOf({ switches, training, waitsFor }: DailyStatus): string {
  const switched = `${count(switches)} ${switches === 1 ? 'switch' : 'switches'}`
  if (training !== null) {
    return `${switched}   full update of ${training.day}, ${Math.round(training.share * 100)} %`
  }
  return waitsFor.length === 0 ? switched : `${switched}   the candidate waits: ${waitsFor[0]!}`
}

function rates({ figures, before, elapsedMs }: StatusInput): { events: number; examples: number } {
  if (before === null || elapsedMs <= 0) return { events: 0, examples: 0 }
  const rate = (now: number, then: number): number => Math.round(((now - then) * 1_000) / elapsedMs)
  return {
    events: rate(figures.impressions + figures.clicks, before.impressions + before.clicks),
    examples: rate(figures.examples, before.examples),
  }
}

function progressOf(replay: ReplayProgress): string {
  if (replay.share === null) return ''
  const eta = replay.etaMs === null ? '' : `, ${duration(replay.etaMs)} left`
  const time =
    replay.lastEventTimeMs === 0
      ? ''
      : `, at ${new Date(replay.lastEventTimeMs).toISOString().slice(0, 16)}Z`
  return ` ${(replay.share * 100).toFixed(1)} %${time}${replay.isComplete ? ', complete' : eta}`
}

function reasons(figures: Figures): string {
  const named = Object.entries(figures.deadLettersByReason).filter(([, n]) => n > 0)
  return named.length === 0 ? '' : ` (${named.map(([reason, n]) => `${reason} ${n}`).join(', ')})`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

function share(value: number | null): string {
  return value === null ? '-' : value.toFixed(4)
}

function milliseconds(value: number | null): string {
  if (value === null) return '-'
  return value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`
}

function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1_000)
  return seconds < 90 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`
}
