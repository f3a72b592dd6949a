/**
 * Does the learner learn? Recall@50 on the generated world, window by window of event time, for three rankings of the same clicks: the
 * optimum (the true probabilities), freshet as `npm start` is configured, and the most clicked items of the last 24 hours.
 * Goal: freshet rises towards the optimum and stays above popularity. Everything is a function of the seeds, which are none of
 * those the settings were tuned on; only how long it takes depends on the machine. docs/quality.md has the figures.
 */
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { generatorConfig, learningRun, type LearningWindow } from '../test/support/learning-run.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '101,102,103' },
    minutes: { type: 'string', default: '20' },
    /** Events a second; `npm start` has 500. */
    rate: { type: 'string', default: '250' },
    window: { type: 'string', default: '5' },
    /** path=value, as in `freshet --set`; may be given several times. */
    set: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
  },
})

const { model, learner } = generatorConfig(values.set)
const fromMs = Date.UTC(2026, 0, 5, 9)
const seeds = values.seeds.split(',').map(Number)
const startedMs = performance.now()
const runs: { readonly seed: number; readonly windows: LearningWindow[] }[] = []
for (const seed of seeds) {
  const windows: LearningWindow[] = []
  runs.push({ seed, windows })
  if (!values.json) printHead(seed)
  const plan = {
    ...{
      world: { seed, eventsPerSecond: Number(values.rate) },
      fromMs,
      untilMs: fromMs + Number(values.minutes) * 60_000,
    },
    ...{ windowMs: Number(values.window) * 60_000, syncMs: 4_000, casesPerSyncMax: 80 },
    ...{ model, learner },
  }
  for await (const window of learningRun(plan)) {
    windows.push(window)
    if (!values.json) printWindow(window)
  }
}
const seconds = Math.round((performance.now() - startedMs) / 1_000)
if (values.json) console.log(JSON.stringify({ runs, seconds }))
else console.log(`${seconds} s`)

function printHead(seed: number): void {
  console.log(`seed ${seed}`)
  console.log('  until  examples   cases  optimum@50  freshet@50  popularity24h@50  of optimum')
}

function printWindow(window: LearningWindow): void {
  const { untilMs, examples, cases, optimumAt50, freshetAt50, popularity24hAt50 } = window
  const columns = [
    `${untilMs / 60_000} min`.padStart(7),
    String(examples).padStart(10),
    String(cases).padStart(8),
    optimumAt50.toFixed(3).padStart(12),
    freshetAt50.toFixed(3).padStart(12),
    popularity24hAt50.toFixed(3).padStart(18),
    `${Math.round((100 * freshetAt50) / optimumAt50)} %`.padStart(12),
  ]
  console.log(columns.join(''))
}
