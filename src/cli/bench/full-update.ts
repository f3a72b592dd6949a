import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/schema.ts'
import { FreshetError } from '../../errors.ts'
import { fullGenerationId } from '../../runtime/full-update/job.ts'
import { batchOf } from '../../runtime/full-update/plan.ts'
import { openDirectoryStore } from '../../runtime/generation/artifact-store.ts'
import {
  bootstrapGeneration,
  loadManifest,
  writeGeneration,
} from '../../runtime/generation/generation.ts'
import type { FullUpdateBenchOptions } from '../commands/bench.ts'
import { generatedModel, writeGeneratedDay } from './generated-days.ts'
import { table } from './report.ts'
import { usageOf } from './usage.ts'

interface FullUpdateFigure {
  readonly examples: number
  /** Reading, shuffling, training and the vectors of all items; not the start of the process. */
  readonly seconds: number
  readonly examplesPerSecond: number
  readonly peakRssBytes: number
}

interface FullUpdateReport {
  readonly startedAt: string
  readonly node: string
  readonly cpu: string
  readonly cores: number
  readonly loadAverage: number
  readonly freshet: readonly FullUpdateFigure[]
  readonly pytorch: readonly FullUpdateFigure[] | null
  /** Time an example of the largest size over that of the smallest. */
  readonly timeAnExampleRatio: number
}

const day = '2026-01-01'
const parent = 'start'
const main = fileURLToPath(new URL('../../main.js', import.meta.url))
const pytorchScript = fileURLToPath(
  new URL('../../../bench/pytorch/full_update.py', import.meta.url),
)
const watchMs = 50

/** `freshet bench full-update`: each size in a process of its own, on an archive that is written first and removed at the end. */
export async function runFullUpdateBench(options: FullUpdateBenchOptions): Promise<void> {
  const say = (text: string): void => void process.stderr.write(`${text}\n`)
  const sizes = [...options.examples].sort((a, b) => a - b)
  const about = {
    startedAt: new Date().toISOString(),
    ...{ node: process.versions.node, cpu: os.cpus()[0]?.model ?? 'unknown' },
    ...{ cores: os.availableParallelism(), loadAverage: os.loadavg()[0] ?? 0 },
  }
  const freshet: FullUpdateFigure[] = []
  const pytorch: FullUpdateFigure[] = []
  for (const examples of sizes) {
    const dir = await mkdtemp(path.join(os.tmpdir(), 'freshet-bench-'))
    try {
      const config = configIn(dir)
      say(`writing ${count(examples)} examples`)
      await prepare(config, examples)
      say(`training on ${count(examples)} examples`)
      freshet.push(await measure(config, dir))
      if (options.pytorch === undefined) continue
      say(`training on ${count(examples)} examples with PyTorch`)
      pytorch.push(await measurePytorch(config, examples, options.pytorch))
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  }
  const report: FullUpdateReport = {
    ...about,
    freshet,
    pytorch: options.pytorch === undefined ? null : pytorch,
    timeAnExampleRatio: freshet[0]!.examplesPerSecond / freshet.at(-1)!.examplesPerSecond,
  }
  process.stdout.write(describe(report))
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`)
  }
}

function configIn(dir: string): Config {
  const text = JSON.stringify({
    ...{ stateDir: `${dir}/state`, artifacts: { dir: `${dir}/artifacts` } },
    model: generatedModel,
  })
  return loadConfig({ texts: [{ name: 'bench', text }], environment: {}, settings: [] })
}

async function prepare(config: Config, examples: number): Promise<void> {
  const store = openDirectoryStore(config.artifacts.dir)
  const { seed, engine: _, ...model } = config.model
  await writeGeneration(store, bootstrapGeneration(parent, model, seed, 0))
  await writeGeneratedDay(store, day, examples)
}

async function measure(config: Config, dir: string): Promise<FullUpdateFigure> {
  const file = path.join(dir, 'config.json')
  await writeFile(file, JSON.stringify(config))
  const args = [main, 'full-update', '--day', day, '--parent', parent, '--config', file]
  const child = spawn(process.execPath, args, { cwd: dir, stdio: ['ignore', 'ignore', 'inherit'] })
  let peakRssBytes = 0
  const watch = setInterval(() => {
    void usageOf(child.pid ?? 0).then((usage) => {
      peakRssBytes = Math.max(peakRssBytes, usage?.peakRssBytes ?? 0)
    })
  }, watchMs)
  const code = await new Promise((resolve) => child.once('close', resolve))
  clearInterval(watch)
  if (code !== 0) {
    throw new FreshetError('SERVER_FAILED', `freshet full-update ended with ${String(code)}`)
  }
  const store = openDirectoryStore(config.artifacts.dir)
  const { training } = await loadManifest(store, fullGenerationId(day, parent))
  const { examples, seconds } = training!
  return { examples, seconds, examplesPerSecond: examples / seconds, peakRssBytes }
}

/** @param python an interpreter that has numpy, fastavro, safetensors and torch */
async function measurePytorch(
  config: Config,
  examples: number,
  python: string,
): Promise<FullUpdateFigure> {
  const { full, learner, model, artifacts } = config
  const batch = batchOf(full.batch, examples)
  const settings = JSON.stringify({ full, learner, model, day, parent, batch, threads: 1 })
  const { stdout } = await promisify(execFile)(python, [pytorchScript, artifacts.dir, settings])
  return JSON.parse(stdout) as FullUpdateFigure
}

function describe(report: FullUpdateReport): string {
  const { freshet, pytorch, cpu, cores, loadAverage, timeAnExampleRatio } = report
  const rows = freshet.map((ours, i) => {
    const theirs = pytorch?.[i]
    const own = [
      count(ours.examples),
      ours.seconds.toFixed(1),
      count(ours.examplesPerSecond),
      (ours.peakRssBytes / 2 ** 20).toFixed(0),
    ]
    if (theirs === undefined) return own
    const times = ours.examplesPerSecond / theirs.examplesPerSecond
    return [...own, count(theirs.examplesPerSecond), times.toFixed(2)]
  })
  const head = ['examples', 'seconds', 'examples/s', 'peak MiB']
  return [
    `freshet bench full-update, ${report.startedAt}, node ${report.node}, ${cores} cores of ${cpu}, load ${loadAverage.toFixed(1)}`,
    '',
    ...table(pytorch === null ? head : [...head, 'PyTorch examples/s', 'times as fast'], rows),
    '',
    `time an example, largest over smallest: ${timeAnExampleRatio.toFixed(3)}`,
    '',
  ].join('\n')
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
