import { createHash } from 'node:crypto'
import path from 'node:path'
import { nearest } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import type { ModelSpec } from '../model/spec.ts'
import { openArchive } from '../runtime/archive/archive.ts'
import type { DaySeal } from '../runtime/archive/archive.ts'
import { fullGenerationId, fullUpdateJob } from '../runtime/full-update/job.ts'
import type { FullUpdateOutcome } from '../runtime/full-update/job.ts'
import { newestParent } from '../runtime/full-update/parent.ts'
import { openFullUpdateThread } from '../runtime/full-update/worker.ts'
import { openDirectoryStore } from '../runtime/generation/artifact-store.ts'
import type { ArtifactStore } from '../runtime/generation/artifact-store.ts'
import {
  bootstrapGeneration,
  listGenerations,
  loadManifest,
  removeGeneration,
  verifyGeneration,
  writeGeneration,
} from '../runtime/generation/generation.ts'
import { writtenModel } from '../runtime/generation/manifest.ts'
import type { GenerationManifest } from '../runtime/generation/manifest.ts'
import { createLogger } from '../runtime/logger.ts'
import type { BootstrapOptions } from './commands/bootstrap.ts'
import type { FullUpdateOptions } from './commands/full-update.ts'
import { effectiveConfig } from './options.ts'
import { count, everySoOften } from './progress.ts'
import { Screen } from './screen.ts'
import { stopSignal } from './stop-signal.ts'

/** `freshet full-update` */
export async function runFullUpdateCommand(options: FullUpdateOptions): Promise<void> {
  const config = effectiveConfig(options)
  const store = openDirectoryStore(config.artifacts.dir)
  await sealOf(store, options.day)
  const parent = options.parent ?? (await defaultParent(store, options.day))
  if (options.parent !== undefined) await expectGeneration(store, options.parent)
  const trainer = openTrainer(config)
  try {
    await trainer.train(options.day, parent)
  } finally {
    await trainer.close()
  }
  const id = fullGenerationId(options.day, parent)
  process.stdout.write(describeMade(await loadManifest(store, id), config))
}

/** `freshet bootstrap`: generations of the days between go again, as soon as the next one is there. */
export async function runBootstrapCommand(options: BootstrapOptions): Promise<void> {
  const config = effectiveConfig(options)
  const store = openDirectoryStore(config.artifacts.dir)
  const days = await daysBetween(store, options.days)
  const { seed, engine: _, ...model } = config.model
  const start = coldStartId(model, seed, days[0]!)
  const chain = [start]
  for (const day of days) chain.push(fullGenerationId(day, chain.at(-1)!))
  const at = await newestOf(store, chain)
  if (at === -1) {
    await writeGeneration(store, bootstrapGeneration(start, model, seed, Date.now()))
  }
  const trainer = openTrainer(config)
  try {
    for (let i = Math.max(0, at); i < days.length; i++) {
      await trainer.train(days[i]!, chain[i]!)
      await removeGeneration(store, chain[i]!)
    }
  } finally {
    await trainer.close()
  }
  const made = await verifyGeneration(store, chain.at(-1)!)
  process.stdout.write(describeMade(made, config))
  process.stdout.write(`  begin a new deployment with it: generations.first=${made.id}\n`)
}

interface Trainer {
  train(day: string, parent: string): Promise<FullUpdateOutcome>
  close(): Promise<void>
}

/** Trains in a thread of its own, so that Ctrl-C is heard at once. */
function openTrainer(config: Config): Trainer {
  const screen = new Screen(process.stderr)
  const log = createLogger({ level: 'info', format: 'text', write: (line) => screen.log(line) })
  const thread = openFullUpdateThread(log)
  const signal = stopSignal((message) => screen.log(`${message}\n`))
  return {
    async train(day, parent) {
      const job = fullUpdateJob(config, { day, parent, cuts: null })
      const show = progressOn(screen, day)
      try {
        return await thread.run(job, { onProgress: show, signal })
      } catch (cause) {
        if (!(cause instanceof FreshetError) || cause.code !== 'ABORTED') throw cause
        const message = `stopped in the middle of ${day}; the same command goes on from there`
        throw new FreshetError('ABORTED', message, { cause })
      } finally {
        screen.draw([])
        screen.end()
      }
    },
    close: () => thread.close(),
  }
}

