import path from 'node:path'
import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import type { TensorModel } from '../model/engine.ts'
import type { TopicNames } from '../records/topics.ts'
import { createLearner, restoreLearner } from '../streams/learner.ts'
import type { Learner } from '../streams/learner.ts'
import type { Cut, LearnerBase, LearnerOptions } from '../streams/learner-types.ts'
import { CheckpointStore } from './checkpoint.ts'
import type { Checkpoint } from './checkpoint.ts'
import { readCutLog } from './cut-log.ts'
import type { CutLog, LoggedCut } from './cut-log.ts'
import type { Generation } from './generation/generation.ts'
import { decodeCatalogue, decodeExamples } from './learner-records.ts'
import type { KafkaClient, Logger } from './ports.ts'
import { partitionKey } from './ports.ts'
import { RangeFeed } from './range-feed.ts'

type Topics = Pick<TopicNames, 'examples' | 'items' | 'deadLetters'>

export interface StateSetup {
  readonly generation: Generation
  /** Opened with the model and dense parameters of the generation. */
  readonly engine: TensorModel
  readonly options: LearnerOptions
  readonly kafka: Pick<KafkaClient, 'readRange'>
  readonly topics: Topics
  readonly log: Logger
}

export interface RestoredLearner {
  readonly learner: Learner
  readonly checkpoints: CheckpointStore
  readonly cutLog: CutLog
  /** The checkpoint it started from; null: the generation itself. */
  readonly checkpoint: Checkpoint | null
  readonly replayedCuts: number
}

/** Folder of one generation's cut log and checkpoints. */
export function learnerDir(stateDir: string, generation: string): string {
  return path.join(stateDir, 'learner', generation)
}

/** The fields of config's `learner` that decide what is learnt. */
export function learnerOptions(config: Config['learner']): LearnerOptions {
  const { onlineRows, optimizer, learningRate, gradientNormMax, rowNormMax } = config
  const { userRowsMax, admitAfterUsers, examplesPerUserPerMinuteMax } = config
  const { itemRowsMax, admitAfterItems, popularityHalfLifeMs, popularityShare } = config
  const { skewEpsilon, batchMax, batchSpanMs, negatives, expireAfterMs, evaluationSample } = config
  return {
    ...{ onlineRows, optimizer, learningRate, gradientNormMax, rowNormMax },
    ...{ userRowsMax, admitAfterUsers, examplesPerUserPerMinuteMax },
    ...{ itemRowsMax, admitAfterItems, popularityHalfLifeMs, popularityShare },
    ...{ skewEpsilon, batchMax, batchSpanMs, negatives, expireAfterMs, evaluationSample },
  }
}

/** The state a learner left behind: its newest usable checkpoint and every cut logged after it. */
export async function restoreState(setup: StateSetup, stateDir: string): Promise<RestoredLearner> {
  const { generation, log } = setup
  const dir = learnerDir(stateDir, generation.id)
  const cutLog = await readCutLog(dir, log)
  const checkpoints = new CheckpointStore(path.join(dir, 'checkpoints'), generation.id, log)
  const checkpoint = await checkpoints.newest((position) => cutLog.includes(position))
  const cuts = cutLog.cutsFrom(checkpoint?.position ?? null)
  const start = checkpoint === null ? newLearner(setup, firstOptions(cuts, setup)) : null
  const restored =
    start ??
    restoreLearner({ ...setupOf(setup), options: checkpoint!.options }, checkpoint!.snapshot)
  const replayed = await replay(
    setup,
    restored,
    checkpoint?.options ?? firstOptions(cuts, setup),
    cuts,
  )
  const learner = withOptions(setup, replayed.learner, replayed.options, setup.options)
  return { learner, checkpoints, cutLog, checkpoint, replayedCuts: cuts.length }
}

/**
 * Computes a learner's tables again, from the generation, its cut log and the topics alone: equal to the bit to those of the learner
 * that wrote the log, on the same engine and kind of CPU.
 * @param dir folder of the generation's cut log, `learnerDir`
 */
