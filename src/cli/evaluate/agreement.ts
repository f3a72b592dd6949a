import { table } from '../bench/report.ts'
import type { Scores } from './figures.ts'
import { four } from './report.ts'

/** Scores of the same cases from a pod and from memory. */
export interface Agreement {
  readonly seed: number
  readonly memory: Scores
  readonly pods: Scores
  readonly replies: RepliesFacts
}

export interface RepliesFacts {
  /** Cases by the status of the reply that counted. */
  readonly statuses: Readonly<Record<string, number>>
  /** Of the first case of each status that is neither OK nor COLD_USER. */
  readonly complaints: readonly string[]
  /** One for each generation: recall@100 of its index against exact search. */
  readonly indexRecalls: readonly number[]
}

/** How far apart a score may be: what an approximate index may lose. */
const scoreTolerance = 0.002

const compared = [
  ['recall@50', 'recallAt50'],
  ['recall@100', 'recallAt100'],
  ['MRR', 'mrr'],
] as const

/** One line for each score that is too far from that of memory. */
export function disagreements({ seed, memory, pods }: Agreement): string[] {
  return compared.flatMap(([name, key]) => {
    const apart = Math.abs(pods[key] - memory[key])
    if (apart <= scoreTolerance) return []
    return [
      `seed ${seed}: ${name} is ${four(pods[key])} from the pod and ${four(memory[key])} in memory, ${four(apart)} apart where ${four(scoreTolerance)} is allowed`,
    ]
  })
}

/** As text. */
export function describeAgreement(agreement: Agreement): string {
  const { seed, memory, pods, replies } = agreement
  const scores = (name: string, of: (key: (typeof compared)[number][1]) => string) => [
    name,
    ...compared.map(([, key]) => of(key)),
  ]
  const { statuses, complaints, indexRecalls } = replies
  const counts = Object.entries(statuses).map(([status, count]) => `${count} ${status}`)
  const mean = indexRecalls.reduce((sum, recall) => sum + recall, 0) / indexRecalls.length
  return [
    `full + incremental at one hour, seed ${seed}, asked of a recall pod as well`,
    '',
    ...table(
      ['', ...compared.map(([name]) => name)],
      [
        scores('in memory', (key) => four(memory[key])),
        scores('from the pod', (key) => four(pods[key])),
        scores('difference', (key) => signed(pods[key] - memory[key])),
      ],
    ),
    '',
    `replies: ${counts.join(', ')}`,
    ...complaints.map((complaint) => `  ${complaint}`),
    `recall@100 of the index: ${four(mean)} on the mean of ${indexRecalls.length} generations, ${four(Math.min(...indexRecalls))} at worst`,
    '',
  ].join('\n')
}

function signed(difference: number): string {
  return `${difference < 0 ? '-' : '+'}${four(Math.abs(difference))}`
}
