import path from 'node:path'
import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import {
  readLocalInstance,
  removeLocalInstance,
  writeLocalInstance,
} from '../runtime/local-instance.ts'
import { createLogger } from '../runtime/logger.ts'
import type { Logger } from '../runtime/ports.ts'
import { RecallClient } from '../runtime/recall-client.ts'
import { openGeneratedDays, openGenerator } from '../runtime/replay/generator-source.ts'
import { openPositions } from '../runtime/replay/positions.ts'
import { replay, type ReplayProgress } from '../runtime/replay/replayer.ts'
import type { ReplaySource } from '../runtime/replay/source.ts'
import { whenAborted } from '../runtime/when-aborted.ts'
import { createGenerator } from '../streams/generator/generator.ts'
import type { DemoOptions } from './commands/demo.ts'
import { recallClientOptions } from './commands/recall.ts'
import { mountConsole } from './console.ts'
import { DayTurns } from './day-turns.ts'
import { clickAsUser, describeDemoClick } from './demo-click.ts'
import { duration } from './duration.ts'
import { addressesOf, localConfig, type Input } from './input.ts'
import { ReportWatch } from './report-watch.ts'
import { openContext, type RoleContext } from './role-context.ts'
import { StartedRoles } from './started-roles.ts'
import { stopSignal } from './stop-signal.ts'
import { startTemporaryServers, type TemporaryServers } from './temporary-servers.ts'

const dayMs = 86_400_000
/** Events per second of event time: a day of the time-lapse has some 35,000. */
const lapseRate = 0.4
const progressEveryMs = 5_000
const liveRate = 20

/**
 * `freshet demo`: the days before today at full speed, each with its full update and its switch, then the generated world as it is now,
 * and one click in it. In servers and folders of its own, which are gone afterwards.
 */
export async function runDemo(options: DemoOptions): Promise<void> {
  const startedMs = Date.now()
  const log = createLogger({ level: 'error', format: 'text', write: say })
  if (readLocalInstance() !== null) {
    const message = 'freshet runs in this folder already (npm start): stop it first'
    throw new FreshetError('USAGE_INVALID', message)
  }
  const stop = stopSignal((message) => say(`${message}\n`))
  say('starting Kafka and Redis, for this demo alone\n')
  const servers = await startTemporaryServers('demo', log)
  try {
    await withRoles(configOf('max', servers), log, stop, (context) => timeLapse(context, options))
    if (!stop.aborted) {
      await withRoles(configOf(1, servers), log, stop, async (context, url) => {
        await live(context, options, url, startedMs)
      })
    }
  } finally {
    await servers.close()
  }
}

function say(text: string): void {
  process.stdout.write(text)
}

function configOf(speed: Input['speed'], { dir, broker, redis }: TemporaryServers): Config {
  const settings = {
    stateDir: path.join(dir, 'state'),
    'artifacts.dir': path.join(dir, 'artifacts'),
    'metrics.port': 0,
    // Before those of the environment: what is there belongs to somebody else.
    'kafka.brokers': JSON.stringify([broker.bootstrap]),
    'redis.url': redis.url,
  }
  const set = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
  return localConfig(
    { profile: 'days', speed },
    { set },
    { brokers: broker.bootstrap, redisUrl: redis.url },
  )
}

/** Every role while `use` lasts. */
async function withRoles(
  config: Config,
  log: Logger,
  stop: AbortSignal,
  use: (context: RoleContext, url: string | null) => Promise<void>,
): Promise<void> {
  const done = new AbortController()
  const signal = AbortSignal.any([stop, done.signal])
  const opened = await openContext(config, log, signal)
  try {
    const context = { ...opened.context, signal }
    const roles = new StartedRoles(context, () => done.abort())
    const closeConsole = await mountConsole(opened)
    try {
      await use(context, opened.operators?.url ?? null)
    } finally {
      done.abort()
      await closeConsole?.()
      await roles.ended
    }
  } finally {
    await opened.close()
  }
}

