import { mkdir, writeFile } from 'node:fs/promises'
import os from 'node:os'
import { FreshetError, messageOf } from '../../errors.ts'
import { createLogger } from '../../runtime/logger.ts'
import type { PipelineBenchOptions } from '../commands/bench.ts'
import { stopSignal } from '../stop-signal.ts'
import { measureBacklogs, type BacklogFigures } from './backlog.ts'
import { openBenchServers, type BenchServers } from './bench-servers.ts'
import { findCores, pin, type Cores } from './cores.ts'
import { measureGenerator } from './generator.ts'
import { measureLive, type LiveFigures } from './live.ts'
import { notesOn, printReport, targetsOf, type PipelineReport } from './report.ts'
import { measureStep, type StepFigure } from './step.ts'

interface Plan {
  readonly generatorMs: number
  readonly stepMs: number
  readonly stepBatches: readonly number[]
  readonly backlogEvents: number
  readonly backlogWarmUpMs: number
  readonly backlogLimitMs: number
  readonly liveWarmUpMs: number
  readonly liveMs: number
}

/** About three minutes where nothing else runs; every part has a limit of its own. */
const full: Plan = {
  generatorMs: 8_000,
  stepMs: 8_000,
  stepBatches: [256, 1_024],
  backlogEvents: 500_000,
  backlogWarmUpMs: 2_000,
  backlogLimitMs: 30_000,
  liveWarmUpMs: 10_000,
  liveMs: 35_000,
}

const quick: Plan = {
  generatorMs: 2_000,
  stepMs: 2_000,
  stepBatches: [256],
  backlogEvents: 200_000,
  backlogWarmUpMs: 500,
  backlogLimitMs: 8_000,
  liveWarmUpMs: 4_000,
  liveMs: 8_000,
}

const liveEventsPerSecond = 1_000
/** Of generated time, fixed: the same events in every run. */
const generatorFromMs = Date.UTC(2026, 0, 5, 9)

/**
 * `freshet bench pipeline`: with servers, topics and folders of its own, gone when it ends.
 * @throws FreshetError ABORTED by Ctrl-C, and what keeps the servers from starting
 */
export async function runPipelineBench(options: PipelineBenchOptions): Promise<void> {
  const startedMs = performance.now()
  const startedAt = new Date().toISOString()
  const loadAverage = os.loadavg()[0] ?? 0
  const plan = options.quick === true ? quick : full
  const say = (message: string): void => void process.stderr.write(`${message}\n`)
  const signal = stopSignal(say)
  const cores = await findCores()
  if (options.profile !== undefined) await mkdir(options.profile, { recursive: true })

  await pin(process.pid, [cores.measured])
  say('measuring the generator and the step alone')
  const generator = await measureGenerator(generatorFromMs, plan.generatorMs, signal)
  const step: StepFigure[] = []
  for (const batch of plan.stepBatches) {
    step.push(await measureStep(batch, plan.stepMs / plan.stepBatches.length, signal))
  }

  const { backlog, live, notes } = await measurePipeline(options, plan, cores, say, signal)
  const targets = backlog === null ? [] : targetsOf(backlog)
  const report: PipelineReport = {
    ...{ startedAt, node: process.versions.node },
    system: {
      ...{ platform: `${process.platform} ${process.arch}`, cpu: os.cpus()[0]?.model ?? 'unknown' },
      ...{ cores: os.availableParallelism(), isPinned: cores.measured !== null, loadAverage },
    },
    ...{ isQuick: options.quick === true, generator, step, backlog, targets, live },
    notes: [...(backlog === null ? [] : notesOn(targets, backlog)), ...notes],
    tookSeconds: (performance.now() - startedMs) / 1_000,
  }
  process.stdout.write(printReport(report))
  if (options.json !== undefined)
    await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`)
}

interface Measured {
  readonly backlog: BacklogFigures | null
  readonly live: LiveFigures | null
  readonly notes: readonly string[]
}

/** A part that fails costs its figures, not those of the others. */
async function measurePipeline(
  options: PipelineBenchOptions,
  plan: Plan,
  cores: Cores,
  say: (message: string) => void,
  signal: AbortSignal,
): Promise<Measured> {
  const log = createLogger({
    level: 'warn',
    format: 'text',
    write: (line) => process.stderr.write(line),
  })
  const notes: string[] = []
  const attempt = async <T>(what: string, measure: () => Promise<T>): Promise<T | null> => {
    try {
      return await measure()
    } catch (error) {
      if (signal.aborted || !(error instanceof FreshetError)) throw error
      notes.push(`${what} failed: ${messageOf(error)}`)
      return null
    }
  }
  say('starting Kafka and Redis')
  const servers: BenchServers = await openBenchServers(options, cores, log)
  try {
    const shared = { servers, cores, log, signal, say }
    await pin(process.pid, [cores.others])
    const backlog = await attempt('measuring roles alone', () =>
      measureBacklogs({
        ...shared,
        events: plan.backlogEvents,
        warmUpMs: plan.backlogWarmUpMs,
        limitMs: plan.backlogLimitMs,
        profileDir: options.profile ?? null,
        isQuick: plan === quick,
      }),
    )
    await pin(process.pid, cores.all)
    await servers.pin(cores.all)
    const live = await attempt('measuring delays', () =>
      measureLive({
        ...shared,
        eventsPerSecond: liveEventsPerSecond,
        warmUpMs: plan.liveWarmUpMs,
        measureMs: plan.liveMs,
      }),
    )
    return { backlog, live, notes }
  } finally {
    await servers.close()
  }
}
