/**
 * What a two-tower from elsewhere is worth once it is live. Method: `node bench/run.js import --events MOVIETWEETINGS --generation DIR`
 * starts every role as a process on a Kafka and a Redis of its own and replays the days before the end of what DIR has learnt (`day` of
 * its manifest). Then recall@50 over Kafka of the clicks from an hour after that end on: of what is live by then, which began
 * at random with those days; of DIR after `freshet import` and its switch; when it has learnt that hour online; after `freshet rollback`; and of DIR once more,
 * after another rollback, while the days are replayed with their full updates: each hour's clicks are asked for, then sent and learnt.
 */
import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { parse } from 'yaml'
import { DayTurns } from '../src/cli/day-turns.ts'
import { ReportWatch } from '../src/cli/report-watch.ts'
import { RecallClient } from '../src/runtime/recall-client.ts'
import { openMovieTweetings } from '../src/runtime/replay/movietweetings.ts'
import { openPositions } from '../src/runtime/replay/positions.ts'
import { replay } from '../src/runtime/replay/replayer.ts'
import type { SourceEvent } from '../src/streams/source-event.ts'
import { beginOf, dayNamed } from '../src/streams/day-cut.ts'
import { deployment, type Deployment } from '../test/support/deployment.ts'
import { ownBroker, ownRedis, silentLog } from '../test/support/own-servers.ts'

const { values } = parseArgs({
  options: {
    events: { type: 'string' },
    generation: { type: 'string' },
    config: { type: 'string', default: 'config/movietweetings.yaml' },
    /** Days before the import that are replayed, and days after it that are asked for. */
    history: { type: 'string', default: '2' },
    days: { type: 'string', default: '14' },
  },
})
const { events: eventsDir, generation: folder } = values
if (eventsDir === undefined || folder === undefined) {
  throw new Error('--events MOVIETWEETINGS and --generation DIR are needed: see examples/pytorch')
}

const k = 50
const asking = 16
const hourMs = 3_600_000
const dayMs = 24 * hourMs
/** A pod has a set of overrides some milliseconds after the learner has sent it. */
const shownMs = 100
const switchWithinMs = 60_000

interface Click {
  readonly userId: string
  readonly itemId: string
}

// So that processes and servers end with this one.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const cleanUps: (() => Promise<void>)[] = []
const onEnd = (cleanUp: () => Promise<void>) => void cleanUps.push(cleanUp)
try {
  await run(eventsDir, path.resolve(folder))
} finally {
  for (const cleanUp of cleanUps.reverse()) await cleanUp()
}

async function run(dir: string, generation: string): Promise<void> {
  const { day } = JSON.parse(await fs.readFile(path.join(generation, 'manifest.json'), 'utf8'))
  const beginMs = beginOf(dayNamed(day) + 1)
  const { events } = await openMovieTweetings(dir, 17)
  const all: SourceEvent[] = []
  for await (const event of events(null)) all.push(event)
  const target = await startAll()
  const { live, feed, ended } = await feeder(target)
  const client = await RecallClient.connect({
    ...{ brokers: target.config.kafka.brokers, topicPrefix: target.config.kafka.topicPrefix },
  })
  onEnd(() => client.close())

  const before = beginMs - Number(values.history) * dayMs
  const endMs = beginMs + Number(values.days) * dayMs
  // What was in the catalogue already.
  await feed(all.filter((one) => one.kind === 'item' && one.eventTimeMs < before))
  await feed(between(all, before, beginMs))
  await ended(day)
  const hourEndMs = beginMs + hourMs
  const cases = clicksOf(between(all, hourEndMs, endMs))
  const ask = async (what: string): Promise<void> => {
    const recall = (await hitsOf(client, cases)) / cases.length
    console.log(`${what}: ${recall.toFixed(4)} (${live()})`)
  }
  const command = async (...args: string[]): Promise<void> => {
    const { code, stdout, stderr } = await target.run(...args)
    if (code !== 0) throw new Error(stderr)
    console.log(stdout.trim())
  }
  const first = live()!
  console.log(`recall@${k} of ${cases.length} clicks from ${new Date(hourEndMs).toISOString()} on`)
  await ask('before the import')

  await command('import', generation)
  await until('the switch', () => live() !== first)
  const imported = live()!
  await ask('after the switch')
  await feed(between(all, beginMs, hourEndMs))
  await ask('with one hour learnt online')
  await command('rollback')
  await until('the rollback', () => live() === first)
  await ask('after the rollback')
  await command('rollback', '--to', imported)
  await until('the switch back', () => live() === imported)

  let hits = 0
  for (let atMs = hourEndMs; atMs < endMs; atMs += hourMs) {
    const hour = between(all, atMs, atMs + hourMs)
    hits += await hitsOf(client, clicksOf(hour))
    await feed(hour)
  }
  const recall = hits / cases.length
  console.log(`each hour asked for, then learnt: ${recall.toFixed(4)} (${live()} at the end)`)
}

