import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import { topicNames } from '../records/topics.ts'
import type { ControlDocument } from '../records/types.ts'
import { readControl } from '../runtime/control.ts'
import { openDirectoryStore } from '../runtime/generation/artifact-store.ts'
import { frozenNote } from '../runtime/generation/files.ts'
import type { GenerationManifest } from '../runtime/generation/manifest.ts'
import { stateOf, storedGenerations, type StoredGeneration } from '../runtime/generation/stored.ts'
import { createKafkaClient } from '../runtime/kafka/client.ts'
import { createLogger } from '../runtime/logger.ts'
import type { GenerationsOptions } from './commands/generations.ts'
import { table } from './bench/report.ts'
import { effectiveConfig } from './options.ts'

/** One generation, as `--json` prints it. */
export interface ListedGeneration extends StoredGeneration {
  /** null: the control document does not name it, or could not be read. */
  readonly state: string | null
}

const kafkaWithinMs = 3_000

export async function listGenerationsCommand(options: GenerationsOptions): Promise<void> {
  const config = effectiveConfig(options)
  const [listed, control] = await Promise.all([
    storedGenerations(openDirectoryStore(config.artifacts.dir)),
    controlOf(config),
  ])
  const generations = listed.map((one) => ({ ...one, state: stateOf(one.id, control.document) }))
  if (options.json === true) {
    const { document, problem } = control
    const epoch = document?.epoch ?? null
    process.stdout.write(`${JSON.stringify({ epoch, controlProblem: problem, generations })}\n`)
    return
  }
  process.stdout.write(describe(generations, control, config.artifacts.dir))
}

interface Control {
  readonly document: ControlDocument | null
  /** Why there is no document; null where there is one. */
  readonly problem: string | null
}

export async function controlOf({ kafka: config }: Config): Promise<Control> {
  const log = createLogger({ level: 'silent', format: 'text', write: () => undefined })
  const kafka = createKafkaClient({ config, log })
  const deadline = new AbortController()
  const unreachable = `Kafka at ${config.brokers.join(', ')} does not answer`
  const timer = setTimeout(() => deadline.abort(), kafkaWithinMs)
  try {
    const late = new Promise<never>((_, reject) =>
      deadline.signal.addEventListener('abort', () =>
        reject(new FreshetError('TIMEOUT', unreachable)),
      ),
    )
    const topic = topicNames(config.topicPrefix).control
    const reading = kafka.waitUntilReachable(deadline.signal).then(async () => {
      if (deadline.signal.aborted) throw new FreshetError('TIMEOUT', unreachable)
      return (await kafka.topicExists(topic)) ? readControl(kafka, topic, log) : null
    })
    const document = await Promise.race([reading, late])
    return { document, problem: document === null ? 'no controller has run yet' : null }
  } catch (error) {
    return { document: null, problem: messageOf(error) }
  } finally {
    clearTimeout(timer)
    await kafka.close()
  }
}

function describe(
  generations: readonly ListedGeneration[],
  { problem }: Control,
  dir: string,
): string {
  if (generations.length === 0) {
    return `there is no generation in ${dir} yet: the controller makes the first one when it starts\n`
  }
  const head = ['generation', 'day', 'state', 'examples', 'loss', 'gate', 'users', 'items', 'size']
  const lines = table([...head, 'from'], generations.map(rowOf))
  const problems = generations.flatMap(({ id, frozen, problem }) => {
    const note = frozenNote(frozen)
    return note === null ? (problem ?? []) : `${id}: ${note}`
  })
  if (problem !== null) problems.push(`states are not known: ${problem}`)
  return [...lines, ...problems.map((each) => `note: ${each}`), ''].join('\n')
}

function rowOf({ id, state, bytes, manifest }: ListedGeneration): string[] {
  const size = bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
  if (manifest === null) return [id, '-', state ?? '-', '-', '-', 'unreadable', '-', '-', size, '-']
  const { day, training, gate, counts, parent } = manifest
  return [
    ...[id, day ?? '-', state ?? '-'],
    training === null ? '-' : training.examples.toLocaleString('en-US'),
    training === null ? '-' : training.loss.toFixed(3),
    gate === null ? (manifest.kind === 'imported' ? 'imported' : '-') : gateText(gate),
    counts.users.toLocaleString('en-US'),
    counts.items.toLocaleString('en-US'),
    size,
    parent ?? '-',
  ]
}

function gateText({ verdict, difference, interval }: NonNullable<GenerationManifest['gate']>) {
  if (difference === null) return verdict
  const signed = `${difference >= 0 ? '+' : ''}${difference.toFixed(3)}`
  if (interval === null) return `${verdict} ${signed}`
  return `${verdict} ${signed} ±${((interval[1] - interval[0]) / 2).toFixed(3)}`
}
