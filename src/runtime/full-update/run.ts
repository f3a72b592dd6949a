import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { setImmediate as yieldToOthers } from 'node:timers/promises'
import { FreshetError, messageOf } from '../../errors.ts'
import type { Example } from '../../records/types.ts'
import { expectTrainable, FullUpdate } from '../../streams/full-update.ts'
import type { FullResult } from '../../streams/full-update.ts'
import { openArchive } from '../archive/archive.ts'
import type { Archive, DaySeal } from '../archive/archive.ts'
import { shuffleDay } from '../archive/shuffle.ts'
import type { ShuffledDay } from '../archive/shuffle.ts'
import { openEngine } from '../engines/index.ts'
import { openDirectoryStore } from '../generation/artifact-store.ts'
import type { ArtifactStore } from '../generation/artifact-store.ts'
import {
  fullStateOf,
  generationOf,
  loadGeneration,
  loadManifest,
  verifyGeneration,
  writeGeneration,
} from '../generation/generation.ts'
import type { GenerationManifest } from '../generation/manifest.ts'
import { placeOf } from '../generation/verified.ts'
import type { Logger } from '../ports.ts'
import { FullUpdateCheckpoints } from './checkpoint.ts'
import type { FullUpdateHooks, FullUpdateJob, FullUpdateOutcome } from './job.ts'
import { fullOptions, seedOf } from './plan.ts'

/** Between looking at the clock and the signal. */
const sliceExamples = 2_048
const progressMs = 250

/**
 * The full update of a day, from files alone: the parent's parameters, exactly the day's examples in one random order, once, all
 * parameters trained; then the generation is written. It goes on from its newest checkpoint, and a generation that is there
 * already is checked and returned. The same job gives the same bytes, however often it was interrupted.
 * @throws FreshetError GENERATION_INVALID, GENERATION_FROZEN, FILE_MISSING, FILE_INVALID; ABORTED by the signal, after a checkpoint
 */
export async function runFullUpdate(
  job: FullUpdateJob,
  hooks: FullUpdateHooks,
  log: Logger,
): Promise<FullUpdateOutcome> {
  const startedAt = performance.now()
  const store = openDirectoryStore(job.artifactsDir)
  if (await store.exists(placeOf(job.generation, 'manifest.json'))) return outcomeOf(store, job)
  const archive = openArchive(store, log)
  const seal = await sealOf(archive, job.day)
  const parent = await parentOf(store, job)
  const dir = path.join(job.stateDir, 'full-update', job.day)
  const checkpoints = new FullUpdateCheckpoints(
    path.join(dir, 'checkpoints'),
    keyOf(job, seal, parent),
    log,
  )
  const day = await shuffleDay(archive.read(job.day), {
    ...{ seed: seedOf(job), bytesMax: job.full.shuffleBytesMax },
    spillDir: path.join(dir, 'shuffled'),
  })
  let trained: Trained
  try {
    if (day.count !== seal.examples) {
      const why = `the archive holds ${day.count} examples of ${job.day}, its seal says ${seal.examples}`
      throw new FreshetError('FILE_INVALID', why)
    }
    trained = await train({ store, archive, job, hooks, checkpoints, day, log, startedAt })
  } finally {
    await day.close()
  }
  const manifest = await write(store, job, trained)
  await fs.rm(dir, { recursive: true, force: true })
  return asOutcome(manifest)
}

/** @throws FreshetError GENERATION_INVALID with what to do about it */
async function outcomeOf(store: ArtifactStore, job: FullUpdateJob): Promise<FullUpdateOutcome> {
  try {
    return asOutcome(await verifyGeneration(store, job.generation))
  } catch (cause) {
    const place = path.join(job.artifactsDir, 'generations', job.generation)
    throw new FreshetError(
      'GENERATION_INVALID',
      `${messageOf(cause)}. It was made before and has been damaged since: remove ${place} to have it made again`,
      { cause },
    )
  }
}

async function sealOf(archive: Archive, day: string): Promise<DaySeal> {
  const seal = await archive.readSeal(day)
  if (seal?.examples === 0) throw new FreshetError('FILE_INVALID', `day ${day} has no examples`)
  if (seal !== null) return seal
  const days = await archive.days()
  const why = days.includes(day)
    ? 'is not sealed yet: examples of it may still come'
    : `is not in the archive, which has ${days.length === 0 ? 'no day yet' : `${days[0]!} to ${days.at(-1)!}`}`
  throw new FreshetError('FILE_MISSING', `day ${day} ${why}`)
}

/** An example trains once in a lineage, so days go forward. */
async function parentOf(store: ArtifactStore, { day, parent }: FullUpdateJob) {
  const manifest = await loadManifest(store, parent)
  if (manifest.day !== null && manifest.day >= day) {
    throw new FreshetError(
      'GENERATION_INVALID',
      `Generation ${parent} has learnt ${manifest.day} already: it cannot be the parent of ${day}`,
    )
  }
  expectTrainable(manifest.model, `Generation ${parent}`)
  return manifest
}

