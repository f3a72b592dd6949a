import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { IngestPipeline } from './ingest-pipeline.ts'
import { compileSources, type IngestTopics } from './ingest-sources.ts'
import type { Clock, GroupConsumer, KafkaClient, Logger } from './ports.ts'
import { whenAborted } from './when-aborted.ts'

export interface IngestDeps {
  readonly kafka: KafkaClient
  readonly config: Config['ingest']
  /** Topics of a team's own, besides impressions and clicks. */
  readonly sources: Config['sources']
  readonly topics: IngestTopics
  /** Of the events topic. */
  readonly partitions: number
  readonly groupId: string
  readonly metrics: Metrics
  readonly log: Logger
  readonly clock: Clock
  readonly signal: AbortSignal
}

const tickMs = 25
const commitMs = 100
const settleMs = 1_500

/**
 * Turns the source topics into events until the signal. At least once: an offset is committed only when the events and
 * dead letters of everything before it are acknowledged; the joiner ignores a repeat.
 * @throws FreshetError of a fatal code, e.g. for a mapping that is wrong or a topic that is missing
 */
export async function runIngest(deps: IngestDeps): Promise<void> {
  const { kafka, config, topics, partitions, log } = deps
  const mappers = await compileSources(deps.sources, config, topics, partitions)
  const producer = await kafka.producer()
  const ending = whenAborted(deps.signal)
  let consumer: GroupConsumer | null = null
  const pipeline = new IngestPipeline({
    ...{ mappers, eventsTopic: topics.events, partitions, producer },
    ...{ alignMs: config.alignMs, idleMs: config.idleMs, heartbeatMs: config.heartbeatMs },
    bufferedRecordsMax: config.bufferedRecordsMax,
    metrics: deps.metrics,
    clock: deps.clock,
    pause: (partition) => consumer?.pause(partition),
    resume: (partition) => consumer?.resume(partition),
    onFailure: (error) => {
      if (error instanceof FreshetError && error.disposition === 'fatal') return ending.fail(error)
      log.warn(
        { error: messageOf(error) },
        'ingest could not send and reads again from its offsets',
      )
      void consumer?.rejoin()
    },
  })

  consumer = await kafka.joinGroup({
    groupId: deps.groupId,
    topics: [...mappers.keys()],
    assignment: 'modulo',
    handler: {
      assigned: (assigned) => {
        pipeline.assign(assigned)
        return Promise.resolve(new Map())
      },
      revoked: (revoked) => {
        pipeline.revoke(revoked)
        return Promise.resolve()
      },
      onBatch: (batch) => {
        pipeline.onBatch(batch)
        return Promise.resolve()
      },
    },
  })
  const timers = startTimers(pipeline, consumer, log)
  try {
    await ending.promise
    await settle(pipeline)
  } finally {
    for (const timer of timers) clearInterval(timer)
    await commit(pipeline, consumer, log)
    await consumer.close()
    await producer.close()
  }
}

function startTimers(
  pipeline: IngestPipeline,
  consumer: GroupConsumer,
  log: Logger,
): NodeJS.Timeout[] {
  const tick = () => {
    pipeline.pump()
    pipeline.sendHeartbeats().catch((error: unknown) => {
      log.debug({ error: messageOf(error) }, 'heartbeats were not sent')
    })
  }
  let committing: Promise<void> | null = null
  const commitOnce = () => {
    committing ??= commit(pipeline, consumer, log).finally(() => (committing = null))
  }
  return [setInterval(tick, tickMs), setInterval(commitOnce, commitMs)]
}

/** A commit that fails only means that more is read again after a restart. */
async function commit(
  pipeline: IngestPipeline,
  consumer: GroupConsumer,
  log: Logger,
): Promise<void> {
  const offsets = pipeline.takeOffsets()
  if (offsets.length === 0) return
  await consumer.commit(offsets).catch((error: unknown) => {
    log.debug({ error: messageOf(error) }, 'offsets were not committed')
  })
}

/** Lets the sends under way end, so that their offsets can still be committed. */
async function settle(pipeline: IngestPipeline): Promise<void> {
  const endsAt = performance.now() + settleMs
  pipeline.stop()
  while (!pipeline.isIdle && performance.now() < endsAt) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
