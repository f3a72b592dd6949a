import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { groupName } from '../../src/records/topics.ts'
import type { Click, Event } from '../../src/records/types.ts'
import type { SourceEvent } from '../../src/streams/source-event.ts'
import { createGenerator } from '../../src/streams/generator/generator.ts'
import { deployment } from './deployment.ts'
import type { Deployment } from './deployment.ts'
import { feed } from './feed.ts'
import { killPlan } from './kill-plan.ts'
import type { Strike, Victim } from './kill-plan.ts'
import { checkExamples, checkLearner, checkRecall, waitUntilVisible } from './kill-checks.ts'
import type { OnEnd } from './own-servers.ts'
import { watchRecall } from './recall-watch.ts'
import type { RecallWatch } from './recall-watch.ts'
import type { RoleProcess } from './role-process.ts'

export interface KillRunOptions {
  readonly seed: number
  readonly brokers: readonly string[]
  /** Of the run's own: it is emptied. */
  readonly redisUrl: string
  /** Impressions and clicks, before some of them are sent twice. */
  readonly events: number
  readonly perSecond: number
}

export interface KillRunReport {
  readonly seed: number
  readonly strikes: readonly Strike[]
  readonly sent: number
  readonly expected: number
  readonly examples: number
  /** Times that a joiner found itself shut out by its successor. */
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
const settleWithinMs = 90_000
const watchedUsers = 40

/**
 * One run: input with duplicates and disorder goes in at a steady pace while processes are killed, frozen and emptied at moments that
 * the seed chooses. When all is quiet again, what came out is compared with what has to come out.
 */
export async function killRun(onEnd: OnEnd, options: KillRunOptions): Promise<KillRunReport> {
  const startedMs = performance.now()
  const target = await deploy(onEnd, options)
  const fleet = await startFleet(target)
  const input = inputOf(options)
  const log: Event[] = []
  const spanMs = (1_000 * options.events) / options.perSecond
  const strikes = killPlan(options.seed, { spanMs, sessionTimeoutMs })
  const watch = await watchRecall(watchOptions(target), usersOf(input))
  onEnd(() => watch.stop())
  const flushes: number[] = []
  const striking = strike(strikes, fleet, options.redisUrl, flushes)
  const sent = await feed(target.kafka, target.topics, recorded(input, log), options)
  await striking
  const problems: string[] = []
  const sentMs = performance.now()
  const isSettled = await settle(target)
  if (!isSettled) problems.push(`not settled within ${settleWithinMs} ms: ${await lags(target)}`)
  const missing = await waitUntilVisible(target)
  if (missing !== '') problems.push(missing)
  const settledMs = performance.now() - sentMs
  await watchUntilHealthy(watch)
  await watch.stop()
  const { found, expected, deadLetters } = await checkExamples(target, log, problems)
  const code = await fleet.learner.stop()
  if (code !== 0) problems.push(`the learner ended with ${code}`)
  const { cuts, rows } = await checkLearner(target, found, problems)
  const recalls = checkRecall(watch.observations, flushes, problems)
  for (const role of Object.values(fleet)) await role.kill()
  return {
    ...{ seed: options.seed, strikes, sent, expected, examples: found.length, deadLetters },
    ...{ fenced: fencedOf(fleet), cuts, rows, recalls, problems },
    settledMs: Math.round(settledMs),
    wallMs: Math.round(performance.now() - startedMs),
  }
}

type Fleet = Readonly<Record<Exclude<Victim, 'redis'> | 'controller', RoleProcess>>

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

/** Each victim has a time line of its own, so that a long sleep of one holds up no strike on another. */
async function strike(
  strikes: readonly Strike[],
  fleet: Fleet,
  redisUrl: string,
  flushes: number[],
): Promise<void> {
  const startedMs = performance.now()
  const run = async ({ atMs, victim, what, forMs }: Strike): Promise<void> => {
    await sleep(Math.max(0, startedMs + atMs - performance.now()))
    if (victim === 'redis') {
      await empty(redisUrl)
      flushes.push(performance.now())
      return
    }
    const role = fleet[victim]
    if (what === 'freeze') role.freeze()
    else await role.kill()
    await sleep(forMs)
    if (what === 'freeze') role.thaw()
    else role.start()
  }
  const victims = new Set(strikes.map(({ victim }) => victim))
  await Promise.all(
    [...victims].map(async (victim) => {
      for (const one of strikes.filter((each) => each.victim === victim)) await run(one)
    }),
  )
}

async function empty(redisUrl: string): Promise<void> {
  const redis = new Redis(redisUrl)
  await redis.flushall()
  redis.disconnect()
}

/** Everything that came in has been ingested, joined, learnt and acknowledged by Redis. */
async function settle(target: Deployment): Promise<boolean> {
  const deadlineMs = performance.now() + settleWithinMs
  while (performance.now() < deadlineMs) {
    if ((await lags(target)) === '') return true
    await sleep(100)
  }
  return false
}

/** What is not done yet, in words; empty: nothing. */
async function lags({ kafka, topics, config }: Deployment): Promise<string> {
  const { topicPrefix } = config.kafka
  const lagOf = async (role: string, topic: string): Promise<string[]> => {
    const ends = await kafka.offsets(topic)
    const committed = await kafka.committed(groupName(topicPrefix, role), topic)
    return ends.flatMap(({ partition, low, high }) => {
      const lag = high - (committed.get(partition)?.offset ?? low)
      return lag === 0 ? [] : [`${role} ${topic}/${partition}: ${lag}`]
    })
  }
  const found = await Promise.all([
    lagOf('ingest', topics.impressions),
    lagOf('ingest', topics.clicks),
    lagOf('joiner', topics.events),
  ])
  return found.flat().join(', ')
}

/** Replies must be good again in the end, whatever was struck last. */
async function watchUntilHealthy(watch: RecallWatch): Promise<void> {
  const deadlineMs = performance.now() + 20_000
  const isHealthy = (): boolean =>
    watch.observations.slice(-5).every(({ status }) => status === 'OK')
  while (performance.now() < deadlineMs && !isHealthy()) await sleep(100)
}

function fencedOf(fleet: Fleet): number {
  return [fleet['joiner-0'], fleet['joiner-1']]
    .flatMap((joiner) => joiner.log())
    .filter(({ code }) => code === 'PRODUCER_FENCED').length
}
