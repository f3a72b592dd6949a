import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ControlDocument } from '../../src/records/types.ts'
import type { Content, DayAudit } from '../../src/cli/audit.ts'
import { RecallProbe, type ProbeCounts } from '../../src/cli/recall-probe.ts'
import type { RoleName } from '../../src/cli/role-names.ts'
import type { Broker } from '../../src/runtime/local/kafka-broker.ts'
import type { RedisServer } from '../../src/runtime/local/redis-server.ts'
import { watchControl } from '../../src/runtime/control.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { loadManifest } from '../../src/runtime/generation/generation.ts'
import { openPositions } from '../../src/runtime/replay/positions.ts'
import { replay } from '../../src/runtime/replay/replayer.ts'
import type { ReplaySource } from '../../src/runtime/replay/source.ts'
import { createGenerator } from '../../src/streams/generator/generator.ts'
import { deployment, type Deployment } from './deployment.ts'
import { silentLog, type OnEnd, type OwnServer } from './own-servers.ts'
import { seededRandom } from './seeded-random.ts'
import type { RoleProcess } from './role-process.ts'

export interface DailyPlan {
  readonly broker: OwnServer<Broker>
  readonly redis: OwnServer<RedisServer>
  readonly days: number
  readonly eventsPerDay: number
  /** Of the strikes, not of the world. */
  readonly seed: number
  /** SIGKILLs over the run, 0 for an undisturbed one. */
  readonly kills: number
  /** Mean wall time between two of them. */
  readonly everyMs: number
  /** In the midst of the first switches, one each: SIGKILL of the broker, of a Redis that forgets everything, and a second controller. */
  readonly strikesServers: boolean
}

export interface DailyRun {
  readonly seconds: number
  readonly kills: Readonly<Record<string, number>>
  /** Replies all along, and those that no one generation explains. */
  readonly replies: ProbeCounts
  /** Day -> name of a file -> sha256, for what a generation holds besides its manifest. */
  readonly files: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** Day -> what `freshet audit` finds in the log, and has found to be in the archive as well. */
  readonly audited: Readonly<Record<string, Content>>
  readonly problems: readonly string[]
}

const roleNames = [
  'controller',
  'ingest',
  'joiner',
  'learner',
  'pod',
  'compactor',
  'indexer',
] as const satisfies readonly RoleName[]
const victims = ['compactor', 'indexer', 'learner', 'pod', 'controller'] as const
const dayMs = 86_400_000
const firstDayMs = Date.UTC(2026, 0, 5)
const liveWithinMs = 120_000

/**
 * Days of the generated world as fast as they go, each stopped at its end until its generation is live, while roles are killed at moments that
 * the seed chooses.
 */
export async function dailyRun(onEnd: OnEnd, plan: DailyPlan): Promise<DailyRun> {
  const target = await deployment(onEnd, {
    ...{ brokers: [plan.broker.address], redisUrl: plan.redis.address },
    settings: {
      kafka: { sessionTimeoutMs: 2_000, heartbeatIntervalMs: 300, rebalanceTimeoutMs: 2_000 },
      model: { dim: 16, user: { hidden: 16 }, item: { hidden: 16 } },
      learner: { order: 'event-time', negatives: 64, examplesPerUserPerMinuteMax: 10_000 },
      full: { checkpointMs: 200 },
      generations: { keep: 10, rollbackWindowMs: 0 },
    },
  })
  const fleet = await startFleet(target)
  const problems: string[] = []
  const blows = plan.strikesServers ? blowsOf(target, plan) : []
  const live = await followLive(onEnd, target, blows)
  const log = { ...silentLog, error: (...said: unknown[]) => problems.push(JSON.stringify(said)) }
  const probe = await RecallProbe.start({ ...target, log }, () => live.generations.at(-1) ?? null)
  onEnd(() => probe.stop())
  const startedMs = performance.now()
  const ending = new AbortController()
  const striking = strike(fleet, plan, ending.signal)
  try {
    await replay({
      source: worldSource(plan),
      ...{ kafka: target.kafka, topics: target.topics, speed: 'max' },
      clock: { nowMs: () => Date.now() },
      positions: openPositions(path.join(target.dir, 'positions')),
      signal: ending.signal,
      onDayEnd: async (day) => {
        const isLive = await live.until(day, liveWithinMs)
        if (!isLive) problems.push(`${day} has no live generation after ${liveWithinMs} ms`)
      },
    })
  } finally {
    ending.abort()
  }
  const kills = { ...(await striking), ...(await live.struck()) }
  const replies = probe.counts
  if (replies.mixed > 0) problems.push(`${replies.mixed} replies are mixed`)
  const seconds = Math.round((performance.now() - startedMs) / 100) / 10
  const days = Array.from({ length: plan.days }, (_, i) => dayOf(firstDayMs + i * dayMs))
  const audited: Record<string, Content> = {}
  for (const day of days) {
    const content = await audit(target, day, problems)
    if (content !== null) audited[day] = content
  }
  const files = await filesOf(target, live.generations)
  for (const day of days) if (files[day] === undefined) problems.push(`${day} has no generation`)
  return { seconds, kills, replies, files, audited, problems }
}

