import path from 'node:path'
import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import { computedNames } from '../model/computed-features.ts'
import type { TowerSpec } from '../model/spec.ts'
import { frozenSides, sides } from '../model/spec.ts'
import type { ControlDocument } from '../records/types.ts'
import { readControl } from '../runtime/control.ts'
import { dayInId } from '../runtime/full-update/job.ts'
import { openDirectoryStore } from '../runtime/generation/artifact-store.ts'
import type { ArtifactStore } from '../runtime/generation/artifact-store.ts'
import { exportGeneration } from '../runtime/generation/export.ts'
import { loadManifest, writeGeneration } from '../runtime/generation/generation.ts'
import { importGeneration } from '../runtime/generation/import.ts'
import type { GenerationManifest } from '../runtime/generation/manifest.ts'
import { placeOf } from '../runtime/generation/verified.ts'
import type { ImportCommandOptions } from './commands/exchange.ts'
import type { Connected } from './connect.ts'
import { withKafka } from './connect.ts'
import { controlOf } from './generations.ts'
import { ask } from './operate.ts'
import type { Outcome } from './operate.ts'
import { effectiveConfig, type CommonOptions } from './options.ts'

/** `freshet export` */
export async function runExportCommand(
  generation: string,
  dir: string,
  options: CommonOptions,
): Promise<void> {
  const store = openDirectoryStore(effectiveConfig(options).artifacts.dir)
  const { counts } = await exportGeneration(store, generation, openDirectoryStore(dir))
  process.stdout.write(
    `${generation} is in ${dir}: ${countsText(counts)}; README.md there says how to read it\n`,
  )
}

/** `freshet import` */
export async function runImportCommand(dir: string, options: ImportCommandOptions): Promise<void> {
  const config = effectiveConfig(options)
  const place = path.resolve(dir)
  const imported = await importGeneration(
    openDirectoryStore(path.dirname(place)),
    path.basename(place),
    {
      ...{ id: options.id ?? null, day: options.day ?? null, nowMs: Date.now() },
      features: knownFeatures(config),
      rowNormMax: config.learner.rowNormMax,
    },
  )
  const { generation, notes } = imported
  const { id, day } = generation
  expectDayInId(id, day)
  const control = options.offer ? await controlOf(config) : null
  if (control !== null && control.document !== null) expectCut(control.document, id, day)
  const store = openDirectoryStore(config.artifacts.dir)
  const { counts, model } = await writeGeneration(store, generation)
  const learning = sides.filter((side) => !frozenSides(model).includes(side))
  const from = day === null ? 'the oldest example' : `the end of ${day}`
  const lines = [
    `${id} is in ${path.join(config.artifacts.dir, 'generations', id)}: ${countsText(counts)}`,
    `  rows of ${model.dim}, vectors of ${model.outputDim}, ${towerText(model.user)} (user) and ${towerText(model.item)} (item)`,
    ...(learning.length === 0
      ? []
      : [`  ${learning.join(' and ')} rows learn online, from ${from} on`]),
    ...notes.map((note) => `  note: ${note}`),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  if (control === null) {
    process.stdout.write(`  not offered: freshet approve ${id} lets it go live\n`)
  } else if (control.document === null) {
    process.stdout.write(
      `  not offered, ${control.problem!}: begin a deployment with generations.first=${id}, or freshet approve ${id} once a controller runs\n`,
    )
  } else {
    const outcome = await withKafka(config, (connected) =>
      ask(connected, 'offer', id, options.timeout),
    )
    tell(outcome)
  }
}

/** What the controller says of an operator's request. Exit code 1: it has refused. */
export function tell({ isAccepted, message }: Outcome): void {
  if (isAccepted) {
    process.stdout.write(`${message}\n`)
    return
  }
  process.stderr.write(`refused: ${message}\n`)
  process.exitCode = 1
}

/**
 * An imported generation that the controller has not been told of is offered by approving it.
 * @throws FreshetError USAGE_INVALID where it cannot catch up
 */
export async function approveOrOffer(
  connected: Connected,
  store: ArtifactStore,
  id: string,
  timeoutMs: number,
): Promise<Outcome> {
  const document = await readControl(connected.kafka, connected.topics.control, connected.log)
  const isUnknown = document !== null && !(id in document.states)
  if (isUnknown && (await store.exists(placeOf(id, 'manifest.json')))) {
    const { kind, day } = await loadManifest(store, id)
    if (kind === 'imported') {
      expectCut(document, id, day)
      return ask(connected, 'offer', id, timeoutMs)
    }
  }
  return ask(connected, 'approve', id, timeoutMs)
}

/** Full updates pass over the days that the ids of generations name. */
export function expectDayInId(id: string, day: string | null): void {
  if (day === null || dayInId(id) === day) return
  throw new FreshetError(
    'USAGE_INVALID',
    `${id} has learnt ${day}, and its id must say so, or a full update would learn that day again: --id imported-${day}-NAME`,
  )
}

/** Where there are cuts, online training begins at the one of its day. */
export function expectCut(
  { cuts }: Pick<ControlDocument, 'cuts'>,
  id: string,
  day: string | null,
): void {
  const days = Object.keys(cuts).sort()
  if (day === null || days.length === 0 || day in cuts) return
  throw new FreshetError(
    'USAGE_INVALID',
    `${id} has learnt ${day}, which has no cut to catch up from: days ${days[0]!} to ${days.at(-1)!} have one, --day names another`,
  )
}

function knownFeatures({ model }: Config) {
  const names = (side: 'user' | 'item') => model[side].features.map(({ name }) => name)
  return { user: names('user'), item: [...names('item'), ...Object.values(computedNames)] }
}

function towerText({ hidden, opaque }: TowerSpec): string {
  return opaque === undefined ? `hidden layers ${hidden.join(', ')}` : 'an ONNX graph as it is'
}

function countsText({ users, items }: GenerationManifest['counts']): string {
  return `${users.toLocaleString('en-US')} users, ${items.toLocaleString('en-US')} items`
}
