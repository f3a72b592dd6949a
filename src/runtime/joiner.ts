import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import {
  endRebuild,
  initAt,
  parseCommitMetadata,
  type JoinerState,
} from '../streams/joiner-state.ts'
import { joiner } from '../streams/joiner.ts'
import type { Stage } from '../streams/stage.ts'
import { PartitionJoiner } from './partition-joiner.ts'
import type {
  Clock,
  GroupConsumer,
  KafkaClient,
  Logger,
  StartPosition,
  TopicPartition,
} from './ports.ts'
import { partitionKey } from './ports.ts'
import { whenAborted } from './when-aborted.ts'

export interface JoinerDeps {
  readonly kafka: KafkaClient
  readonly config: Config['joiner']
  readonly topics: {
    readonly events: string
    readonly examples: string
    readonly deadLetters: string
  }
  readonly groupId: string
  /** Transactional ids are `<prefix>-joiner-<partition>`. */
  readonly transactionalIdPrefix: string
  readonly metrics: Metrics
  readonly log: Logger
  readonly clock: Clock
  readonly signal: AbortSignal
}

/**
 * Runs the joiner over the partitions the group gives it, until the signal. Exactly once: outputs, offset and what a
 * rebuild needs leave in one transaction, and a partition's transactional id shuts its previous owner out.
 * @throws FreshetError of a fatal code, e.g. when the events a rebuild needs are gone
 */
export async function runJoiner(deps: JoinerDeps): Promise<void> {
  const { topics, config } = deps
  const stage = joiner({ ...config, topics })
  const running = new Map<string, PartitionJoiner>()
  const ending = whenAborted(deps.signal)
  let consumer: GroupConsumer | null = null

  const begin = async (partition: TopicPartition): Promise<StartPosition> => {
    try {
      const started = await start(deps, stage, partition, () => consumer, ending.fail)
      running.set(partitionKey(partition), started.joiner)
      return started.from
    } catch (error) {
      if (error instanceof FreshetError && error.disposition === 'fatal') ending.fail(error)
      throw error
    }
  }

  consumer = await deps.kafka.joinGroup({
    groupId: deps.groupId,
    topics: [topics.events],
    assignment: 'modulo',
    handler: {
      assigned: async (partitions) => {
        const starts = await Promise.allSettled(partitions.map(begin))
        const failed = starts.find((one) => one.status === 'rejected')
        if (failed !== undefined) throw failed.reason
        return new Map(
          partitions.flatMap((p, i) => {
            const one = starts[i]!
            return one.status === 'fulfilled' ? [[partitionKey(p), one.value] as const] : []
          }),
        )
      },
      revoked: async (partitions) => {
        const lost = partitions.map(partitionKey)
        await Promise.all(lost.map(async (key) => running.get(key)?.stop()))
        for (const key of lost) running.delete(key)
      },
      onBatch: (batch) => {
        running.get(partitionKey(batch))?.onBatch(batch)
        return Promise.resolve()
      },
    },
  })
  try {
    await ending.promise
  } finally {
    await consumer.close()
  }
}

interface Started {
  readonly joiner: PartitionJoiner
  readonly from: StartPosition
}

/** The order is what makes it exact: fence the owner before, then see what it committed, then rebuild, then emit. */
async function start(
  deps: JoinerDeps,
  stage: Stage<JoinerState>,
  partition: TopicPartition,
  consumer: () => GroupConsumer | null,
  fail: (error: FreshetError) => void,
): Promise<Started> {
  const { kafka, log, config } = deps
  const id = `${deps.transactionalIdPrefix}-joiner-${partition.partition}`
  const producer = await kafka.transactionalProducer(id)
  try {
    const { state, from } = await restore(deps, stage, partition)
    const joinerOfPartition = new PartitionJoiner({
      ...{ partition, stage, state, producer, log },
      ...{ groupId: deps.groupId, metrics: deps.metrics, clock: deps.clock },
      examplesTopic: deps.topics.examples,
      transactionMaxMs: config.transactionMaxMs,
      transactionMaxRecords: config.transactionMaxRecords,
      pause: () => consumer()?.pause(partition),
      resume: () => consumer()?.resume(partition),
      onFailure: (error) => {
        if (error.disposition === 'fatal') return fail(error)
        log.warn(
          { partition: partition.partition, code: error.code, error: messageOf(error) },
          'the joiner drops its partitions and joins again',
        )
        void consumer()?.rejoin()
      },
    })
    return { joiner: joinerOfPartition, from }
  } catch (error) {
    await producer.close()
    throw error
  }
}

/** The state at the committed offset, from the log alone. */
async function restore(
  { kafka, groupId, log, clock }: JoinerDeps,
  stage: Stage<JoinerState>,
  partition: TopicPartition,
): Promise<{ state: JoinerState; from: StartPosition }> {
  const committed = (await kafka.committed(groupId, partition.topic)).get(partition.partition)
  const offset = committed?.offset ?? null
  if (committed === undefined || offset === null) return { state: stage.init(), from: 'earliest' }
  const startedMs = clock.nowMs()
  const metadata = parseCommitMetadata(committed.metadata)
  const state = initAt(metadata)
  let records = 0
  await kafka.readRange(partition, metadata.lowWater, offset, (batch) => {
    records += batch.records.length
    stage.onBatch(state, batch.records)
  })
  endRebuild(state, metadata)
  log.info(
    { partition: partition.partition, offset, records, tookMs: clock.nowMs() - startedMs },
    'rebuilt the state of the joiner',
  )
  return { state, from: offset }
}
