import { randomUUID } from 'node:crypto'
import type { TensorModel } from '../model/engine.ts'
import { frozenSides } from '../model/spec.ts'
import type { ControlDocument } from '../records/types.ts'
import type { ItemOverride } from '../streams/learner-items.ts'
import { startOf } from '../streams/learner-lineages.ts'
import type { LearnerOptions } from '../streams/learner-types.ts'
import type { Learner } from '../streams/learner.ts'
import type { CheckpointStore } from './checkpoint.ts'
import { CutLogWriter } from './cut-log.ts'
import { frozenNote } from './generation/files.ts'
import { loadGeneration } from './generation/generation.ts'
import type { Generation } from './generation/generation.ts'
import { reconcile } from './learner-overrides.ts'
import type { OverrideLedger } from './learner-ledger.ts'
import type { LearnerOwner } from './learner-owner.ts'
import { learnerReport } from './learner-report.ts'
import { LearnerRows } from './learner-rows.ts'
import { baseTimeOf, learnerDir, learnerOptions, restoreState } from './learner-state.ts'
import type { Turns } from './learner-turns.ts'
import type { LearnerDeps } from './learner.ts'

/** What the lineages of one active learner have in common. */
export interface SharedParts {
  readonly owner: LearnerOwner
  readonly turns: Turns
  readonly overrides: OverrideLedger
}

export interface LineageSetup {
  readonly generation: string
  /** Of the newest control document. */
  readonly cuts: ControlDocument['cuts']
}

/** A learner with everything it holds open. */
export interface LearnerParts {
  readonly generation: string
  readonly options: LearnerOptions
  readonly tensors: TensorModel
  readonly learner: Learner
  readonly checkpoints: CheckpointStore
  readonly cutLog: CutLogWriter
  readonly rows: LearnerRows
  readonly owner: LearnerOwner
  /** Of the newest override set in the topic. */
  readonly sequence: number
  /** Owed to the topic by what happened before. */
  readonly withdrawals: readonly ItemOverride[]
  /** End of a window of event time that has to be learnt to its end first; null: none. */
  readonly openWindowMs: number | null
  /** Event time that the generation itself has come to, 0 for none. */
  readonly baseTimeMs: number
  close(): Promise<void>
}

/**
 * The order is what makes it exact: whoever was active before has been shut out in Kafka by the owner, now in Redis, so that nothing
 * of it can appear any more; then read what it left behind, and begin a cut log segment that ends its own.
 */
export async function openLearner(
  deps: LearnerDeps & SharedParts,
  { generation: id, cuts }: LineageSetup,
): Promise<LearnerParts> {
  const { kafka, config, topics, log, owner } = deps
  const closers: (() => Promise<void>)[] = []
  const close = async (): Promise<void> => {
    for (const each of closers.splice(0).reverse()) await each().catch(() => undefined)
  }
  try {
    const generation = await loadGeneration(deps.artifacts, id)
    const note = frozenNote(frozenSides(generation.model))
    if (note !== null) log.warn({ generation: id }, note)
    const rows = openRows(deps, generation)
    await rows.claim()
    const tensors = await deps.engine.open(generation.model, generation.dense)
    closers.push(() => tensors.close())
    const options = learnerOptions(config.learner)
    const setup = { generation, engine: tensors, options, kafka, topics, log }
    const start = await beginOf(deps, startOf(generation, { cuts }))
    const restored = await restoreState(setup, config.stateDir, start === null)
    const { learner, checkpoints } = restored
    for (const position of restored.acknowledged) {
      if (position.topic === topics.examples) rows.expect(position.partition, position)
    }
    const published = await deps.overrides.publishedOf(id)
    const withdrawals = reconcile(learner, published.vectors)
    const cutLog = await CutLogWriter.open(learnerDir(config.stateDir, id), restored.cutLog.end, {
      ...{ generation: id, options, order: config.learner.order },
      topics: { examples: topics.examples, items: topics.items },
    })
    closers.push(() => cutLog.close())
    await beginAt(start, learner, cutLog, topics.examples)
    log.info(
      {
        ...{ generation: id, replayedCuts: restored.replayedCuts, overrides: published.sequence },
        ...{ users: learner.users.table.size, items: learner.items.table.size },
        from: restored.checkpoint === null ? 'the generation' : 'a checkpoint',
      },
      'the learner is where the one before it stopped',
    )
    return {
      ...{ generation: id, options, tensors, learner, checkpoints, cutLog, rows, owner },
      ...{ sequence: published.sequence, withdrawals, close },
      openWindowMs: restored.openWindowMs,
      baseTimeMs: baseTimeOf(generation),
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Without catching up the events between the cut and now are left out, as where a model is just exchanged. */
async function beginOf(
  { kafka, topics, config }: Pick<LearnerDeps, 'kafka' | 'topics' | 'config'>,
  cut: readonly number[] | null,
): Promise<readonly number[] | null> {
  if (cut === null || config.generations.catchUp) return cut
  return (await kafka.offsets(topics.examples)).map(({ high }) => high)
}

/** Examples before these offsets belong to the generation itself. An empty cut makes that part of the log. */
async function beginAt(
  start: readonly number[] | null,
  learner: Learner,
  cutLog: CutLogWriter,
  topic: string,
): Promise<void> {
  for (const [partition, offset] of (start ?? []).entries()) {
    if (learner.positions.some((p) => p.topic === topic && p.partition === partition)) continue
    const cut = { topic, partition, from: offset, to: offset }
    await cutLog.append(cut)
    await learner.applyExamples(cut, [])
  }
}

function openRows(deps: LearnerDeps & SharedParts, { id, day, model }: Generation) {
  const { store, config, metrics, log, owner } = deps
  const generation = id
  return new LearnerRows({
    ...{ store, generation, metrics, log },
    partitions: config.kafka.partitions,
    runId: randomUUID(),
    ...(frozenSides(model).includes('user') ? { freshThroughMs: baseTimeOf({ day }) } : {}),
    // The broker refuses the transaction of a producer that was fenced; what it says is only a report.
    assertOwner: () => {
      const body = { why: 'Redis does not hold the rows of this run' }
      return owner.transact([learnerReport(deps, 'loading', generation, body)])
    },
  })
}
