import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Click, Event } from '../../src/records/types.ts'
import type { SourceEvent } from '../../src/streams/source-event.ts'
import { createGenerator } from '../../src/streams/generator/generator.ts'
import { deployment } from './deployment.ts'
import type { Deployment } from './deployment.ts'
import { feed } from './feed.ts'
import { killPlan } from './kill-plan.ts'
import type { Strike, Victim } from './kill-plan.ts'
import { checkExamples, checkLearner, checkRecall } from './kill-checks.ts'
import type { OnEnd, OwnServer } from './own-servers.ts'
import { watchRecall } from './recall-watch.ts'
import { watchTransactions } from './open-transactions.ts'
import type { TransactionWatch } from './open-transactions.ts'
import type { RecallWatch } from './recall-watch.ts'
import type { RoleProcess } from './role-process.ts'
import { settle } from './settle.ts'

export interface KillRunOptions {
  readonly seed: number
  readonly brokers: readonly string[]
  /** Of the run's own: it is emptied. */
  readonly redisUrl: string
  /** Of the run's own, to be killed as well. */
  readonly servers?: Servers
  /** Impressions and clicks, before some of them are sent twice. */
  readonly events: number
  readonly perSecond: number
  /** Where the logs of the processes are left; nowhere by default. */
  readonly logsDir?: string
}

export type Servers = Readonly<
  Record<'broker' | 'redis', Pick<OwnServer<unknown>, 'kill' | 'restart'>>
>

export interface KillRunReport {
  readonly seed: number
  readonly strikes: readonly Strike[]
  readonly sent: number
  readonly expected: number
  readonly examples: number
  /** A joiner fell asleep while it had a transaction open. */
  readonly isMidTransaction: boolean
  /** Transactions that joiners found shut out by a successor, as far as they lived to tell. */
  readonly fenced: number
  readonly deadLetters: number
  readonly cuts: number
  readonly rows: number
  readonly recalls: Readonly<Record<string, number>>
  /** Wall time from the last event sent until everything was learnt and visible. */
  readonly settledMs: number
  readonly wallMs: number
  /** What is not as it has to be; empty where all is well. */
  readonly problems: readonly string[]
}

const sessionTimeoutMs = 2_000
const watchedUsers = 40
const stepMs = 170_000
const freezeAttemptsMax = 25

/**
 * One run: input with duplicates and disorder goes in at a steady pace while processes are killed, frozen and emptied at moments that
 * the seed chooses. When all is quiet again, what came out is compared with what has to come out.
 * @throws when a step does not end, naming it
 */
export async function killRun(onEnd: OnEnd, options: KillRunOptions): Promise<KillRunReport> {
  const startedMs = performance.now()
  const target = await within('deploy', deploy(onEnd, options))
  const fleet = await within('start', startFleet(target))
  try {
    const input = inputOf(options)
    const watch = await within('watch', watchRecall(watchOptions(target), usersOf(input)))
    onEnd(() => watch.stop())
    const struck = await send(target, fleet, input, options)
    const problems: string[] = []
    const sentMs = performance.now()
    await within('settle', settle(target, problems))
    const settledMs = Math.round(performance.now() - sentMs)
    await watchUntilHealthy(watch)
    await within('stop watching', watch.stop())
    const joined = await within('read examples', checkExamples(target, struck.log, problems))
    const fenced = (await fencedBy(fleet['joiner-0'])) + (await fencedBy(fleet['joiner-1']))
    const code = await fleet.learner.stop()
    if (code !== 0) problems.push(`the learner ended with ${code}`)
    const learnt = await within('replay', checkLearner(target, joined.found, problems))
    const recalls = checkRecall(watch.observations, struck.flushedAtMs, problems)
    const { expected, deadLetters, found } = joined
    const { strikes, sent, isMidTransaction } = struck
    return {
      ...{ seed: options.seed, strikes, sent, expected, examples: found.length, deadLetters },
      ...{ isMidTransaction, fenced, ...learnt, recalls, problems, settledMs },
      wallMs: Math.round(performance.now() - startedMs),
    }
  } finally {
    for (const role of Object.values(fleet)) {
      await role.kill()
      if (options.logsDir !== undefined) await keepLog(role, options.logsDir)
    }
  }
}

/** Sends everything, with strikes meanwhile. */
async function send(
  target: Deployment,
  fleet: Fleet,
  input: readonly SourceEvent[],
  options: KillRunOptions,
): Promise<Struck & { strikes: readonly Strike[]; sent: number; log: readonly Event[] }> {
  const { seed, events, perSecond, servers } = options
  const spanMs = (1_000 * events) / perSecond
  const hasServers = servers !== undefined
  const strikes = killPlan(seed, { spanMs, sessionTimeoutMs, hasServers })
  const log: Event[] = []
  const feeding = feed(target.kafka, target.topics, recorded(input, log), options)
  const [sent, struck] = await Promise.all([
    within('feed', feeding),
    within('strike', strike(strikes, fleet, target, servers)),
  ])
  return { ...struck, strikes, sent, log }
}

async function within<T>(step: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`step '${step}' has not ended within ${stepMs} ms`)
    timer = setTimeout(() => reject(error), stepMs)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

type Fleet = Readonly<Record<Exclude<Victim, 'redis' | 'broker'> | 'controller', RoleProcess>>

