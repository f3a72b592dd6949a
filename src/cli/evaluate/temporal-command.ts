import { writeFile } from 'node:fs/promises'
import os from 'node:os'
import { loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/schema.ts'
import { FreshetError } from '../../errors.ts'
import { openDirectoryStore } from '../../runtime/generation/artifact-store.ts'
import { loadGeneration } from '../../runtime/generation/generation.ts'
import type { TrainableGeneration } from '../../runtime/generation/generation.ts'
import { openFiles } from '../../runtime/replay/open-files.ts'
import type { EvaluateOptions } from '../commands/evaluate.ts'
import { readConfigFile } from '../options.ts'
import { profileConfig, profileOf } from '../profile.ts'
import { describeAgreement, disagreements, type Agreement } from './agreement.ts'
import { askBaselines } from './baselines.ts'
import { meanScores, scoresOf, type Scores } from './figures.ts'
import { Pods } from './pods.ts'
import { chartOf, describe, type EvaluationReport, type ReportRow } from './report.ts'
import { questionsOf } from './temporal.ts'
import { scoresOfSeed, twoTowerRows, type Questions } from './two-tower.ts'

/** Of the random parts of a replay: what fills pages up. */
const replaySeed = 17

/** `freshet evaluate --protocol temporal`, as docs/evaluate.md defines it. @throws FreshetError */
export async function runTemporal(options: EvaluateOptions): Promise<void> {
  const startedAt = new Date()
  const say = (text: string): void => void process.stderr.write(`${text}\n`)
  const { events } = options
  if (events === undefined) {
    throw new FreshetError(
      'USAGE_INVALID',
      'the temporal protocol needs --events PATH; a split into two files goes with --protocol fixed-split',
    )
  }
  const config = configOf(events, options)
  const source = await openFiles(events, replaySeed)
  const { days, until = null, rankWith } = options
  const questions = {
    ...(await questionsOf(source, config, { days, until })),
    first: await firstOf(config),
  }
  const asked = [...questions.cases.keys()]
  expectUnlearnt(questions.first, asked[0]!)
  const all = [...questions.cases.values()].flat().flatMap(({ cases }) => cases)
  const [from, to] = [asked[0]!, asked.at(-1)!]
  const freshCases = all.filter(({ isFresh }) => isFresh).length
  say(
    `${source.description}: ${all.length} cases of ${from} to ${to}, ${freshCases} of fresh items`,
  )
  const { perSeed, agreements } = await askSeeds(questions, config, options, say)
  say('baselines')
  const baselines = [...askBaselines(questions)].map(([name, figures]): ReportRow => {
    return { name, syncMs: null, mean: scoresOf(figures), seeds: [] }
  })
  const twoTowers = twoTowerRows.map(({ kind, syncMs }, i): ReportRow => {
    const seeds = perSeed.map((scores) => scores[i]!)
    const sync = syncMs === Infinity ? 'never' : syncMs
    return { name: nameOf[kind], syncMs: sync, mean: meanScores(seeds), seeds }
  })
  const report: EvaluationReport = {
    ...{ protocol: 'temporal', events: source.description, from, to, freshCases },
    ...{ cases: all.length, startedAt: startedAt.toISOString() },
    ...{ node: process.versions.node, cpu: os.cpus()[0]?.model ?? 'unknown' },
    seconds: (Date.now() - startedAt.getTime()) / 1_000,
    rows: [...baselines, ...twoTowers],
    ...(rankWith === 'pods' ? { pods: agreements } : {}),
  }
  process.stdout.write(describe(report))
  for (const agreement of agreements) {
    process.stdout.write(`\n${describeAgreement(agreement)}`)
  }
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`)
  }
  if (options.svg !== undefined) await writeFile(options.svg, chartOf(report))
  const problems = agreements.flatMap(disagreements)
  for (const problem of problems) say(`freshet: ${problem}`)
  if (problems.length > 0) process.exitCode = 1
}

/** What `generations.first` names; null: random parameters */
async function firstOf({ generations, artifacts }: Config): Promise<TrainableGeneration | null> {
  const { first } = generations
  if (first === null) return null
  return loadGeneration(openDirectoryStore(artifacts.dir), first, { for: 'training' })
}

/** @throws FreshetError USAGE_INVALID where the first day that is asked about is part of what it has learnt */
export function expectUnlearnt(first: TrainableGeneration | null, from: string): void {
  if (first === null || first.day === null || first.day < from) return
  throw new FreshetError(
    'USAGE_INVALID',
    `generations.first ${first.id} has learnt ${first.day}, and the days that are asked about begin with ${from}: ask about fewer with --days`,
  )
}

interface Asked {
  /** Scores of each row of the table. */
  readonly perSeed: readonly (readonly Scores[])[]
  /** Empty without pods. */
  readonly agreements: readonly Agreement[]
}

async function askSeeds(
  questions: Questions,
  config: Config,
  { seeds, rankWith }: Pick<EvaluateOptions, 'seeds' | 'rankWith'>,
  say: (text: string) => void,
): Promise<Asked> {
  const perSeed: (readonly Scores[])[] = []
  const agreements: Agreement[] = []
  const pods = rankWith === 'pods' ? await Pods.start(say) : null
  try {
    for (let n = 0; n < seeds; n++) {
      const seed = config.model.seed + n
      say(`seed ${seed}: training ${questions.days.length} days`)
      if (pods === null) {
        perSeed.push(await scoresOfSeed(questions, config, seed))
        continue
      }
      const { scores, agreement } = await pods.scoresOfSeed(questions, config, seed)
      perSeed.push(scores)
      agreements.push(agreement)
    }
  } finally {
    await pods?.close()
  }
  return { perSeed, agreements }
}

const nameOf = {
  frozen: 'frozen',
  full: 'full only',
  incremental: 'incremental only',
  both: 'full + incremental',
} as const

/** What comes with the input, then what the user says: no server, so no address of one. */
function configOf(events: string, { config, set }: EvaluateOptions): Config {
  return loadConfig({
    texts: [...profileConfig(profileOf(events)), ...(config ?? []).map(readConfigFile)],
    environment: process.env,
    settings: set ?? [],
  })
}
