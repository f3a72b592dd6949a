import { randomUUID } from 'node:crypto'
import type { TensorModel } from '../model/engine.ts'
import { encodeReport } from '../records/codec.ts'
import type { ItemOverride } from '../streams/learner-items.ts'
import type { LearnerOptions } from '../streams/learner-types.ts'
import type { Learner } from '../streams/learner.ts'
import type { CheckpointStore } from './checkpoint.ts'
import { CutLogWriter } from './cut-log.ts'
import { loadGeneration } from './generation/generation.ts'
import { readOverrides, reconcile } from './learner-overrides.ts'
import { LearnerRows } from './learner-rows.ts'
import { learnerDir, learnerOptions, restoreState } from './learner-state.ts'
import type { RestoredLearner } from './learner-state.ts'
import type { LearnerDeps } from './learner.ts'
import type { Producer, TransactionalProducer } from './ports.ts'

/** A learner with everything it holds open. */
export interface LearnerParts {
  readonly generation: string
  readonly options: LearnerOptions
  readonly tensors: TensorModel
  readonly learner: Learner
  readonly checkpoints: CheckpointStore
  readonly cutLog: CutLogWriter
  readonly rows: LearnerRows
  /** The single writer of overrides; whoever opens it next shuts this one out. */
  readonly owner: TransactionalProducer
  /** For reports and dead letters. */
  readonly producer: Producer
  /** Of the newest override set in the topic. */
  readonly sequence: number
  /** Owed to the topic by what happened before. */
  readonly withdrawals: readonly ItemOverride[]
  close(): Promise<void>
}

/**
 * The order is what makes it exact: fence the learner before in Kafka, then in Redis, so that nothing of it can appear any more;
 * then read what it left behind, and begin a cut log segment that ends its own.
 */
export async function openLearner(deps: LearnerDeps, id: string): Promise<LearnerParts> {
  const { kafka, config, topics, log } = deps
  const closers: (() => Promise<void>)[] = []
  const close = async (): Promise<void> => {
    for (const each of closers.splice(0).reverse()) await each().catch(() => undefined)
  }
  try {
    const owner = await kafka.transactionalProducer(`${config.kafka.topicPrefix}-learner-0`)
    closers.push(() => owner.close())
    const rows = openRows(deps, id, owner)
    await rows.claim()
    const generation = await loadGeneration(deps.artifacts, id)
    const tensors = await deps.engine.open(generation.model, generation.dense)
    closers.push(() => tensors.close())
    const options = learnerOptions(config.learner)
    const setup = { generation, engine: tensors, options, kafka, topics, log }
    const restored = await restoreState(setup, config.stateDir)
    const { learner, checkpoints } = restored
    expectRows(rows, restored, topics.examples)
    const published = await readOverrides(kafka, topics.overrides, id)
    const withdrawals = reconcile(learner, published.vectors)
    const cutLog = await CutLogWriter.open(learnerDir(config.stateDir, id), restored.cutLog.end, {
      ...{ generation: id, options },
      topics: { examples: topics.examples, items: topics.items },
    })
    closers.push(() => cutLog.close())
    const producer = await kafka.producer()
    closers.push(() => producer.close())
    log.info(
      {
        ...{ generation: id, replayedCuts: restored.replayedCuts, overrides: published.sequence },
        ...{ users: learner.users.table.size, items: learner.items.table.size },
        from: restored.checkpoint === null ? 'the generation' : 'a checkpoint',
      },
      'the learner is where the one before it stopped',
    )
    const { sequence } = published
    return {
      ...{ generation: id, options, tensors, learner, checkpoints, cutLog, rows, owner },
      ...{ producer, sequence, withdrawals, close },
    }
  } catch (error) {
    await close()
    throw error
  }
}

function openRows(deps: LearnerDeps, generation: string, owner: TransactionalProducer) {
  const { store, config, topics, metrics, log, clock, instance } = deps
  return new LearnerRows({
    ...{ store, generation, metrics, log },
    partitions: config.kafka.partitions,
    runId: randomUUID(),
    // The broker refuses the transaction of a producer that was fenced; what it says is only a report.
    assertOwner: () => {
      const atMs = clock.nowMs()
      const body = { why: 'Redis does not hold the rows of this run' }
      const report = { role: 'learner', instance, kind: 'loading', generation, atMs, body }
      const key = `learner/${instance}`
      const value = encodeReport(report)
      return owner.transact([{ topic: topics.reports, key, value, timestampMs: atMs }])
    },
  })
}

/** A checkpoint is only written when Redis has acknowledged every row before it. */
function expectRows(rows: LearnerRows, { checkpoint }: RestoredLearner, examples: string): void {
  for (const { topic, partition, offset } of checkpoint?.snapshot.positions ?? []) {
    if (topic === examples) rows.expect(partition, offset)
  }
}
