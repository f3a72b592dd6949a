import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { groupName } from '../records/topics.ts'
import type { TopicNames } from '../records/topics.ts'
import type { ControlDocument } from '../records/types.ts'
import { CompactorSession } from './compactor-session.ts'
import { watchControl } from './control.ts'
import { openFullUpdateThread } from './full-update/worker.ts'
import type { ArtifactStore } from './generation/artifact-store.ts'
import type { Clock, GroupConsumer, KafkaClient, Logger } from './ports.ts'
import { partitionKey } from './ports.ts'
import { whenAborted } from './when-aborted.ts'

export interface CompactorDeps {
  readonly kafka: KafkaClient
  readonly artifacts: ArtifactStore
  readonly config: Pick<
    Config,
    'kafka' | 'archive' | 'compactor' | 'artifacts' | 'stateDir' | 'model' | 'full' | 'learner'
  >
  readonly topics: TopicNames
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Logger
  /** Name of this process in the reports. */
  readonly instance: string
  readonly signal: AbortSignal
  /** Called whenever archiving begins. */
  readonly onReady?: () => void
}

/**
 * Archives examples by day, proposes where each day is cut, and makes the full update of every day that the control document has cut,
 * until the signal. Of several, one works and the others stand by: the group gives all partitions to one, and its transactional id
 * shuts out whoever had them before.
 * @throws FreshetError of a fatal code, e.g. TOPIC_INVALID when the archive is of another topic
 */
export async function runCompactor(deps: CompactorDeps): Promise<void> {
  const { kafka, topics, log, signal } = deps
  await kafka.waitUntilReachable(signal)
  if (signal.aborted) return
  const known: { document: ControlDocument | null; session: CompactorSession | null } = {
    ...{ document: null, session: null },
  }
  const thread = openFullUpdateThread(log)
  try {
    const control = await watchControl(kafka, topics.control, log, (document) => {
      known.document = document
      known.session?.onDocument(document)
    })
    try {
      await compactInGroup(deps, known, thread)
    } finally {
      await control.close()
    }
  } finally {
    await thread.close()
  }
}

async function compactInGroup(
  deps: CompactorDeps,
  known: { readonly document: ControlDocument | null; session: CompactorSession | null },
  thread: ReturnType<typeof openFullUpdateThread>,
): Promise<void> {
  const { kafka, config, topics, log, signal } = deps
  const ending = whenAborted(signal)
  let consumer: GroupConsumer | null = null
  const failed = (error: unknown): void => {
    if (!(error instanceof FreshetError) || error.disposition === 'fatal') {
      ending.fail(error instanceof Error ? error : new Error(messageOf(error)))
      return
    }
    log.warn(
      { code: error.code, error: error.message },
      'the compactor begins anew where the archive ends',
    )
    void consumer?.rejoin()
  }
  const stop = async (): Promise<void> => {
    const stopping = known.session
    known.session = null
    await stopping?.stop()
  }
  const hooks = {
    pause: (partition: number) => consumer?.pause({ topic: topics.examples, partition }),
    resume: (partition: number) => consumer?.resume({ topic: topics.examples, partition }),
    onFailure: failed,
  }
  consumer = await kafka.joinGroup({
    groupId: groupName(config.kafka.topicPrefix, 'compactor'),
    topics: [topics.examples],
    assignment: 'all-to-first',
    handler: {
      assigned: async (partitions) => {
        await stop()
        let session
        try {
          session = await CompactorSession.open(deps, known.document, thread, hooks)
        } catch (error) {
          if (!(error instanceof FreshetError) || error.disposition === 'fatal') failed(error)
          throw error
        }
        known.session = session
        session.start(known.document)
        deps.onReady?.()
        return new Map(partitions.map((one) => [partitionKey(one), session.startOf(one.partition)]))
      },
      revoked: stop,
      onBatch: (batch) => {
        known.session?.onBatch(batch)
        return Promise.resolve()
      },
    },
  })
  try {
    await ending.promise
  } finally {
    await stop()
    await consumer.close()
  }
}