function progressOn(screen: Screen, day: string) {
  const draw = everySoOften(screen)
  return ({
    share,
    etaMs,
    examples,
  }: {
    share: number
    etaMs: number | null
    examples: number
  }) => {
    const left = etaMs === null ? '' : `, about ${secondsOf(etaMs)} to go`
    draw(`${day}: ${Math.floor(100 * share)} %, ${count(examples)} examples${left}`)
  }
}

function describeMade(made: GenerationManifest, { artifacts }: Config): string {
  const { id, day, parent, training, gate, counts } = made
  const lines = [
    `${id} is in ${path.join(artifacts.dir, 'generations', id)}`,
    `  ${day ?? 'no day'}, from ${parent ?? 'nothing'}`,
  ]
  if (training !== null) {
    const { examples, steps, batch, seconds, loss } = training
    lines.push(
      `  ${count(examples)} examples in ${count(steps)} steps of ${batch}, ${seconds.toFixed(1)} s, loss ${loss.toFixed(3)}`,
    )
  }
  if (gate !== null) lines.push(`  gate: ${gate.verdict}, ${gate.why}`)
  lines.push(`  ${count(counts.users)} users, ${count(counts.items)} items`, '')
  return lines.join('\n')
}

async function sealOf(store: ArtifactStore, day: string): Promise<DaySeal> {
  const archive = openArchive(store)
  const seal = await archive.readSeal(day)
  if (seal !== null) return seal
  const days = await archive.days()
  if (days.includes(day)) {
    throw new FreshetError(
      'USAGE_INVALID',
      `day ${day} is not sealed: the compactor has not seen its end yet, examples of it may still come, or a backfill was stopped in it`,
    )
  }
  throw new FreshetError(
    'USAGE_INVALID',
    days.length === 0
      ? `the archive has no day ${day}, it is empty: the compactor fills it, is artifacts.dir the right one?`
      : `the archive has no day ${day}, it has ${rangeOf(days)}`,
  )
}

async function expectGeneration(store: ArtifactStore, id: string): Promise<void> {
  const ids = await listGenerations(store)
  if (ids.includes(id)) return
  const near = nearest(id, ids)
  const hint =
    near === undefined ? '`freshet generations` lists what there is' : `did you mean ${near}?`
  throw new FreshetError('USAGE_INVALID', `no generation is called ${id}; ${hint}`)
}

async function defaultParent(store: ArtifactStore, day: string): Promise<string> {
  const ids = await listGenerations(store)
  const manifests = await Promise.all(ids.map((id) => loadManifest(store, id)))
  const parent = newestParent(manifests, day)
  if (parent !== null) return parent.id
  throw new FreshetError(
    'USAGE_INVALID',
    `there is no generation that ${day} could start from: \`freshet bootstrap --days FIRST..LAST\` makes one from random parameters`,
  )
}

/** Sealed days with examples. */
async function daysBetween(
  store: ArtifactStore,
  { first, last }: BootstrapOptions['days'],
): Promise<readonly string[]> {
  const all = await openArchive(store).days()
  const days: string[] = []
  for (const day of all.filter((each) => each >= first && each <= last)) {
    if ((await sealOf(store, day)).examples > 0) days.push(day)
  }
  if (days.length > 0) return days
  const has = all.length === 0 ? 'it is empty' : `it has ${rangeOf(all)}`
  throw new FreshetError(
    'USAGE_INVALID',
    `the archive has no examples from ${first} to ${last}: ${has}`,
  )
}

/** The same days from the same random parameters have the same ids, so that a cold start that was stopped goes on. */
function coldStartId(model: ModelSpec, seed: number, firstDay: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify({ model: writtenModel(model), seed }))
    .digest('hex')
  return `bootstrap-${firstDay}-${hash.slice(0, 8)}`
}

async function newestOf(store: ArtifactStore, chain: readonly string[]): Promise<number> {
  const ids = await listGenerations(store)
  return chain.findLastIndex((id) => ids.includes(id))
}

function rangeOf(days: readonly string[]): string {
  return days.length === 1 ? days[0]! : `${days.length} days, ${days[0]!} to ${days.at(-1)!}`
}

function secondsOf(ms: number): string {
  const seconds = Math.ceil(ms / 1_000)
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`
}
