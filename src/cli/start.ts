import { writeFile } from 'node:fs/promises'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { RecallFigures } from '../model/evaluation.ts'
import { systemClock } from '../runtime/clock.ts'
import { removeLocalInstance, writeLocalInstance } from '../runtime/local-instance.ts'
import { createLogger } from '../runtime/logger.ts'
import { openGenerator } from '../runtime/replay/generator-source.ts'
import { openFiles } from '../runtime/replay/open-files.ts'
import { openPositions } from '../runtime/replay/positions.ts'
import { replay, type ReplayProgress } from '../runtime/replay/replayer.ts'
import type { ReplaySource } from '../runtime/replay/source.ts'
import { createGenerator } from '../streams/generator/generator.ts'
import type { StartOptions } from './commands/start.ts'
import { waitUntilDrained } from './drained.ts'
import { readFigures, type Figures } from './figures.ts'
import { LearnedWatch, type Learned } from './learned-watch.ts'
import { statusBlock, statusLine } from './live-status.ts'
import { startLocalServers, type LocalServers } from './local-servers.ts'
import { readConfigFile } from './options.ts'
import { claimProfile, profileConfig, profileOf, type Profile } from './profile.ts'
import { openContext, type RoleContext } from './role-context.ts'
import { roleNames } from './role-names.ts'
import { runRoles } from './roles.ts'
import { stopSignal } from './stop-signal.ts'
import { Screen } from './screen.ts'

const screenMs = 500
const lineMs = 5_000

/** `npm start`: servers, roles, input and the live status in one process, until Ctrl-C or, with --exit, the end of the input. */
export async function runStart(options: StartOptions): Promise<void> {
  const startedMs = Date.now()
  const screen = new Screen(process.stdout)
  const level = screen.isInteractive ? 'warn' : 'info'
  const log = createLogger({ level, format: 'text', write: (line) => screen.log(line) })
  const stop = stopSignal((message) => screen.log(`${message}\n`))
  const source = await openInput(options)
  const profile = profileOf(options.events)
  claimProfile(profile)
  screen.log('starting Kafka and Redis\n')
  const servers = await startLocalServers(process.env, log)
  try {
    const config = localConfig(options, profile, servers)
    const opened = await openContext(config, log, stop)
    const metricsUrl = opened.operators?.url ?? null
    try {
      writeLocalInstance({ pid: process.pid, metricsUrl, settings: settingsOf(config) })
      const { context } = opened
      // Stopped while it waited for Kafka: there is nothing that could be played.
      if (!stop.aborted)
        await play({ options, source, context, screen, metricsUrl, startedMs }, stop)
    } finally {
      removeLocalInstance()
      await opened.close()
    }
  } finally {
    await servers.stop()
  }
  screen.log('stopped; the next start goes on from here, npx freshet reset forgets\n')
}

interface Run {
  readonly options: StartOptions
  readonly source: ReplaySource
  readonly context: RoleContext
  readonly screen: Screen
  readonly metricsUrl: string | null
  readonly startedMs: number
}

async function openInput({ events, speed, rate }: StartOptions): Promise<ReplaySource> {
  if (events !== undefined) return openFiles(events, inputSeed)
  const generator = createGenerator({ eventsPerSecond: rate })
  return openGenerator({
    generator,
    clock: systemClock,
    isLive: speed === undefined || speed === 1,
  })
}

const inputSeed = 17

/** What comes with the input, then what the user says, then where the servers are. */
function localConfig(options: StartOptions, profile: Profile, servers: LocalServers): Config {
  const addresses = {
    kafka: { brokers: servers.brokers.split(',') },
    redis: { url: servers.redisUrl },
  }
  return loadConfig({
    texts: [
      ...profileConfig(profile),
      ...(options.config ?? []).map(readConfigFile),
      { name: 'local servers', text: JSON.stringify(addresses) },
    ],
    environment: process.env,
    settings: options.set ?? [],
  })
}

/** What other commands in this folder need to know. */
function settingsOf({ kafka, redis }: Config): Record<string, unknown> {
  return {
    kafka: { brokers: kafka.brokers, topicPrefix: kafka.topicPrefix, partitions: kafka.partitions },
    redis: { url: redis.url },
  }
}

