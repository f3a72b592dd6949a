import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { TensorEngine } from '../model/engine.ts'
import { groupName } from '../records/topics.ts'
import type { TopicNames } from '../records/topics.ts'
import { watchControl } from './control.ts'
import type { ArtifactStore } from './generation/artifact-store.ts'
import { LearnerSession } from './learner-session.ts'
import type {
  Clock,
  GroupConsumer,
  KafkaClient,
  Logger,
  OnlineStore,
  StartPosition,
  TopicPartition,
} from './ports.ts'
import { partitionKey } from './ports.ts'
import { whenAborted } from './when-aborted.ts'

export interface LearnerDeps {
  readonly kafka: KafkaClient
  readonly store: OnlineStore
  readonly artifacts: ArtifactStore
  readonly engine: TensorEngine
  readonly config: Pick<Config, 'kafka' | 'learner' | 'stateDir'>
  readonly topics: TopicNames
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Logger
  /** Name of this process in the reports. */
  readonly instance: string
  readonly signal: AbortSignal
  /** Called whenever learning begins. */
  readonly onReady?: () => void
}

/**
 * Runs the learner of the live generation until the signal. Of several, one learns and the others stand by: the group gives all partitions
 * to one, and its transactional id shuts out whoever had them before.
 * @throws FreshetError of a fatal code, e.g. GENERATION_INVALID
 */
export async function runLearner(deps: LearnerDeps): Promise<void> {
  const { kafka, topics, log, signal } = deps
  await kafka.waitUntilReachable(signal)
  if (signal.aborted) return
  const ending = whenAborted(signal)
  const live = new LiveGeneration()
  const control = await watchControl(kafka, topics.control, log, (document) => {
    if (document.live !== null) live.set(document.live)
  })
  try {
    if (live.current === null) log.info({}, 'waiting for the controller to name a live generation')
    await Promise.race([live.known, ending.promise])
    if (!signal.aborted) await learnInGroup(deps, live, ending)
  } finally {
    await control.close()
  }
}

async function learnInGroup(
  deps: LearnerDeps,
  live: LiveGeneration,
  ending: ReturnType<typeof whenAborted>,
): Promise<void> {
  const { kafka, config, topics, log, signal } = deps
  let consumer: GroupConsumer | null = null
  let session: LearnerSession | null = null
  const failed = (error: unknown): void => {
    if (!(error instanceof FreshetError) || error.disposition === 'fatal') {
      ending.fail(error instanceof Error ? error : new Error(messageOf(error)))
      return
    }
    log.warn({ code: error.code, error: error.message }, 'the learner drops its state and rejoins')
    void consumer?.rejoin()
  }
  const stop = async (isClean: boolean): Promise<void> => {
    const stopping = session
    session = null
    await stopping?.stop(isClean)
  }
  const hooks = {
    pause: (partition: TopicPartition) => consumer?.pause(partition),
    resume: (partition: TopicPartition) => consumer?.resume(partition),
    onFailure: failed,
  }
  live.onChange = () => void consumer?.rejoin()
  consumer = await kafka.joinGroup({
    groupId: groupName(config.kafka.topicPrefix, 'learner'),
    topics: [topics.examples, topics.items],
    assignment: 'all-to-first',
    handler: {
      assigned: async (partitions) => {
        await stop(false)
        try {
          session = await LearnerSession.open(deps, live.current!, hooks)
        } catch (error) {
          if (!(error instanceof FreshetError) || error.disposition === 'fatal') failed(error)
          throw error
        }
        session.start()
        deps.onReady?.()
        return positionsOf(session, partitions)
      },
      revoked: () => stop(false),
      onBatch: (batch) => {
        session?.onBatch(batch)
        return Promise.resolve()
      },
    },
  })
  try {
    await ending.promise
  } finally {
    live.onChange = () => {}
    await stop(signal.aborted)
    await consumer.close()
  }
}

function positionsOf(
  session: LearnerSession,
  partitions: readonly TopicPartition[],
): ReadonlyMap<string, StartPosition> {
  return new Map(
    partitions.map((partition) => [
      partitionKey(partition),
      session.positionOf(partition) ?? 'earliest',
    ]),
  )
}

/** Which generation is live, and when that is known or changes. */
class LiveGeneration {
  current: string | null = null
  onChange = (): void => {}
  readonly known: Promise<void>
  #isKnown!: () => void

  constructor() {
    this.known = new Promise((resolve) => (this.#isKnown = resolve))
  }

  set(generation: string): void {
    if (generation === this.current) return
    const isFirst = this.current === null
    this.current = generation
    if (isFirst) this.#isKnown()
    else this.onChange()
  }
}
