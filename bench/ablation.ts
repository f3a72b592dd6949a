/**
 * What is each choice of the model worth? Method: the temporal protocol of `freshet evaluate` for one change at a time, `--seeds` seeds each, on the days before `--until`.
 * `node bench/run.js ablation --events PATH --until DAY` prints one line a cell, as Markdown; `--cells a,b` some of them. docs/quality.md has what came out.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { meanScores, type Scores } from '../src/cli/evaluate/figures.ts'
import { four } from '../src/cli/evaluate/report.ts'
import { questionsOf } from '../src/cli/evaluate/temporal.ts'
import { scoresOfSeed, twoTowerRows, type TwoTowerRow } from '../src/cli/evaluate/two-tower.ts'
import { loadConfig } from '../src/config/load.ts'
import { openFiles } from '../src/runtime/replay/open-files.ts'

const { values } = parseArgs({
  options: {
    events: { type: 'string' },
    until: { type: 'string' },
    days: { type: 'string', default: '14' },
    seeds: { type: 'string', default: '3' },
    cells: { type: 'string' },
  },
})

const point = '{kind: pointwise, negativesPerPositive: 3}'
const logistic = '{kind: pairwise, form: logistic}'
const hinge = '{kind: pairwise, form: hinge, margin: 2}'

/** Settings of each cell; what it does not say is as in config/movietweetings.yaml. */
const cells: Readonly<Record<string, readonly string[]>> = {
  'as it is': [],
  ordered: [],
  'online pointwise': [`learner.loss=${point}`],
  'online pairwise logistic': [`learner.loss=${logistic}`],
  'online pairwise hinge': [`learner.loss=${hinge}`],
  'full pointwise': [`full.loss=${point}`],
  'full pairwise logistic': [`full.loss=${logistic}`],
  'full pairwise hinge': [`full.loss=${hinge}`],
  'no logQ online': ['learner.logQ=false'],
  'no logQ in the full update': ['full.logQ=false'],
  'negatives uniform': ['learner.popularityShare=0'],
  'negatives by popularity': ['learner.popularityShare=0.99'],
  'negatives 64': ['learner.negatives=64'],
  'no sampled candidates in the full update': ['full.candidates=8'],
  'user rows only': ['learner.onlineRows=user'],
  'full batch 32': ['full.batch=32'],
  'full batch 128': ['full.batch=128'],
}

const shown: readonly (readonly [string, TwoTowerRow['kind']])[] = [
  ['full only', 'full'],
  ['incremental only', 'incremental'],
  ['both', 'both'],
]
const hourMs = 3_600_000

if (values.events === undefined) throw new Error('give --events PATH')
const profile = new URL('../config/movietweetings.yaml', import.meta.url)
const texts = [{ name: 'movietweetings', text: readFileSync(profile, 'utf8') }]
const load = (settings: readonly string[]) => loadConfig({ texts, environment: {}, settings })
const questions = await questionsOf(await openFiles(values.events, 17), load([]), {
  ...{ days: Number(values.days), until: values.until ?? null },
})
console.log(
  `| | ${shown.map(([name]) => `${name}: recall@50, @100, MRR`).join(' | ')} | both, recall@50 of each seed |`,
)
console.log(`| --- | ${shown.map(() => '---').join(' | ')} | --- |`)
const wanted = values.cells?.split(',') ?? Object.keys(cells)
for (const cell of wanted) {
  const settings = cells[cell]
  if (settings === undefined)
    throw new Error(`there is no cell ${cell}: ${Object.keys(cells).join(', ')}`)
  const config = load(settings)
  const perSeed: (readonly Scores[])[] = []
  const order = cell === 'ordered' ? 'ordered' : 'shuffled'
  for (let n = 0; n < Number(values.seeds); n++) {
    perSeed.push(await scoresOfSeed(questions, config, config.model.seed + n, order))
  }
  const of = (kind: TwoTowerRow['kind']): Scores[] => {
    const row = twoTowerRows.findIndex(
      (each) => each.kind === kind && (kind === 'full' || each.syncMs === hourMs),
    )
    return perSeed.map((scores) => scores[row]!)
  }
  const columns = shown.map(([, kind]) => {
    const { recallAt50, recallAt100, mrr } = meanScores(of(kind))
    return [recallAt50, recallAt100, mrr].map(four).join(' ')
  })
  const each = of('both').map(({ recallAt50 }) => four(recallAt50))
  console.log(`| ${cell} | ${columns.join(' | ')} | ${each.join(' ')} |`)
}