/** Days that end with the last midnight. */
async function timeLapse(context: RoleContext, { days }: DemoOptions): Promise<void> {
  const { kafka, topics, log, signal, clock } = context
  const generator = createGenerator({ eventsPerSecond: lapseRate })
  const firstDayMs = (Math.floor(clock.nowMs() / dayMs) - days) * dayMs
  const reports = await ReportWatch.open(kafka, topics.reports, log)
  const turns = await DayTurns.open(context, reports)
  let hits = { hitsAt50: 0, cases: 0 }
  const onDayEnd = async (day: string): Promise<void> => {
    if ((await turns.dayEnded(day, signal)) === null) return
    const made = turns.fullUpdates.at(-1)
    const now = reports.learned?.figures.all ?? hits
    const recall = (now.hitsAt50 - hits.hitsAt50) / Math.max(1, now.cases - hits.cases)
    hits = now
    say(
      `${day}  ${(made?.examples ?? 0).toLocaleString('en')} clicks, each scored before it was learned: recall@50 ${recall.toFixed(3)}; full update ${(made?.seconds ?? 0).toFixed(1)} s, generation ${turns.live ?? 'none'} live\n`,
    )
  }
  try {
    await replayed(context, openGeneratedDays(generator, days, firstDayMs), 'max', {
      onDayEnd,
      onEnd: (eventTimeMs) => turns.learntThrough(eventTimeMs, signal),
      onProgress: saidNowAndThen(),
    })
  } finally {
    await turns.close()
    await reports.close()
  }
}

/** A sign of life while a day passes. */
function saidNowAndThen(): (now: ReplayProgress) => void {
  let saidMs = performance.now()
  return ({ lastEventTimeMs, etaMs }) => {
    if (performance.now() < saidMs + progressEveryMs) return
    saidMs = performance.now()
    const left = etaMs === null ? '' : `, ${duration(etaMs)} left`
    say(`  it is ${new Date(lastEventTimeMs).toISOString().slice(0, 16)}Z there${left}\n`)
  }
}

function replayed(
  { kafka, topics, clock, config, signal }: RoleContext,
  source: ReplaySource,
  speed: Input['speed'],
  hooks: Pick<Parameters<typeof replay>[0], 'onDayEnd' | 'onEnd' | 'onProgress'> = {},
): Promise<unknown> {
  return replay({
    ...{ kafka, topics, clock, signal, source, speed, ...hooks },
    positions: openPositions(config.stateDir),
    windowMs: config.learner.syncEventMs,
  })
}

async function live(
  context: RoleContext,
  { user, exit }: DemoOptions,
  url: string | null,
  startedMs: number,
): Promise<void> {
  const { kafka, topics, clock, config, signal } = context
  const generator = createGenerator({ eventsPerSecond: liveRate })
  const ending = new AbortController()
  const input = replayed(
    { ...context, signal: AbortSignal.any([signal, ending.signal]) },
    openGenerator({ generator, clock, isLive: true }),
    1,
  )
  const client = await RecallClient.connect(recallClientOptions(config))
  const producer = await kafka.producer()
  try {
    say(`now: the same users, ${liveRate} events a second\n\n`)
    const click = await clickAsUser({ client, producer, topics }, user)
    say(`${describeDemoClick(click)}\n\n`)
    say(`that was ${Math.round((Date.now() - startedMs) / 1_000)} s in all. `)
    if (exit === true) return say('\n')
    writeLocalInstance({ pid: process.pid, metricsUrl: url, settings: addressesOf(config) })
    const commands = [
      `freshet explain --user ${user}`,
      `freshet recall --user ${user} -k 10`,
      'freshet status',
    ]
    say('It goes on until Ctrl-C.\n')
    if (url !== null) say(`look at it in a browser: ${url}/console/\n`)
    say('or, in another terminal, in this folder:\n')
    for (const command of commands) say(`  npx ${command}\n`)
    await whenAborted(signal).promise
  } finally {
    removeLocalInstance()
    ending.abort()
    await input
    await producer.close()
    await client.close()
  }
}