function deploy(onEnd: OnEnd, { brokers, redisUrl }: KillRunOptions): Promise<Deployment> {
  return deployment(onEnd, {
    ...{ brokers, redisUrl },
    settings: {
      kafka: {
        ...{ sessionTimeoutMs, heartbeatIntervalMs: 300, rebalanceTimeoutMs: 2_000 },
        transactionTimeoutMs: 5_000,
      },
      model: { dim: 16, user: { hidden: 16 }, item: { hidden: 16 } },
      learner: { checkpointMs: 3_000, negatives: 64, examplesPerUserPerMinuteMax: 10_000 },
    },
  })
}

async function startFleet(target: Deployment): Promise<Fleet> {
  const controller = target.role('controller')
  await controller.waitForLog(({ msg }) => msg === 'controlling')
  target.role('indexer')
  const fleet = {
    controller,
    ingest: target.role('ingest'),
    'joiner-0': target.role('joiner', 'joiner-0'),
    'joiner-1': target.role('joiner', 'joiner-1'),
    learner: target.role('learner'),
    pod: target.role('pod'),
  }
  await fleet.pod.waitForLog(({ msg }) => msg === 'recall is ready')
  return fleet
}

/** Event time runs faster than the clock; disorder and repeats stay well within the grace of the joiner. */
function inputOf({ seed, events }: KillRunOptions): SourceEvent[] {
  const generator = createGenerator({
    ...{ seed, users: 300, items: 300, eventsPerSecond: 200, clickDelayMaxMs: 120_000 },
  })
  const untilMs = Date.now() - 600_000
  const fromMs = untilMs - (1_000 * events) / 200
  const disturbance = { lateShare: 0.1, duplicateShare: 0.05, delayMaxMs: 60_000 }
  return [...generator.events({ fromMs, untilMs }, disturbance)]
}

function* recorded(input: Iterable<SourceEvent>, log: Event[]): Generator<SourceEvent> {
  for (const event of input) {
    if (event.kind !== 'item') log.push(event)
    yield event
  }
}

/** Those who click most: their rows are there early. */
function usersOf(input: readonly SourceEvent[]): string[] {
  const counts = new Map<string, number>()
  const clicks = input.filter((event): event is Click => event.kind === 'click')
  for (const { userId } of clicks) counts.set(userId, (counts.get(userId) ?? 0) + 1)
  const ranked = [...counts].sort((a, b) => b[1] - a[1])
  return ranked.slice(0, watchedUsers).map(([userId]) => userId)
}

function watchOptions({ config }: Deployment) {
  return { brokers: config.kafka.brokers, topicPrefix: config.kafka.topicPrefix }
}

interface Struck {
  readonly flushedAtMs: readonly number[]
  readonly isMidTransaction: boolean
}

/** Each victim has a time line of its own, so that a long sleep of one holds up no strike on another. */
async function strike(
  strikes: readonly Strike[],
  fleet: Fleet,
  { config, topics }: Deployment,
  servers: Servers | undefined,
): Promise<Struck> {
  const startedMs = performance.now()
  const transactions = await watchTransactions(config.kafka, topics.examples)
  const flushedAtMs: number[] = []
  let isMidTransaction = false
  const run = async ({ atMs, victim, what, forMs }: Strike): Promise<void> => {
    await sleep(Math.max(0, startedMs + atMs - performance.now()))
    if (victim === 'redis' || victim === 'broker') {
      if (what === 'empty') await empty(config.redis.url)
      else await crash(servers![victim], forMs)
      if (victim === 'redis') flushedAtMs.push(performance.now())
      return
    }
    const role = fleet[victim]
    if (what === 'kill') await role.kill()
    else if (what === 'freeze') role.freeze()
    else isMidTransaction = await freezeMidTransaction(role, transactions)
    await sleep(forMs)
    if (what === 'kill') role.start()
    else role.thaw()
  }
  const victims = new Set(strikes.map(({ victim }) => victim))
  await Promise.all(
    [...victims].map(async (victim) => {
      for (const one of strikes.filter((each) => each.victim === victim)) await run(one)
    }),
  )
  transactions.close()
  return { flushedAtMs, isMidTransaction }
}

/** Tries moments until one lies inside a transaction; where input has run dry there may be none. */
async function freezeMidTransaction(
  role: RoleProcess,
  transactions: TransactionWatch,
): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    role.freeze()
    // While the broker is away nobody can tell.
    if (await transactions.isOneStuck().catch(() => false)) return true
    if (attempt === freezeAttemptsMax) return false
    role.thaw()
    await sleep(20 + 7 * attempt)
  }
}

async function crash(server: Servers['broker'], forMs: number): Promise<void> {
  await server.kill()
  await sleep(forMs)
  await server.restart()
}

async function empty(redisUrl: string): Promise<void> {
  const redis = new Redis(redisUrl)
  await redis.flushall()
  redis.disconnect()
}

/** Replies must be good again in the end, whatever was struck last. */
async function watchUntilHealthy(watch: RecallWatch): Promise<void> {
  const deadlineMs = performance.now() + 20_000
  const isHealthy = (): boolean =>
    watch.observations.slice(-5).every(({ status }) => status === 'OK')
  while (performance.now() < deadlineMs && !isHealthy()) await sleep(100)
}

async function fencedBy(joiner: RoleProcess): Promise<number> {
  const metrics = await joiner.metrics()
  const match = /^freshet_transactions_total{.*outcome="fenced".*} (\d+)/m.exec(metrics)
  return Number(match?.[1] ?? 0)
}

async function keepLog({ name, logFile }: RoleProcess, dir: string): Promise<void> {
  await fs.mkdir(dir, { recursive: true })
  await fs.copyFile(logFile, path.join(dir, `${name}.log`))
}