async function startFleet(target: Deployment): Promise<ReadonlyMap<RoleName, RoleProcess>> {
  const controller = target.role('controller')
  await controller.waitForLog(({ msg }) => msg === 'controlling')
  const fleet = new Map<RoleName, RoleProcess>([['controller', controller]])
  for (const name of roleNames) if (!fleet.has(name)) fleet.set(name, target.role(name))
  await fleet.get('pod')!.waitForLog(({ msg }) => msg === 'recall is ready')
  return fleet
}

interface Blow {
  readonly name: string
  /** Not before the candidate has an index. */
  readonly isLate: boolean
  strike(): Promise<void>
}

/** One for each of the first candidates. */
function blowsOf(target: Deployment, { broker, redis }: DailyPlan): Blow[] {
  return [
    {
      ...{ name: 'broker', isLate: false },
      strike: async () => {
        await broker.kill()
        await broker.restart()
      },
    },
    {
      ...{ name: 'redis', isLate: true },
      strike: async () => {
        await redis.kill()
        await redis.restart()
      },
    },
    {
      ...{ name: 'second controller', isLate: false },
      strike: () => {
        target.role('controller', 'second-controller')
        return Promise.resolve()
      },
    },
  ]
}

/** Generation ids begin with `full-<day>`. The candidates are struck in their order, each once. */
async function followLive(onEnd: OnEnd, { kafka, topics }: Deployment, blows: readonly Blow[]) {
  const generations: string[] = []
  const candidates: string[] = []
  const counts: Record<string, number> = {}
  const striking: Promise<void>[] = []
  const onDocument = ({ live, candidate, states }: ControlDocument): void => {
    if (live !== null && !generations.includes(live)) generations.push(live)
    const blow = blows[candidates.length]
    if (blow === undefined || candidate === null || candidates.includes(candidate)) return
    if (blow.isLate && states[candidate] === 'trained') return
    candidates.push(candidate)
    counts[blow.name] = 1
    striking.push(blow.strike())
  }
  const watch = await watchControl(kafka, topics.control, silentLog, onDocument)
  onEnd(() => watch.close())
  const until = async (day: string, withinMs: number): Promise<boolean> => {
    const deadlineMs = performance.now() + withinMs
    while (!generations.some((id) => id.startsWith(`full-${day}`))) {
      if (performance.now() > deadlineMs) return false
      await sleep(10)
    }
    return true
  }
  const struck = async () => {
    await Promise.all(striking)
    return counts
  }
  return { generations, until, struck }
}

function worldSource({ days, eventsPerDay }: DailyPlan): ReplaySource {
  const generator = createGenerator({
    ...{ seed: 7, users: 300, items: 300, eventsPerSecond: (1_000 * eventsPerDay) / dayMs },
  })
  return {
    identity: `daily run of ${days} days with ${eventsPerDay} events`,
    description: 'generated days',
    // A little of the day after, so that the last one has an end.
    events: () =>
      generator.events({ fromMs: firstDayMs, untilMs: firstDayMs + days * dayMs + dayMs / 24 }),
    shareDone: () => null,
  }
}

async function strike(
  fleet: ReadonlyMap<RoleName, RoleProcess>,
  { seed, kills, everyMs }: DailyPlan,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const random = seededRandom(seed)
  const counts: Record<string, number> = {}
  for (let i = 0; i < kills; i++) {
    const waitMs = random.between(everyMs / 2, (3 * everyMs) / 2)
    const victim = victims[(i + random.between(0, 1)) % victims.length]!
    const downMs = random.between(0, 1_000)
    await sleep(waitMs, undefined, { signal }).catch(() => undefined)
    if (signal.aborted) break
    const role = fleet.get(victim)!
    await role.kill()
    counts[victim] = (counts[victim] ?? 0) + 1
    await sleep(downMs)
    role.start()
  }
  return counts
}

async function audit(target: Deployment, day: string, problems: string[]): Promise<Content | null> {
  const { code, stdout, stderr } = await target.run('audit', '--day', day, '--json')
  if (code !== 0) problems.push(`audit of ${day} ended with ${code}: ${stdout}${stderr}`)
  if (stdout === '') return null
  const { log } = JSON.parse(stdout) as DayAudit
  if (log === null) problems.push(`the log does not hold ${day}`)
  return log
}

async function filesOf({ config }: Deployment, generations: readonly string[]) {
  const store = openDirectoryStore(config.artifacts.dir)
  const files: Record<string, Record<string, string>> = {}
  for (const id of generations) {
    const manifest = await loadManifest(store, id)
    if (manifest.day === null) continue
    files[manifest.day] = Object.fromEntries(
      Object.entries(manifest.files).map(([name, { sha256 }]) => [name, sha256]),
    )
  }
  return files
}

function dayOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10)
}
