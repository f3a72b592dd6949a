import { bucketsSince, quantileOf, type Bucket } from '../metrics/buckets.ts'
import { bucketsOf, sumOf, type Series as Exposed } from '../metrics/exposition.ts'
import { delayStages, type DelayStage } from '../metrics/metrics.ts'
import type { Figures, Maybe, Series } from './api.ts'

/** What the metrics of all processes said at one moment. Counters and histograms as they are: since the start. */
export interface Sample {
  readonly atMs: number
  readonly delays: Readonly<Record<DelayStage, readonly Bucket[]>>
  readonly events: number
  readonly examples: number
  readonly replies: number
  readonly deadLetters: number
  readonly annSum: number
  readonly annCount: number
  readonly recallAt50: Maybe
  readonly recallAt100: Maybe
  readonly popularityAt50: Maybe
  readonly popularityAt100: Maybe
  readonly loss: Maybe
}

export type Window = 'recent' | 'all'

const recentMs = 15 * 60_000
const keptMax = 720
const pointsMax = 180
/** A shorter time holds too few records for a quantile. */
const pointSamplesMin = 5
/** Rates and delays of now. */
const nowMs = 10_000

/** @param series of every process, one after the other */
export function sampleOf(series: readonly Exposed[], atMs: number): Sample {
  const gauge = (name: string, k?: string): Maybe => {
    const found = series.find(
      (one) => one.name === name && (k === undefined || one.labels['k'] === k),
    )
    return found === undefined || !Number.isFinite(found.value) ? null : found.value
  }
  // A gauge without labels is 0 until it is first set; no loss is.
  const loss = gauge('freshet_learner_loss')
  return {
    atMs,
    delays: Object.fromEntries(
      delayStages.map((stage) => [
        stage,
        merged(bucketsOf(series, 'freshet_stage_delay_seconds', { stage })),
      ]),
    ) as unknown as Sample['delays'],
    events: sumOf(series, 'freshet_events_total'),
    examples: sumOf(series, 'freshet_examples_total', { role: 'learner' }),
    replies: sumOf(series, 'freshet_recalls_total'),
    deadLetters: sumOf(series, 'freshet_dead_letters_total'),
    annSum: sumOf(series, 'freshet_ann_recall_ratio_sum'),
    annCount: sumOf(series, 'freshet_ann_recall_ratio_count'),
    recallAt50: gauge('freshet_progressive_recall_ratio', '50'),
    recallAt100: gauge('freshet_progressive_recall_ratio', '100'),
    popularityAt50: gauge('freshet_popularity_recall_ratio', '50'),
    popularityAt100: gauge('freshet_popularity_recall_ratio', '100'),
    loss: loss === 0 ? null : loss,
  }
}

/** The same bucket of several processes is one. */
function merged(buckets: readonly Bucket[]): Bucket[] {
  const counts = new Map<number, number>()
  for (const { upTo, count } of buckets) counts.set(upTo, (counts.get(upTo) ?? 0) + count)
  return [...counts].map(([upTo, count]) => ({ upTo, count }))
}

/** The samples of the last quarter of an hour, and a thinner and thinner selection of all: memory has a bound. */
export class History {
  #recent: Sample[] = []
  #kept: Sample[] = []
  #every = 1
  #seen = 0

  add(sample: Sample): void {
    this.#recent.push(sample)
    while (sample.atMs - this.#recent[0]!.atMs > recentMs) this.#recent.shift()
    if (this.#seen++ % this.#every !== 0) return
    this.#kept.push(sample)
    if (this.#kept.length < keptMax) return
    this.#kept = this.#kept.filter((_, i) => i % 2 === 0)
    this.#every *= 2
  }

  series(window: Window): Series {
    if (window === 'recent') return seriesOf(this.#recent, pointsMax, pointSamplesMin)
    const strideMin = Math.ceil(pointSamplesMin / this.#every)
    return seriesOf([...this.#kept, ...this.#newest()], pointsMax, strideMin)
  }

  figures(): Figures | null {
    const now = this.#recent.at(-1)
    if (now === undefined) return null
    const before = this.#recent.find(({ atMs }) => now.atMs - atMs <= nowMs)!
    const { recallAt50, recallAt100, popularityAt50, popularityAt100, loss } = now
    return {
      ...{ recallAt50, recallAt100, popularityAt50, popularityAt100, loss },
      ...ratesBetween(before, now),
      delays: Object.fromEntries(
        delayStages.map((stage) => [stage, quantilesBetween(before, now, stage)]),
      ) as Figures['delays'],
      annRecall: now.annCount === 0 ? null : now.annSum / now.annCount,
      ...{ events: now.events, examples: now.examples, deadLetters: now.deadLetters },
    }
  }

  #newest(): Sample[] {
    const newest = this.#recent.at(-1)
    return newest === undefined || newest === this.#kept.at(-1) ? [] : [newest]
  }
}

/** Each point speaks of the time since the one before. Always ends with the newest sample. */
export function seriesOf(samples: readonly Sample[], max: number, strideMin = 1): Series {
  const stride = Math.max(strideMin, Math.ceil((samples.length - 1) / max))
  const last = samples.length - 1
  const picked = samples.filter((_, i) => (last - i) % stride === 0)
  const pairs = picked.slice(1).map((now, i) => [picked[i]!, now] as const)
  const rates = pairs.map(([before, now]) => ratesBetween(before, now))
  const column = (of: (sample: Sample) => Maybe): Maybe[] => pairs.map(([, now]) => of(now))
  return {
    atMs: pairs.map(([, { atMs }]) => atMs),
    delays: Object.fromEntries(
      delayStages.map((stage) => {
        const quantiles = pairs.map(([before, now]) => quantilesBetween(before, now, stage))
        const p50Ms = quantiles.map((one) => one.p50Ms)
        return [stage, { p50Ms, p99Ms: quantiles.map((one) => one.p99Ms) }]
      }),
    ) as unknown as Series['delays'],
    recallAt50: column((s) => s.recallAt50),
    recallAt100: column((s) => s.recallAt100),
    popularityAt50: column((s) => s.popularityAt50),
    popularityAt100: column((s) => s.popularityAt100),
    annRecall: column((s) => (s.annCount === 0 ? null : s.annSum / s.annCount)),
    loss: column((s) => s.loss),
    eventsPerSecond: rates.map((one) => one.eventsPerSecond),
    examplesPerSecond: rates.map((one) => one.examplesPerSecond),
    repliesPerSecond: rates.map((one) => one.repliesPerSecond),
  }
}

function ratesBetween(before: Sample, now: Sample) {
  const seconds = (now.atMs - before.atMs) / 1_000
  // A process that was started anew counts from 0 again: then nothing is known of the time between.
  const rate = (from: number, to: number): Maybe =>
    seconds <= 0 || to < from ? null : (to - from) / seconds
  return {
    eventsPerSecond: rate(before.events, now.events),
    examplesPerSecond: rate(before.examples, now.examples),
    repliesPerSecond: rate(before.replies, now.replies),
  }
}

function quantilesBetween(before: Sample, now: Sample, stage: DelayStage) {
  const grown = bucketsSince(before.delays[stage], now.delays[stage])
  if (grown.some(({ count }) => count < 0)) return { p50Ms: null, p99Ms: null }
  const quantileMs = (q: number): Maybe => {
    const seconds = quantileOf(grown, q)
    return seconds === null ? null : seconds * 1_000
  }
  return { p50Ms: quantileMs(0.5), p99Ms: quantileMs(0.99) }
}
