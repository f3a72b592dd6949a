import type { Counter, Gauge, Histogram } from 'prom-client'
import { delayStages, type DelayStage, type Metrics } from '../metrics/metrics.ts'

/** What the live status shows and the report of a run keeps. Counts are of this process since its start. */
export interface Figures {
  readonly impressions: number
  readonly clicks: number
  /** Committed by the joiner. */
  readonly examples: number
  /** Applied by the learner. */
  readonly learned: number
  readonly deadLetters: number
  readonly deadLettersByReason: Readonly<Record<string, number>>
  readonly duplicates: number
  readonly recallAt50: number | null
  readonly recallAt100: number | null
  readonly popularity24hRecallAt50: number | null
  /** Mean share of the exact top k that was served, of the replies that were checked. */
  readonly annRecall: number | null
  readonly overrideSequence: number
  readonly generation: string | null
  readonly delays: Readonly<
    Record<DelayStage, { readonly p50Ms: number | null; readonly p99Ms: number | null }>
  >
}

export async function readFigures(metrics: Metrics): Promise<Figures> {
  const [
    events,
    examples,
    deadLetters,
    duplicates,
    recallAt,
    popularityRecallAt,
    annRecall,
    sequence,
    generation,
  ] = await Promise.all([
    samples(metrics.events),
    samples(metrics.examples),
    samples(metrics.deadLetters),
    samples(metrics.duplicates),
    samples(metrics.recallAt),
    samples(metrics.popularityRecallAt),
    meanOf(metrics.annRecall),
    samples(metrics.overrideSequence),
    samples(metrics.generationInfo),
  ])
  return {
    impressions: sumOf(events, 'kind', 'impression'),
    clicks: sumOf(events, 'kind', 'click'),
    examples: sumOf(examples, 'role', 'joiner'),
    learned: sumOf(examples, 'role', 'learner'),
    deadLetters: deadLetters.reduce((sum, s) => sum + s.value, 0),
    deadLettersByReason: Object.fromEntries(
      deadLetters.map((s) => [String(s.labels['reason']), s.value]),
    ),
    duplicates: duplicates.reduce((sum, s) => sum + s.value, 0),
    recallAt50: valueOf(recallAt, 'k', '50'),
    recallAt100: valueOf(recallAt, 'k', '100'),
    popularity24hRecallAt50: valueOf(popularityRecallAt, 'k', '50'),
    annRecall,
    overrideSequence: valueOf(sequence, 'role', 'learner') ?? 0,
    generation:
      generation
        .filter((s) => s.value === 1)
        .map((s) => String(s.labels['generation']))
        .at(-1) ?? null,
    delays: Object.fromEntries(
      delayStages.map((stage) => [
        stage,
        {
          p50Ms: metrics.stageDelay.quantileMs(stage, 0.5),
          p99Ms: metrics.stageDelay.quantileMs(stage, 0.99),
        },
      ]),
    ) as Figures['delays'],
  }
}

interface Sample {
  readonly value: number
  readonly labels: Readonly<Partial<Record<string, string | number>>>
}

async function samples(metric: Counter | Gauge): Promise<readonly Sample[]> {
  return (await metric.get()).values
}

async function meanOf(metric: Histogram): Promise<number | null> {
  const { values } = await metric.get()
  const valueOfSeries = (name: string) =>
    values.find(({ metricName }) => metricName?.endsWith(name) === true)?.value ?? 0
  const count = valueOfSeries('_count')
  return count === 0 ? null : valueOfSeries('_sum') / count
}

function sumOf(all: readonly Sample[], label: string, value: string): number {
  return all.filter((s) => s.labels[label] === value).reduce((sum, s) => sum + s.value, 0)
}

function valueOf(all: readonly Sample[], label: string, value: string): number | null {
  return all.find((s) => String(s.labels[label]) === value)?.value ?? null
}
