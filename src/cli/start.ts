import { removeLocalInstance, writeLocalInstance } from '../runtime/local-instance.ts'
import { createLogger } from '../runtime/logger.ts'
import { openPositions } from '../runtime/replay/positions.ts'
import { replay } from '../runtime/replay/replayer.ts'
import type { StartOptions } from './commands/start.ts'
import { mountConsole } from './console.ts'
import { DayTurns } from './day-turns.ts'
import { waitUntilDrained } from './drained.ts'
import { addressesOf, localConfig, localDataDir, openInput, type Input } from './input.ts'
import { LiveView } from './live-view.ts'
import { startLocalServers } from './local-servers.ts'
import { claimProfile } from './profile.ts'
import { Observers } from './observers.ts'
import { ReportWatch, type Learned } from './report-watch.ts'
import { openContext, type RoleContext } from './role-context.ts'
import { writeReport } from './run-report.ts'
import { StartedRoles } from './started-roles.ts'
import { stopSignal } from './stop-signal.ts'
import { Screen } from './screen.ts'

/** `npm start`: servers, roles, input and the live status in one process, until Ctrl-C or, with --exit, the end of the input. */
export async function runStart(options: StartOptions): Promise<void> {
  const startedMs = Date.now()
  const screen = new Screen(process.stdout)
  const level = screen.isInteractive ? 'warn' : 'info'
  const log = createLogger({ level, format: 'text', write: (line) => screen.log(line) })
  const stop = stopSignal((message) => screen.log(`${message}\n`))
  const input = await openInput(options)
  const dataDir = localDataDir(localConfig(input, options))
  claimProfile(input.profile, dataDir)
  screen.log('starting Kafka and Redis\n')
  const servers = await startLocalServers(process.env, dataDir, log)
  try {
    const config = localConfig(input, options, servers)
    const opened = await openContext(config, log, stop)
    const metricsUrl = opened.operators?.url ?? null
    let closeConsole: (() => Promise<void>) | null = null
    try {
      writeLocalInstance({ pid: process.pid, metricsUrl, settings: addressesOf(config) })
      const { context } = opened
      // Stopped while it waited for Kafka: there is nothing that could be played.
      if (!stop.aborted) closeConsole = await mountConsole(opened)
      const consoleUrl = closeConsole === null ? null : `${metricsUrl}/console/`
      if (!stop.aborted)
        await play({ options, input, context, screen, metricsUrl, consoleUrl, startedMs }, stop)
    } finally {
      removeLocalInstance()
      await closeConsole?.()
      await opened.close()
    }
  } finally {
    await servers.stop()
  }
  screen.log('stopped; the next start goes on from here, npx freshet reset forgets\n')
}

interface Run {
  readonly options: StartOptions
  readonly input: Input
  readonly context: RoleContext
  readonly screen: Screen
  readonly metricsUrl: string | null
  readonly consoleUrl: string | null
  readonly startedMs: number
}

async function play(run: Run, stop: AbortSignal): Promise<void> {
  const { context, options, input, startedMs } = run
  const done = new AbortController()
  const signal = AbortSignal.any([stop, done.signal])
  const reports = await ReportWatch.open(context.kafka, context.topics.reports, context.log)
  const turns = await DayTurns.open(context, reports)
  const view = new LiveView({ ...run, source: input.source, daily: () => turns.status })
  const roles = new StartedRoles({ ...context, signal }, () => done.abort())
  const observers = options.report === undefined ? null : await observe(run, turns)
  const inputEnds = playInput({ run, view, turns, reports, roles, observers }, signal).finally(
    () => {
      if (options.exit === true) done.abort()
    },
  )
  inputEnds.catch(() => done.abort())
  view.start()
  const results = await Promise.allSettled([roles.ended, inputEnds])
  view.end()
  await observers?.stop()
  await turns.close()
  await reports.close()
  const failure = results.find((result) => result.status === 'rejected')
  if (failure !== undefined) throw failure.reason
  if (options.report === undefined || observers === null || view.latest === null) return
  await writeReport(options.report, {
    input: input.source.description,
    figures: view.latest,
    learned: results[1].status === 'fulfilled' ? results[1].value : reports.learned,
    fullUpdates: turns.fullUpdates,
    switches: turns.switches,
    probe: observers.counts,
    compared: observers.compared,
    wallSeconds: Math.round((Date.now() - startedMs) / 100) / 10,
  })
}

async function observe({ context, input }: Run, turns: DayTurns): Promise<Observers> {
  const { source, speed } = input
  const position = await openPositions(context.config.stateDir).load(source.identity)
  return Observers.start(context, turns, speed === 'max' && position === null)
}

interface Playing {
  readonly run: Run
  readonly view: LiveView
  readonly turns: DayTurns
  readonly reports: ReportWatch
  readonly roles: StartedRoles
  readonly observers: Observers | null
}

/** @returns the learner's report once everything is learnt */
async function playInput(
  { run: { context, options, input }, view, turns, reports, roles, observers }: Playing,
  signal: AbortSignal,
): Promise<Learned | null> {
  const { config, kafka, topics, clock } = context
  const progress = await replay({
    ...{ signal, kafka, topics, clock, source: input.source, speed: input.speed },
    positions: openPositions(config.stateDir),
    windowMs: config.learner.syncEventMs,
    onDayEnd: async (day) => {
      const ended = await turns.dayEnded(day, signal)
      if (ended !== null) await observers?.onDayEnded(ended)
    },
    // The last window may end with its day. That day is not to be cut, and a generation made that nobody waits for.
    onSent: async () => void (options.exit === true && (await roles.stop('compactor'))),
    onEnd: async (eventTimeMs) => {
      await turns.learntThrough(eventTimeMs, signal)
      if (turns.live !== null && !signal.aborted) await observers?.onEnd(turns.live)
    },
    onProgress: (now) => view.onReplay(now),
  })
  view.onReplay(progress)
  if (options.exit === true && !signal.aborted) {
    if (input.speed !== 'max') await waitUntilDrained(context, reports, signal)
    // Before the roles end: what they serve is then gone from the metrics.
    await view.show()
  }
  return reports.learned
}
