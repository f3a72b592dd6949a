import type { Config } from '../config/schema.ts'
import { encodeControlDocument } from '../records/codec.ts'
import type { TopicNames } from '../records/topics.ts'
import type { ControlDocument } from '../records/types.ts'
import { firstDocument } from '../streams/controller.ts'
import { readControl } from './control.ts'
import type { ArtifactStore } from './generation/artifact-store.ts'
import { bootstrapGeneration, writeGeneration } from './generation/generation.ts'
import type { Clock, KafkaClient, Logger, TransactionalProducer } from './ports.ts'
import { whenAborted } from './when-aborted.ts'

export interface ControllerDeps {
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly config: Pick<Config, 'kafka' | 'model'>
  readonly artifacts: ArtifactStore
  readonly log: Logger
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Called once there is a control document. */
  readonly onReady?: () => void
}

/**
 * The only writer of the control document. In this order: fence whoever wrote before, read what it wrote, then act. Where
 * there is no document it makes the bootstrap generation: random parameters, and says so.
 * @throws FreshetError PRODUCER_FENCED when another controller has taken over
 */
export async function runController(deps: ControllerDeps): Promise<void> {
  const { kafka, topics, config, log, signal } = deps
  const producer = await kafka.transactionalProducer(`${config.kafka.topicPrefix}-controller`)
  try {
    const document =
      (await readControl(kafka, topics.control, log)) ?? (await bootstrap(deps, producer))
    log.info({ epoch: document.epoch, live: document.live }, 'controlling')
    deps.onReady?.()
    await whenAborted(signal).promise
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
  const id = `bootstrap-${new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[:-]/g, '').replace('T', '-')}`
  await writeGeneration(artifacts, bootstrapGeneration(id, model, seed, nowMs))
  log.info(
    { generation: id, seed },
    'made a bootstrap generation: random parameters, nothing learned yet',
  )
  const document = firstDocument(id)
  await publish(producer, topics, document, nowMs)
  return document
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
