import path from 'node:path'
import { FreshetError } from '../../errors.ts'
import { topicNames } from '../../records/topics.ts'
import { createKafkaClient } from '../../runtime/kafka/client.ts'
import { topicDefinitions } from '../../runtime/kafka/topics.ts'
import type { KafkaClient, Logger } from '../../runtime/ports.ts'
import type { Throughput } from './arithmetic.ts'
import type { BenchServers, ChildToStart } from './bench-servers.ts'
import type { Child } from './child.ts'
import type { Cores } from './cores.ts'
import { sumOf, type Series } from '../../metrics/exposition.ts'
import { preload, type Load } from './load.ts'
import { until } from './until.ts'
import { watch } from './watch.ts'

export interface BacklogOptions {
  readonly servers: BenchServers
  readonly cores: Cores
  readonly log: Logger
  readonly signal: AbortSignal
  readonly events: number
  readonly warmUpMs: number
  /** Of each role. */
  readonly limitMs: number
  /** Where CPU profiles go; null: none. */
  readonly profileDir: string | null
  /** One bare loop instead of one for each role's input. */
  readonly isQuick: boolean
  say(message: string): void
}

export const measuredRoles = ['ingest', 'joiner', 'learner'] as const
export type MeasuredRole = (typeof measuredRoles)[number]

export interface BacklogFigures {
  readonly load: Load
  readonly roles: Readonly<Record<MeasuredRole, Throughput | null>>
  /** Copying what the role reads, with nothing in between. */
  readonly bareLoops: Readonly<Record<MeasuredRole, Throughput | null>>
  /** Why a figure is missing. */
  readonly failures: readonly string[]
}

/** Records that a role has done since it started. */
type Done = (child: Child) => Promise<number>

const prefix = 'bench'
const readyMs = 60_000
const bareLoopMs = 6_000
const bareLoopWarmUpMs = 1_000

/**
 * Each role alone on its core, with everything it will read there before it starts: ingest turns the load into events, the
 * joiner those into examples, the learner learns from these.
 */
export async function measureBacklogs(options: BacklogOptions): Promise<BacklogFigures> {
  const { servers, log, signal, say } = options
  const config = servers.config(prefix)
  const copyConfig = servers.config(`${prefix}-copy`)
  const topics = topicNames(prefix)
  const copyTopic = topicNames(`${prefix}-copy`).events
  const kafka = createKafkaClient({ config: config.kafka, log })
  try {
    await kafka.waitUntilReachable(signal)
    await kafka.createTopics(topicDefinitions(config))
    await kafka.createTopics(topicDefinitions(copyConfig).filter((t) => t.topic === copyTopic))
    await makeGeneration(options, kafka, topics.control)
    say(`filling the source topics with ${options.events} events`)
    const load = await preload(kafka, topics, options.events, Date.now(), signal)
    const failures: string[] = []
    const attempt = async (
      what: string,
      measure: () => Promise<Throughput | null>,
    ): Promise<Throughput | null> => {
      say(`measuring ${what}`)
      try {
        return await measure()
      } catch (error) {
        if (signal.aborted || !(error instanceof FreshetError)) throw error
        failures.push(`${what}: ${error.message}`)
        return null
      }
    }
    const bare = (name: string, from: readonly string[]): Promise<Throughput | null> =>
      attempt(`the bare loop over ${name}`, () =>
        measureBareLoop(options, kafka, name, from, copyTopic),
      )
    const alone = (role: MeasuredRole, total: number, done: Done): Promise<Throughput | null> =>
      attempt(role, () => measureRole(options, role, total, done))

    const sources = await bare('sources', [topics.impressions, topics.clicks])
    const ingest = await alone('ingest', load.events, async (child) =>
      sumOf(await child.metrics(), 'freshet_events_total'),
    )
    const events = options.isQuick ? sources : await bare('events', [topics.events])
    const ends = await kafka.offsets(topics.events)
    const joiner = await alone('joiner', await recordsIn(kafka, topics.events), async (child) =>
      doneByLag(await child.metrics(), ends),
    )
    const examples = options.isQuick ? sources : await bare('examples', [topics.examples])
    const learner = await alone('learner', load.clicks, async (child) =>
      sumOf(await child.metrics(), 'freshet_stage_delay_seconds_count', { stage: 'learner' }),
    )
    return {
      ...{ load, failures, roles: { ingest, joiner, learner } },
      bareLoops: { ingest: sources, joiner: events, learner: examples },
    }
  } finally {
    await kafka.close()
  }
}

/** The controller makes it when there is none; it is not needed after that. */
async function makeGeneration(
  { servers, signal }: BacklogOptions,
  kafka: KafkaClient,
  controlTopic: string,
): Promise<void> {
  const child = await servers.start({
    name: 'controller',
    args: ['controller'],
    prefix,
    core: null,
  })
  await until('the bootstrap generation', readyMs, signal, async () => {
    child.check()
    return (await recordsIn(kafka, controlTopic)) > 0
  })
  await child.stop()
}

async function measureRole(
  options: BacklogOptions,
  role: MeasuredRole,
  total: number,
  done: Done,
): Promise<Throughput | null> {
  const { servers, cores, profileDir } = options
  const child = await servers.start({
    ...{ name: role, args: [role], prefix, core: cores.measured },
    settings: ['learner.evaluationSample=0', 'log.level=warn'],
    nodeOptions:
      profileDir === null
        ? []
        : [
            '--cpu-prof',
            `--cpu-prof-dir=${path.resolve(profileDir)}`,
            `--cpu-prof-name=${role}.cpuprofile`,
          ],
  })
  try {
    await until(`${role} serves metrics`, readyMs, options.signal, async () => {
      child.check()
      return child.isReady()
    })
    return await watch({ ...options, child, total, done: () => done(child) })
  } finally {
    await child.stop()
  }
}

async function measureBareLoop(
  options: BacklogOptions,
  kafka: KafkaClient,
  name: string,
  from: readonly string[],
  to: string,
): Promise<Throughput | null> {
  const { servers, cores } = options
  const before = await recordsIn(kafka, to)
  const start: ChildToStart = {
    ...{ name: `bare-loop-${name}`, prefix, core: cores.measured },
    args: [
      'bench',
      'bare-loop',
      '--to',
      to,
      '--group',
      `${prefix}.bare-${name}`,
      '--from',
      ...from,
    ],
  }
  const child = await servers.start(start)
  try {
    const done = async (): Promise<number> => (await recordsIn(kafka, to)) - before
    const times = { warmUpMs: bareLoopWarmUpMs, limitMs: bareLoopMs }
    return await watch({ child, signal: options.signal, total: Infinity, done, ...times })
  } finally {
    await child.stop()
  }
}

/** Offsets: markers of transactions are among them. */
async function recordsIn(kafka: KafkaClient, topic: string): Promise<number> {
  const offsets = await kafka.offsets(topic)
  return offsets.reduce((sum, { low, high }) => sum + high - low, 0)
}

/** From how far a role says it is from the end of each partition; asking the broker would wait for open transactions. */
function doneByLag(
  series: readonly Series[],
  ends: readonly { readonly partition: number; readonly high: number }[],
): number {
  const lags = series.filter(({ name }) => name === 'freshet_consumer_lag_records')
  return ends.reduce((sum, { partition, high }) => {
    const lag = lags.find(({ labels }) => labels['partition'] === String(partition))
    return lag === undefined ? sum : sum + high - lag.value
  }, 0)
}