async function startAll(): Promise<Deployment> {
  const broker = await ownBroker(onEnd)
  const redis = await ownRedis(onEnd)
  const settings = parse(await fs.readFile(values.config, 'utf8'))
  const target = await deployment(onEnd, {
    ...{ brokers: [broker.address], redisUrl: redis.address },
    settings: { ...settings, learner: { ...settings.learner, order: 'event-time' } },
  })
  await target.role('controller').waitForLog(({ msg }) => msg === 'controlling')
  for (const role of ['indexer', 'ingest', 'joiner', 'learner', 'compactor'] as const) {
    target.role(role)
  }
  await target.role('pod').waitForLog(({ msg }) => msg === 'recall is ready')
  return target
}

/** Sends events and waits until they are learnt, with the hour that they are in. */
async function feeder(target: Deployment) {
  const { kafka, topics, dir } = target
  const reports = await ReportWatch.open(kafka, topics.reports, silentLog)
  onEnd(() => reports.close())
  const turns = await DayTurns.open({ ...target, log: silentLog }, reports)
  onEnd(() => turns.close())
  const clock = { nowMs: () => Date.now() }
  let slices = 0
  const feed = async (slice: readonly SourceEvent[]): Promise<void> => {
    if (slice.length === 0) return
    const { signal } = new AbortController()
    const identity = `slice ${slices++}`
    await replay({
      source: { identity, description: identity, events: () => slice, shareDone: () => null },
      ...{ kafka, topics, clock, signal, speed: 'max', windowMs: hourMs },
      positions: openPositions(path.join(dir, 'positions')),
      onEnd: (eventTimeMs) => turns.learntThrough(eventTimeMs, signal),
    })
    await sleep(shownMs)
  }
  const ended = (day: string) => turns.dayEnded(day, new AbortController().signal)
  return { feed, ended, live: () => turns.live }
}

function between(all: readonly SourceEvent[], fromMs: number, toMs: number): SourceEvent[] {
  return all.filter(({ eventTimeMs }) => eventTimeMs >= fromMs && eventTimeMs < toMs)
}

function clicksOf(events: readonly SourceEvent[]): Click[] {
  return events.filter((event) => event.kind === 'click')
}

async function hitsOf(client: RecallClient, clicks: readonly Click[]): Promise<number> {
  let hits = 0
  const left = clicks.values()
  const ask = async (): Promise<void> => {
    for (const { userId, itemId } of left) {
      const { status, message, items } = await client.recall({ userId, k, timeoutMs: 10_000 })
      if (status !== 'OK' && status !== 'COLD_USER') throw new Error(`${status}: ${message}`)
      if (items.some((item) => item.itemId === itemId)) hits++
    }
  }
  await Promise.all(Array.from({ length: asking }, ask))
  return hits
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + switchWithinMs
  while (!isSo()) {
    if (performance.now() > deadlineMs) throw new Error(`${what} did not come`)
    await sleep(50)
  }
}