export async function replayCutLog(setup: StateSetup, dir: string): Promise<Learner> {
  const cuts = (await readCutLog(dir, setup.log)).cutsFrom(null)
  const options = firstOptions(cuts, setup)
  return (await replay(setup, newLearner(setup, options), options, cuts)).learner
}

function firstOptions(cuts: readonly LoggedCut[], setup: StateSetup): LearnerOptions {
  return cuts[0]?.options ?? setup.options
}

function newLearner(setup: StateSetup, options: LearnerOptions): Learner {
  return createLearner({ ...setupOf(setup), options }, baseOf(setup.generation))
}

function setupOf({ generation: { model, dense }, engine, options }: StateSetup) {
  return { model, dense, engine, options }
}

/** Goes on with other options from here; what was learnt stays. */
function withOptions(
  setup: StateSetup,
  learner: Learner,
  now: LearnerOptions,
  next: LearnerOptions,
): Learner {
  if (JSON.stringify(now) === JSON.stringify(next)) return learner
  setup.log.info({}, 'the learner goes on with changed options')
  return restoreLearner({ ...setupOf(setup), options: next }, learner.snapshot())
}

async function replay(
  setup: StateSetup,
  start: Learner,
  startOptions: LearnerOptions,
  cuts: readonly LoggedCut[],
): Promise<{ learner: Learner; options: LearnerOptions }> {
  const feeds = openFeeds(setup.kafka, cuts)
  let learner = start
  let options = startOptions
  try {
    for (const logged of cuts) {
      learner = withOptions(setup, learner, options, logged.options)
      options = logged.options
      await applyLogged(setup, learner, logged.cut, feeds)
    }
  } catch (cause) {
    if (!(cause instanceof FreshetError) || cause.code !== 'TOPIC_INVALID') throw cause
    const message = `The cut log of generation ${setup.generation.id} names records that are gone. ${cause.message}`
    throw new FreshetError('CHECKPOINT_INVALID', message, { cause })
  } finally {
    for (const feed of feeds.values()) feed.close()
  }
  return { learner, options }
}

function openFeeds(
  kafka: StateSetup['kafka'],
  cuts: readonly LoggedCut[],
): ReadonlyMap<string, RangeFeed> {
  const ranges = new Map<string, Cut>()
  for (const { cut } of cuts) {
    const first = ranges.get(partitionKey(cut)) ?? cut
    ranges.set(partitionKey(cut), { ...first, to: cut.to })
  }
  return new Map(
    [...ranges].map(([key, cut]) => [key, new RangeFeed(kafka, cut, cut.from, cut.to)]),
  )
}

/** Without evaluation: what was published meanwhile is not known here, and figures are not part of the tables. */
async function applyLogged(
  { topics }: StateSetup,
  learner: Learner,
  cut: Cut,
  feeds: ReadonlyMap<string, RangeFeed>,
): Promise<void> {
  const records = await feeds.get(partitionKey(cut))!.take(cut.to)
  if (cut.topic === topics.items) {
    await learner.applyCatalogue(cut, decodeCatalogue(records, topics.deadLetters).values)
  } else {
    await learner.applyExamples(cut, decodeExamples(records, topics.deadLetters).values, 0)
  }
}

function baseOf(generation: Generation): LearnerBase {
  const { userDefaultRow, itemDefaultRow, userIds, userRows, itemIds, itemRows } = generation
  const { userSeenMs, itemSeenMs, itemVectors } = generation
  const dayMs = 86_400_000
  return {
    ...{ userDefaultRow, itemDefaultRow },
    users: { ids: userIds, rows: userRows, seenMs: userSeenMs },
    items: { ids: itemIds, rows: itemRows, seenMs: itemSeenMs, vectors: itemVectors },
    eventTimeMs: generation.day === null ? 0 : Date.parse(generation.day) + dayMs,
  }
}
