import { table } from '../bench/report.ts'
import { lineChart } from '../line-chart.ts'
import type { Agreement } from './agreement.ts'
import type { Scores } from './figures.ts'

export interface ReportRow {
  readonly name: string
  /** How often serving takes the learner's state; null: there is no learner. */
  readonly syncMs: number | 'never' | null
  /** Over the seeds. */
  readonly mean: Scores
  /** Empty where there is nothing random. */
  readonly seeds: readonly Scores[]
}

/** What `--json` writes. */
export interface EvaluationReport {
  readonly protocol: string
  readonly events: string
  /** First and last day asked about. */
  readonly from: string
  readonly to: string
  readonly cases: number
  readonly freshCases: number
  readonly startedAt: string
  readonly node: string
  readonly cpu: string
  readonly seconds: number
  readonly rows: readonly ReportRow[]
  /** One for each seed, with --rank-with pods. */
  readonly pods?: readonly Agreement[]
}

/** The report as text. */
export function describe(report: EvaluationReport): string {
  const { events, from, to, cases, freshCases, seconds, rows } = report
  const seeds = Math.max(...rows.map((row) => row.seeds.length))
  const head = [
    '',
    'sync',
    'recall@50',
    'recall@100',
    'MRR',
    'fresh @100',
    'recall@50 of each seed',
  ]
  return [
    `${events}, ${from} to ${to}: ${cases} cases, ${freshCases} of items that were new that day; mean of ${seeds} seeds, ${seconds.toFixed(0)} s`,
    '',
    ...table(
      head,
      rows.map(({ name, syncMs, mean, seeds: each }) => [
        name,
        intervalOf(syncMs),
        ...[mean.recallAt50, mean.recallAt100, mean.mrr, mean.freshRecallAt100].map(four),
        each.map(({ recallAt50 }) => four(recallAt50)).join(' '),
      ]),
    ),
    '',
  ].join('\n')
}

/** recall@50 by sync interval; what has none is a level. */
export function chartOf({ events, from, to, rows }: EvaluationReport): string {
  const both = rows.filter(({ name }) => name === 'full + incremental')
  const intervals = [...both].sort((a, b) => Number(b.syncMs) - Number(a.syncMs))
  const levels = rows.filter((row) => !both.includes(row) && shown.includes(row.name))
  const lowest = Math.min(...[...levels, ...both].map(({ mean }) => mean.recallAt50))
  return lineChart({
    title: `recall@50, ${from} to ${to}: ${events}`,
    x: 'how often serving takes the state of the learner',
    labels: intervals.map(({ syncMs }, i) => [i, intervalOf(syncMs)]),
    fromY: Math.floor(lowest * 50) / 50,
    series: [
      {
        name: 'full + incremental',
        points: intervals.map(({ mean }, i): [number, number] => [i, mean.recallAt50]),
      },
      ...levels.map(({ name, mean }) => ({
        name,
        points: intervals.map((_, i): [number, number] => [i, mean.recallAt50]),
      })),
    ],
  })
}

const shown = [
  'full only',
  'incremental only',
  'popularity, 7 days, daily',
  'popularity, 24 h, every 15 min',
  'item-kNN, history up to date',
  'frozen',
]

const minuteMs = 60_000
const hourMs = 60 * minuteMs

function intervalOf(syncMs: ReportRow['syncMs']): string {
  if (syncMs === null || syncMs === 'never') return syncMs ?? ''
  return syncMs < hourMs ? `${syncMs / minuteMs} min` : `${syncMs / hourMs} h`
}

/** Four digits, as `.3897`. */
export function four(share: number): string {
  return share.toFixed(4).replace(/^0/, '')
}
