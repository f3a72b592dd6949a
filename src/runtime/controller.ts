import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { TopicNames } from '../records/topics.ts'
import type { ControlDocument } from '../records/types.ts'
import { firstDocument } from '../streams/controller.ts'
import type { RoleStates } from '../streams/controller-roles.ts'
import { readControl } from './control.ts'
import { ControllerIntake } from './controller-intake.ts'
import { controlRecords, ControllerTerm } from './controller-term.ts'
import type { ArtifactStore } from './generation/artifact-store.ts'
import {
  bootstrapGeneration,
  loadGeneration,
  loadManifest,
  writeGeneration,
} from './generation/generation.ts'
import type { Clock, KafkaClient, Logger, TransactionalProducer } from './ports.ts'

export interface ControllerDeps {
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly config: Pick<Config, 'kafka' | 'model' | 'generations'>
  readonly artifacts: ArtifactStore
  readonly metrics: Metrics
  readonly log: Logger
  readonly clock: Clock
  /** Name of this process in the reports. */
  readonly instance: string
  readonly signal: AbortSignal
  /** Called whenever this controller has taken control and there is a document. */
  readonly onReady?: () => void
  /** An instance that has not reported for so long counts as silent, a controller as gone. */
  readonly silentMs?: number
}

const pauseMs = 1_000
const defaultSilentMs = 10_000

/**
 * The only writer of the control document. In this order: fence whoever wrote before, read what it wrote, then act. Where
 * there is no document it makes the first generation: of random parameters, or a copy of `generations.first`. One that has been shut out stands by
 * until its successor is silent: two that shut each other out in turns would be no controller at all.
 */
export async function runController(deps: ControllerDeps): Promise<void> {
  const { log, signal, silentMs = defaultSilentMs } = deps
  const intake = await ControllerIntake.open(deps, silentMs)
  try {
    while (!signal.aborted) {
      try {
        await control(deps, intake)
      } catch (error) {
        if (!(error instanceof FreshetError) || error.code !== 'PRODUCER_FENCED') throw error
        log.warn({}, 'another controller has taken over: standing by')
        await standBy(deps, intake.roles)
      }
    }
  } finally {
    await intake.close()
  }
}

async function control(deps: ControllerDeps, intake: ControllerIntake): Promise<void> {
  const { kafka, topics, config, log } = deps
  const producer = await kafka.transactionalProducer(`${config.kafka.topicPrefix}-controller`)
  try {
    const document =
      (await readControl(kafka, topics.control, log)) ?? (await begin(deps, producer))
    log.info({ epoch: document.epoch, live: document.live }, 'controlling')
    await checkLive(deps, document)
    deps.onReady?.()
    await new ControllerTerm(deps, intake, producer, document).run()
  } finally {
    await producer.close()
  }
}

async function begin(
  deps: ControllerDeps,
  producer: TransactionalProducer,
): Promise<ControlDocument> {
  const nowMs = deps.clock.nowMs()
  const { first } = deps.config.generations
  const id = first === null ? await bootstrap(deps, nowMs) : await adopt(deps, first, nowMs)
  const document = firstDocument(id, nowMs)
  await producer.transact(controlRecords(deps.topics, document, nowMs))
  return document
}

async function bootstrap(
  { artifacts, log, config }: ControllerDeps,
  nowMs: number,
): Promise<string> {
  const { seed, engine: _, ...model } = config.model
  const id = newId('bootstrap', nowMs)
  await writeGeneration(artifacts, bootstrapGeneration(id, model, seed, nowMs))
  log.info(
    { generation: id, seed },
    'made a bootstrap generation: random parameters, nothing learned yet',
  )
  return id
}

/** A copy under an id of its own; its cuts would be places in some other log. */
async function adopt(
  { artifacts, log }: ControllerDeps,
  first: string,
  createdAtMs: number,
): Promise<string> {
  const id = newId(first, createdAtMs)
  try {
    const generation = await loadGeneration(artifacts, first, { for: 'training' })
    await writeGeneration(artifacts, {
      ...generation,
      ...{ id, parent: first, createdAtMs, cuts: null },
    })
  } catch (cause) {
    const message = `generations.first is ${first}: ${messageOf(cause)}; \`freshet generations\` lists what is there`
    throw new FreshetError('CONFIG_INVALID', message, { cause })
  }
  log.info({ generation: id, first }, 'began with the generation of generations.first')
  return id
}

/** Never the id of an earlier one: in a Redis that outlived a reset its rows would pass for newer ones. */
function newId(name: string, nowMs: number): string {
  const time = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[:-]/g, '').replace('T', '-')
  return `${name}-${time}-${randomUUID().slice(0, 4)}`
}

/** Roles that cannot load the live generation say so too; here it is said what to do. */
async function checkLive({ artifacts, log }: ControllerDeps, { live }: ControlDocument) {
  if (live === null) return
  try {
    await loadManifest(artifacts, live)
  } catch (error) {
    log.error(
      { generation: live, error: messageOf(error) },
      'the live generation is not in artifacts.dir: put it back, or start over with `freshet reset`',
    )
  }
}

async function standBy(
  { clock, signal, silentMs = defaultSilentMs }: ControllerDeps,
  roles: RoleStates,
) {
  const fencedAtMs = clock.nowMs()
  const lastHeardMs = () =>
    roles.all.reduce(
      (latest, { role, atMs }) => (role === 'controller' ? Math.max(latest, atMs) : latest),
      fencedAtMs,
    )
  while (!signal.aborted && clock.nowMs() - lastHeardMs() < silentMs) await pause(pauseMs, signal)
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined)
}
