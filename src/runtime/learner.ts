import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { TensorEngine } from '../model/engine.ts'
import { groupName } from '../records/topics.ts'
import type { TopicNames } from '../records/topics.ts'
import type { ControlDocument } from '../records/types.ts'
import { watchControl } from './control.ts'
import type { ArtifactStore } from './generation/artifact-store.ts'
import { ActiveLearner } from './learner-active.ts'
import type { Clock, GroupConsumer, KafkaClient, Logger, OnlineStore } from './ports.ts'
import { partitionKey } from './ports.ts'
import { whenAborted } from './when-aborted.ts'

export interface LearnerDeps {
  readonly kafka: KafkaClient
  readonly store: OnlineStore
  readonly artifacts: ArtifactStore
  readonly engine: TensorEngine
  readonly config: Pick<Config, 'kafka' | 'learner' | 'generations' | 'stateDir'>
  readonly topics: TopicNames
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Logger
  /** Name of this process in the reports. */
  readonly instance: string
  readonly signal: AbortSignal
  /** Called whenever the live generation begins to be trained. */
  readonly onReady?: () => void
}

/**
 * Runs the learner until the signal. Of several, one is active and the others stand by: the group gives the partition of the control
 * topic to one, and its transactional id shuts out whoever was active before. What it trains, the control document says.
 * @throws FreshetError of a fatal code, e.g. GENERATION_INVALID of the live generation
 */
export async function runLearner(deps: LearnerDeps): Promise<void> {
  const { kafka, topics, log, signal } = deps
  await kafka.waitUntilReachable(signal)
  if (signal.aborted) return
  const ending = whenAborted(signal)
  const newest = new NewestDocument()
  const control = await watchControl(kafka, topics.control, log, (document) => newest.set(document))
  try {
    if (newest.document === null) {
      log.info({}, 'waiting for the controller to name a live generation')
    }
    await Promise.race([newest.known, ending.promise])
    if (!signal.aborted) await learnInGroup(deps, newest, ending)
  } finally {
    await control.close()
  }
}

async function learnInGroup(
  deps: LearnerDeps,
  newest: NewestDocument,
  ending: ReturnType<typeof whenAborted>,
): Promise<void> {
  const { kafka, config, topics, log, signal } = deps
  let consumer: GroupConsumer | null = null
  let active: ActiveLearner | null = null
  const stop = async (isClean: boolean): Promise<void> => {
    const stopping = active
    active = null
    await stopping?.stop(isClean)
  }
  const hooks = {
    onLost: (error: FreshetError) => {
      log.warn(
        { code: error.code, error: error.message },
        'the learner drops its state and rejoins',
      )
      void consumer?.rejoin()
    },
    onFatal: (error: unknown) =>
      ending.fail(error instanceof Error ? error : new Error(messageOf(error))),
  }
  newest.onChange = (document) => active?.follow(document)
  consumer = await kafka.joinGroup({
    groupId: groupName(config.kafka.topicPrefix, 'learner'),
    // Who has its partition is active; what is in it is read outside the group, by those who stand by as well.
    topics: [topics.control],
    assignment: 'all-to-first',
    handler: {
      assigned: async (partitions) => {
        await stop(false)
        for (const partition of partitions) consumer?.pause(partition)
        try {
          active = await ActiveLearner.open(deps, newest.document!, hooks)
        } catch (error) {
          if (!(error instanceof FreshetError) || error.disposition === 'fatal')
            hooks.onFatal(error)
          throw error
        }
        active.follow(newest.document!)
        return new Map(partitions.map((partition) => [partitionKey(partition), 'latest']))
      },
      revoked: () => stop(false),
      onBatch: () => Promise.resolve(),
    },
  })
  try {
    await ending.promise
  } finally {
    newest.onChange = () => {}
    await stop(signal.aborted)
    await consumer.close()
  }
}

/** The newest control document that names a live generation, and when there is one, and when it changes. */
class NewestDocument {
  document: ControlDocument | null = null
  onChange: (document: ControlDocument) => void = () => {}
  readonly known: Promise<void>
  #isKnown!: () => void

  constructor() {
    this.known = new Promise((resolve) => (this.#isKnown = resolve))
  }

  set(document: ControlDocument): void {
    if (document.live === null) return
    this.document = document
    this.#isKnown()
    this.onChange(document)
  }
}