/** Everything that the result depends on. */
function keyOf(job: FullUpdateJob, seal: DaySeal, parent: GenerationManifest): string {
  const { generation, engine, seed, full, learner } = job
  const { checkpointMs: _c, shuffleBytesMax: _s, ...settings } = full
  // Changes with what a checkpoint holds: one of before is then of no use.
  const layout = 2
  const all = { layout, generation, engine, seed, settings, learner, seal, parent: parent.files }
  return createHash('sha256').update(JSON.stringify(all)).digest('hex')
}

interface Trained {
  readonly result: FullResult
  readonly batch: number
  readonly examples: number
  readonly spentMs: number
}

interface Training {
  readonly store: ArtifactStore
  readonly archive: Archive
  readonly job: FullUpdateJob
  readonly hooks: FullUpdateHooks
  readonly checkpoints: FullUpdateCheckpoints
  readonly day: ShuffledDay
  readonly log: Logger
  /** On the clock of `performance`. */
  readonly startedAt: number
}

async function train(training: Training): Promise<Trained> {
  const { store, archive, job, hooks, checkpoints, day, log } = training
  const parent = await loadGeneration(store, job.parent, { for: 'training' })
  const catalogue = await archive.readCatalogue(job.day)
  const options = fullOptions(job, day.count)
  const checkpoint = await checkpoints.newest()
  if (checkpoint !== null) {
    const { trained } = checkpoint
    log.info({ day: job.day, trained, of: day.count }, 'the full update goes on from a checkpoint')
  }
  const engine = openEngine(job.engine)
  const setup = { engine, parent: fullStateOf(parent), catalogue, options }
  const update = await FullUpdate.open(setup, checkpoint?.snapshot)
  try {
    const before = checkpoint?.spentMs ?? 0
    const spentMs = (): number => before + performance.now() - training.startedAt
    if (update.observes) {
      for await (const slice of slices(day.examples(0))) {
        if (hooks.signal.aborted) throw stopped(job)
        update.observe(slice)
        await yieldToOthers()
      }
    }
    await feed(training, update, spentMs)
    const result = await update.finish()
    return { result, batch: options.batch, examples: day.count, spentMs: spentMs() }
  } finally {
    await update.close()
  }
}

/** Trains on what the update has not had yet, with progress and checkpoints. */
async function feed(training: Training, update: FullUpdate, spentMs: () => number): Promise<void> {
  const { job, hooks, checkpoints, day } = training
  const { signal } = hooks
  const startedAt = performance.now()
  const from = update.trained
  let toldAt = -Infinity
  let savedAt = startedAt
  const save = async () => {
    const snapshot = update.snapshot()
    await checkpoints.write({ snapshot, trained: update.trained, spentMs: spentMs() })
    savedAt = performance.now()
  }
  for await (const slice of slices(day.examples(from))) {
    if (signal.aborted) {
      await save()
      throw stopped(job)
    }
    const now = performance.now()
    if (now - toldAt >= progressMs) {
      toldAt = now
      const done = update.trained - from
      const etaMs = done === 0 ? null : ((now - startedAt) / done) * (day.count - update.trained)
      hooks.onProgress({ share: update.trained / day.count, etaMs, examples: update.trained })
    }
    if (now - savedAt >= job.full.checkpointMs && update.trained > from) await save()
    await update.train(slice)
    // The plain engine never waits for anything, and the signal comes as an event.
    await yieldToOthers()
  }
}

function stopped({ day }: FullUpdateJob): FreshetError {
  return new FreshetError('ABORTED', `the full update of ${day} was stopped`)
}

async function* slices(
  examples: AsyncIterable<readonly Example[]>,
): AsyncGenerator<readonly Example[]> {
  for await (const some of examples) {
    for (let from = 0; from < some.length; from += sliceExamples) {
      yield some.slice(from, from + sliceExamples)
    }
  }
}

async function write(
  store: ArtifactStore,
  job: FullUpdateJob,
  { result, batch, examples, spentMs }: Trained,
): Promise<GenerationManifest> {
  const { state, itemVectors, figures } = result
  const { steps, loss, gate } = figures
  const { generation: id, day, parent, cuts } = job
  const facts = { id, kind: 'full', parent, day, createdAtMs: Date.now(), seed: null } as const
  const training = { examples, steps, batch, seconds: Math.round(spentMs) / 1_000, loss }
  return writeGeneration(
    store,
    generationOf({ ...facts, cuts, training, gate }, state, itemVectors),
  )
}

function asOutcome({ id, training, gate }: GenerationManifest): FullUpdateOutcome {
  if (training === null || gate === null) {
    throw new FreshetError(
      'GENERATION_INVALID',
      `Generation ${id} is not the work of a full update`,
    )
  }
  return { generation: id, examples: training.examples, verdict: gate.verdict, why: gate.why }
}
