/**
 * What is each half of the daily loop worth, and does it matter that a day is shuffled? Method: `node bench/run.js daily-loop` drives the stages of
 * production day by day over the generated world, or over a MovieTweetings folder with `--events PATH`, without Kafka: full update only, online training only, both,
 * and both baselines of popularity, each click ranked before it is learnt. `--order ordered` trains each day in the order of time instead.
 * Figures are sums over the days from `--from` on. docs/quality.md has what came out.
 */
import { parseArgs } from 'node:util'
import { readFileSync } from 'node:fs'
import { loadConfig } from '../src/config/load.ts'
import type { RecallFigures } from '../src/model/evaluation.ts'
import { openMovieTweetings } from '../src/runtime/replay/movietweetings.ts'
import { createGenerator } from '../src/streams/generator/generator.ts'
import type { SourceEvent } from '../src/streams/source-event.ts'
import type { Order } from '../src/cli/evaluate/full-update-of.ts'
import { joinedDays } from '../src/cli/evaluate/joined-days.ts'
import { simulate, type DayFigures } from '../test/support/daily-simulation.ts'

const { values } = parseArgs({
  options: {
    events: { type: 'string' },
    seed: { type: 'string', default: '101' },
    days: { type: 'string', default: '4' },
    rate: { type: 'string', default: '2' },
    /** Options of the world, as JSON. */
    world: { type: 'string', default: '{}' },
    order: { type: 'string', default: 'shuffled' },
    from: { type: 'string', default: '0000' },
    until: { type: 'string', default: '9999' },
    'full-only': { type: 'boolean', default: false },
    set: { type: 'string', multiple: true, default: [] },
    verbose: { type: 'boolean', default: false },
  },
})
const names = ['fullOnly', 'both', 'incrementalOnly', 'popularity24h', 'popularity7d'] as const

const profile = values.events === undefined ? 'generator' : 'movietweetings'
const file = new URL(`../config/${profile}.yaml`, import.meta.url)
const config = loadConfig({
  texts: [{ name: profile, text: readFileSync(file, 'utf8') }],
  environment: {},
  settings: values.set,
})
const startedMs = performance.now()
const days: DayFigures[] = []
const hourMs = 3_600_000
const simulation = simulate(joinedDays(until(await eventsOf()), config.joiner, hourMs), {
  ...{ model: config.model, full: config.full, learner: config.learner },
  ...{ order: values.order as Order, isFullOnly: values['full-only'] },
})
for await (const day of simulation) {
  days.push(day)
  if (!values.verbose) continue
  const figures = names.map((name) => `${name} ${at50(day[name])}`).join('  ')
  console.log(`${day.day}  ${day.examples} examples  loss ${day.loss.toFixed(3)}  ${figures}`)
}
const counted = days.filter(({ day }) => day >= values.from)
const result = Object.fromEntries(
  names.map((name) => {
    const sum = counted.map((day) => day[name]).reduce(added)
    const { cases, hitsAt100, reciprocalRanks } = sum
    return [
      name,
      {
        ...{ cases, at50: at50(sum), at100: share(hitsAt100, cases) },
        mrr: share(reciprocalRanks, cases),
      },
    ]
  }),
)
console.log(
  JSON.stringify({
    ...{ order: values.order, seed: values.seed, days: counted.length },
    ...{ seconds: Math.round((performance.now() - startedMs) / 1_000), ...result },
  }),
)

async function eventsOf(): Promise<Iterable<SourceEvent>> {
  if (values.events !== undefined) {
    const source = await openMovieTweetings(values.events, 17)
    return source.events(null) as Iterable<SourceEvent>
  }
  const generator = createGenerator({
    ...{ seed: Number(values.seed), eventsPerSecond: Number(values.rate) },
    ...(JSON.parse(values.world) as object),
  })
  const fromMs = Date.UTC(2026, 0, 5)
  return generator.events({ fromMs, untilMs: fromMs + Number(values.days) * 86_400_000 })
}

function* until(events: Iterable<SourceEvent>): Generator<SourceEvent> {
  for (const event of events) {
    if (new Date(event.eventTimeMs).toISOString().slice(0, 10) >= values.until) return
    yield event
  }
}

function added(a: RecallFigures, b: RecallFigures): RecallFigures {
  const keys = Object.keys(a) as (keyof RecallFigures)[]
  return Object.fromEntries(keys.map((key) => [key, a[key] + b[key]])) as unknown as RecallFigures
}

function at50({ hitsAt50, cases }: RecallFigures): number {
  return share(hitsAt50, cases)
}

function share(part: number, whole: number): number {
  return Math.round((10_000 * part) / Math.max(1, whole)) / 10_000
}
