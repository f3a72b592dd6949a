import { delayStages, type DelayStage } from '../../metrics/metrics.ts'
import { topicNames } from '../../records/topics.ts'
import { createKafkaClient } from '../../runtime/kafka/client.ts'
import { topicDefinitions } from '../../runtime/kafka/topics.ts'
import type { Logger } from '../../runtime/ports.ts'
import { openGenerator } from '../../runtime/replay/generator-source.ts'
import { replay, type ReplayProgress } from '../../runtime/replay/replayer.ts'
import { createGenerator } from '../../streams/generator/generator.ts'
import { systemClock } from '../../runtime/clock.ts'
import { roleNames, type RoleName } from '../role-names.ts'
import { bucketsSince, quantileOf } from '../../metrics/buckets.ts'
import type { BenchServers } from './bench-servers.ts'
import type { Child } from './child.ts'
import { bucketsOf, type Series } from '../../metrics/exposition.ts'
import { until, wait } from './until.ts'

export interface LiveOptions {
  readonly servers: BenchServers
  readonly log: Logger
  readonly signal: AbortSignal
  readonly eventsPerSecond: number
  /** Left out before anything counts. */
  readonly warmUpMs: number
  readonly measureMs: number
  say(message: string): void
}

export interface Delay {
  readonly observations: number
  readonly p50Ms: number | null
  readonly p99Ms: number | null
}

export interface RoleUsage {
  readonly rssBytes: number
  readonly peakRssBytes: number
  /** CPU time over wall time while measured. */
  readonly coreShare: number
}

export interface LiveFigures {
  /** As sent; below what was asked for when the machine could not keep up. */
  readonly eventsPerSecond: number
  readonly seconds: number
  /** How far the sender was behind its pace at the end. */
  readonly senderBehindMs: number
  /** From arrival until the stage was done: each includes the ones before it. */
  readonly stages: Readonly<Record<DelayStage, Delay>>
  /** From the arrival of a click until a pod can serve it: the user's row, the item's vector. */
  readonly visible: Readonly<Record<'user' | 'item', Delay>>
  /** null where the system does not say. */
  readonly roles: Readonly<Record<(typeof roleNames)[number], RoleUsage | null>>
}

const prefix = 'bench-live'
const readyMs = 60_000
const counted: Readonly<Record<DelayStage, RoleName>> = {
  ingest: 'ingest',
  joiner: 'joiner',
  learner: 'learner',
  visible: 'learner',
}

/** Generated users at a steady pace, every role as a process of its own, all on all cores as in a small installation. */
export async function measureLive(options: LiveOptions): Promise<LiveFigures> {
  const { servers, log, signal, say } = options
  const config = servers.config(prefix)
  const kafka = createKafkaClient({ config: config.kafka, log })
  const ended = new AbortController()
  try {
    await kafka.waitUntilReachable(signal)
    await kafka.createTopics(topicDefinitions(config))
    const children = await startRoles(options)
    say(`${options.eventsPerSecond} events/s for ${options.measureMs / 1_000} s`)
    let progress: ReplayProgress | null = null
    const clock = systemClock
    const generator = createGenerator({ eventsPerSecond: options.eventsPerSecond })
    const sending = replay({
      ...{ kafka, topics: topicNames(prefix), clock, speed: 1 },
      source: openGenerator({ generator, clock, isLive: true }),
      positions: { load: () => Promise.resolve(null), save: () => Promise.resolve() },
      signal: AbortSignal.any([signal, ended.signal]),
      onProgress: (now) => (progress = now),
    })
    try {
      const sent = (): ReplayProgress | null => progress
      return await Promise.race([
        observe(options, children, sent),
        sending.then(() => Promise.reject(new Error('the generator ended'))),
      ])
    } finally {
      ended.abort()
      await sending
      await Promise.all([...children.values()].map((child) => child.stop()))
    }
  } finally {
    await kafka.close()
  }
}

async function startRoles(options: LiveOptions): Promise<ReadonlyMap<RoleName, Child>> {
  const { servers, signal, say } = options
  say('starting every role as a process')
  const children = new Map<RoleName, Child>()
  for (const name of roleNames) {
    const settings = ['log.level=warn']
    children.set(name, await servers.start({ name, args: [name], prefix, settings, core: null }))
  }
  for (const [name, child] of children) {
    await until(`${name} is ready`, readyMs, signal, () => {
      child.check()
      return child.isReady()
    })
  }
  return children
}

interface Moment {
  readonly atMs: number
  readonly events: number
  readonly series: ReadonlyMap<RoleName, readonly Series[]>
  readonly usage: ReadonlyMap<RoleName, Awaited<ReturnType<Child['usage']>>>
}

async function observe(
  options: LiveOptions,
  children: ReadonlyMap<RoleName, Child>,
  sent: () => ReplayProgress | null,
): Promise<LiveFigures> {
  const { warmUpMs, measureMs, signal } = options
  await wait(warmUpMs, signal)
  const before = await momentOf(children, sent())
  await wait(measureMs, signal)
  const now = await momentOf(children, sent())
  for (const child of children.values()) child.check()
  const seconds = (now.atMs - before.atMs) / 1_000
  const delay = (role: RoleName, name: string, labels: Record<string, string>): Delay =>
    delayBetween(before.series.get(role)!, now.series.get(role)!, name, labels)
  const stages = delayStages.map((stage) => [
    stage,
    delay(counted[stage], 'freshet_stage_delay_seconds', { stage }),
  ])
  const visible = (side: 'user' | 'item', role: RoleName): Delay =>
    delay(role, 'freshet_visible_delay_seconds', { side })
  return {
    eventsPerSecond: (now.events - before.events) / seconds,
    seconds,
    senderBehindMs: sent()?.behindMs ?? 0,
    stages: Object.fromEntries(stages) as LiveFigures['stages'],
    visible: { user: visible('user', 'learner'), item: visible('item', 'pod') },
    roles: usageBetween(before, now, seconds),
  }
}

async function momentOf(
  children: ReadonlyMap<RoleName, Child>,
  progress: ReplayProgress | null,
): Promise<Moment> {
  const series = new Map<RoleName, readonly Series[]>()
  const usage = new Map<RoleName, Awaited<ReturnType<Child['usage']>>>()
  for (const [name, child] of children) {
    series.set(name, await child.metrics())
    usage.set(name, await child.usage())
  }
  const events = (progress?.impressions ?? 0) + (progress?.clicks ?? 0)
  return { atMs: performance.now(), events, series, usage }
}

function delayBetween(
  before: readonly Series[],
  now: readonly Series[],
  name: string,
  labels: Record<string, string>,
): Delay {
  const buckets = bucketsSince(bucketsOf(before, name, labels), bucketsOf(now, name, labels))
  const milliseconds = (q: number): number | null => {
    const seconds = quantileOf(buckets, q)
    return seconds === null ? null : seconds * 1_000
  }
  return {
    observations: buckets.find(({ upTo }) => upTo === Infinity)?.count ?? 0,
    p50Ms: milliseconds(0.5),
    p99Ms: milliseconds(0.99),
  }
}

function usageBetween(before: Moment, now: Moment, seconds: number): LiveFigures['roles'] {
  const entries = roleNames.map((name) => {
    const [from, to] = [before.usage.get(name) ?? null, now.usage.get(name) ?? null]
    if (from === null || to === null) return [name, null]
    const { rssBytes, peakRssBytes, cpuSeconds } = to
    return [name, { rssBytes, peakRssBytes, coreShare: (cpuSeconds - from.cpuSeconds) / seconds }]
  })
  return Object.fromEntries(entries) as LiveFigures['roles']
}