async function play(run: Run, stop: AbortSignal): Promise<void> {
  const { context, source, options } = run
  const done = new AbortController()
  const signal = AbortSignal.any([stop, done.signal])
  const status = new LiveStatus(run)
  const learned = await LearnedWatch.open(context.kafka, context.topics.reports)
  const rolesEnd = runRoles({ ...context, signal }, roleNames).finally(() => done.abort())
  const inputEnds = (async () => {
    const progress = await replay({
      ...{ source, signal, kafka: context.kafka, topics: context.topics, clock: context.clock },
      speed: options.speed ?? (options.events === undefined ? 1 : 'max'),
      positions: openPositions(context.config.stateDir),
      onProgress: (now) => status.onReplay(now),
    })
    status.onReplay(progress)
    if (options.exit !== true || signal.aborted) return
    await waitUntilDrained(context, learned, signal)
    // Before the roles end: what they serve is then gone from the metrics.
    await status.show()
    done.abort()
  })().catch((error: unknown) => {
    done.abort()
    throw error
  })
  status.start()
  const results = await Promise.allSettled([rolesEnd, inputEnds])
  status.end()
  await learned.close()
  const failure = results.find((result) => result.status === 'rejected')
  if (failure !== undefined) throw failure.reason
  if (options.report !== undefined && status.latest !== null)
    await writeReport(options.report, status.latest, learned.newest, run)
}

/** Draws the block twice a second on a terminal; elsewhere a line every five seconds. */
class LiveStatus {
  readonly #run: Run
  #replay: ReplayProgress | null = null
  #before: { figures: Figures; atMs: number } | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(run: Run) {
    this.#run = run
  }

  onReplay(progress: ReplayProgress): void {
    this.#replay = progress
  }

  start(): void {
    const { screen } = this.#run
    screen.log(
      `input: ${this.#run.source.description}\nask for a recall in a second terminal: npx freshet recall --user 123 -k 10\n`,
    )
    this.#timer = setInterval(() => void this.show(), screen.isInteractive ? screenMs : lineMs)
  }

  /** As last shown. */
  get latest(): Figures | null {
    return this.#before?.figures ?? null
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#run.screen.end()
  }

  async show(): Promise<void> {
    const { context, screen, metricsUrl, source } = this.#run
    const figures = await readFigures(context.metrics)
    const atMs = performance.now()
    const input = {
      figures,
      before: this.#before?.figures ?? null,
      elapsedMs: atMs - (this.#before?.atMs ?? atMs),
      replay: this.#replay,
      input: source.description,
      metricsUrl,
    }
    this.#before = { figures, atMs }
    if (screen.isInteractive) screen.draw(statusBlock(input))
    else screen.log(`${statusLine(input)}\n`)
  }
}

async function writeReport(
  file: string,
  figures: Figures,
  learned: Learned | null,
  { startedMs, source }: Run,
): Promise<void> {
  const { visible } = figures.delays
  const report = {
    input: source.description,
    events: figures.impressions + figures.clicks,
    impressions: figures.impressions,
    clicks: figures.clicks,
    examples: figures.examples,
    learned: figures.learned,
    deadLetters: figures.deadLetters,
    deadLettersByReason: figures.deadLettersByReason,
    duplicates: figures.duplicates,
    // Over every click of the run; the live status shows the newest few thousand.
    scoredClicks: learned?.figures.all.cases ?? 0,
    recallAt50: ratio(learned?.figures.all, 'hitsAt50'),
    recallAt100: ratio(learned?.figures.all, 'hitsAt100'),
    popularity24hRecallAt50: ratio(learned?.figures.popularity24h, 'hitsAt50'),
    visibleDelayP50Ms: visible.p50Ms,
    visibleDelayP99Ms: visible.p99Ms,
    delays: figures.delays,
    generation: figures.generation,
    overrideSequence: figures.overrideSequence,
    wallSeconds: Math.round((Date.now() - startedMs) / 100) / 10,
  }
  await writeFile(file, `${JSON.stringify(report, null, 2)}\n`).catch((cause: unknown) => {
    throw new FreshetError(
      'FILE_INVALID',
      `cannot write the report to ${file}: ${messageOf(cause)}`,
      { cause },
    )
  })
}

function ratio(figures: RecallFigures | undefined, hits: 'hitsAt50' | 'hitsAt100'): number | null {
  return figures === undefined || figures.cases === 0 ? null : figures[hits] / figures.cases
}
