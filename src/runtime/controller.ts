import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import { decodeReport, encodeControlDocument, encodeReport } from '../records/codec.ts'
import type { TopicNames } from '../records/topics.ts'
import type { ControlDocument } from '../records/types.ts'
import { firstDocument, RoleStates } from '../streams/controller.ts'
import type { RoleChange } from '../streams/controller.ts'
import type { SinkRecord } from '../streams/stage.ts'
import { readControl } from './control.ts'
import type { ArtifactStore } from './generation/artifact-store.ts'
import { bootstrapGeneration, loadManifest, writeGeneration } from './generation/generation.ts'
import type { Clock, KafkaClient, Logger, Tail, TransactionalProducer } from './ports.ts'

export interface ControllerDeps {
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly config: Pick<Config, 'kafka' | 'model'>
  readonly artifacts: ArtifactStore
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

const reportMs = 1_000
const defaultSilentMs = 10_000

/**
 * The only writer of the control document. In this order: fence whoever wrote before, read what it wrote, then act. Where
 * there is no document it makes the bootstrap generation: random parameters, and says so. One that has been shut out stands by
 * until its successor is silent: two that shut each other out in turns would be no controller at all.
 */
export async function runController(deps: ControllerDeps): Promise<void> {
  const { log, signal, silentMs = defaultSilentMs } = deps
  const roles = new RoleStates(silentMs)
  const reports = await followReports(deps, roles)
  try {
    while (!signal.aborted) {
      try {
        await control(deps, roles)
      } catch (error) {
        if (!(error instanceof FreshetError) || error.code !== 'PRODUCER_FENCED') throw error
        log.warn({}, 'another controller has taken over: standing by')
        await standBy(deps, roles)
      }
    }
  } finally {
    await reports.close()
  }
}

async function control(deps: ControllerDeps, roles: RoleStates): Promise<void> {
  const { kafka, topics, config, log, clock, signal } = deps
  const producer = await kafka.transactionalProducer(`${config.kafka.topicPrefix}-controller`)
  try {
    const document =
      (await readControl(kafka, topics.control, log)) ?? (await bootstrap(deps, producer))
    log.info({ epoch: document.epoch, live: document.live }, 'controlling')
    await checkLive(deps, document)
    deps.onReady?.()
    while (!signal.aborted) {
      // In a transaction, so that a controller that was shut out hears of it, whether or not it has anything to write.
      await producer.transact([reportOf(deps, document)])
      for (const change of roles.silentAt(clock.nowMs())) say(log, change)
      await pause(reportMs, signal)
    }
  } finally {
    await producer.close()
  }
}

async function bootstrap(
  deps: ControllerDeps,
  producer: TransactionalProducer,
): Promise<ControlDocument> {
  const { artifacts, clock, log, config, topics } = deps
  const { seed, engine: _, ...model } = config.model
  const nowMs = clock.nowMs()
  const id = bootstrapId(nowMs)
  await writeGeneration(artifacts, bootstrapGeneration(id, model, seed, nowMs))
  log.info(
    { generation: id, seed },
    'made a bootstrap generation: random parameters, nothing learned yet',
  )
  const document = firstDocument(id, nowMs)
  await publish(producer, topics, document, nowMs)
  return document
}

/** Never the id of an earlier one: in a Redis that outlived a reset its rows would pass for newer ones. */
function bootstrapId(nowMs: number): string {
  const time = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[:-]/g, '').replace('T', '-')
  return `bootstrap-${time}-${randomUUID().slice(0, 4)}`
}

/** One record is the switch; the same record in the history topic is for people. */
async function publish(
  producer: TransactionalProducer,
  topics: TopicNames,
  document: ControlDocument,
  timestampMs: number,
): Promise<void> {
  const value = encodeControlDocument(document)
  await producer.transact([
    { topic: topics.control, key: 'control', value, timestampMs, partition: 0 },
    { topic: topics.controlHistory, key: 'control', value, timestampMs, partition: 0 },
  ])
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
  while (!signal.aborted && clock.nowMs() - lastHeardMs() < silentMs) await pause(reportMs, signal)
}

function reportOf(
  { topics, clock, instance }: ControllerDeps,
  document: ControlDocument,
): SinkRecord {
  const atMs = clock.nowMs()
  const generation = document.live ?? ''
  const body = { epoch: document.epoch }
  const report = { role: 'controller', instance, kind: 'controlling', generation, atMs, body }
  const key = `controller/${instance}`
  return { topic: topics.reports, key, value: encodeReport(report), timestampMs: atMs }
}

function followReports({ kafka, topics, log }: ControllerDeps, roles: RoleStates): Promise<Tail> {
  return kafka.tail({
    topics: [topics.reports],
    from: 'latest',
    onBatch: ({ records }) => {
      for (const { value, offset } of records) {
        try {
          const change = value === null ? null : roles.apply(decodeReport(value))
          if (change !== null) say(log, change)
        } catch (error) {
          log.warn({ offset, error: messageOf(error) }, 'a report cannot be read and is ignored')
        }
      }
    },
  })
}

function say(log: Logger, { what, state: { role, instance, generation } }: RoleChange): void {
  const level = what === 'is silent' ? 'warn' : 'info'
  log[level]({ instance, generation }, `${role} ${what}`)
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined)
}
