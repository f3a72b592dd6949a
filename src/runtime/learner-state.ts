import path from 'node:path'
import { setImmediate as otherWork } from 'node:timers/promises'
import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import type { TensorModel } from '../model/engine.ts'
import type { TopicNames } from '../records/topics.ts'
import { createLearnerInSlices, restoreLearner } from '../streams/learner.ts'
import type { Learner } from '../streams/learner.ts'
import type { Cut, LearnerBase, LearnerOptions, Position } from '../streams/learner-types.ts'
import type { BaseRows } from '../streams/learner-users.ts'
import { CheckpointStore } from './checkpoint.ts'
import type { Checkpoint } from './checkpoint.ts'
import { readCutLog } from './cut-log.ts'
import type { CutLog, LoggedStep } from './cut-log.ts'
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
  /** Positions of which Redis has acknowledged every row. */
  readonly acknowledged: readonly Position[]
  /** End of a window that was begun and not ended. */
  readonly openWindowMs: number | null
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
  const { skewEpsilon, batchMax, batchSpanMs, expireAfterMs, evaluationSample } = config
  const { loss, logQ, negatives, hardNegativeShare } = config
  return {
    ...{ onlineRows, optimizer, learningRate, gradientNormMax, rowNormMax },
    ...{ userRowsMax, admitAfterUsers, examplesPerUserPerMinuteMax },
    ...{ itemRowsMax, admitAfterItems, popularityHalfLifeMs, popularityShare },
    ...{ skewEpsilon, batchMax, batchSpanMs, expireAfterMs, evaluationSample },
    ...{ loss, logQ, negatives, hardNegativeShare },
  }
}

/**
 * The state a learner left behind: its newest usable checkpoint and everything logged after it.
 * @param isFirst it evaluates from its start: no generation was live before it
 */
export async function restoreState(
  setup: StateSetup,
  stateDir: string,
  isFirst = true,
): Promise<RestoredLearner> {
  const { generation, log } = setup
  const dir = learnerDir(stateDir, generation.id)
  const cutLog = await readCutLog(dir, log)
  const checkpoints = new CheckpointStore(path.join(dir, 'checkpoints'), generation.id, log)
  const checkpoint = await checkpoints.newest((position) => cutLog.includes(position))
  const steps = cutLog.stepsFrom(checkpoint?.position ?? null)
  const options = checkpoint?.options ?? firstOptions(steps, setup)
  const start =
    checkpoint === null
      ? await newLearner(setup, options)
      : restoreLearner({ ...setupOf(setup), options }, checkpoint.snapshot)
  if (checkpoint === null && !isFirst) start.endEvaluation()
  const acknowledged = checkpoint?.snapshot.positions ?? []
  const replay = new Replay(setup, start, options, acknowledged)
  await replay.run(steps)
  return {
    ...{ checkpoints, cutLog, checkpoint, acknowledged: replay.acknowledged },
    learner: replay.goOnWith(setup.options),
    replayedCuts: replay.cuts,
    openWindowMs: replay.openWindowMs,
  }
}

/**
 * Computes a learner's tables again, from the generation, its cut log and the topics alone: equal to the bit to those of the learner
 * that wrote the log, on the same engine and kind of CPU.
 * @param dir folder of the generation's cut log, `learnerDir`
 */
export async function replayCutLog(setup: StateSetup, dir: string): Promise<Learner> {
  const steps = (await readCutLog(dir, setup.log)).stepsFrom(null)
  const options = firstOptions(steps, setup)
  const replay = new Replay(setup, await newLearner(setup, options), options, [])
  await replay.run(steps)
  return replay.learner
}

function firstOptions(steps: readonly LoggedStep[], setup: StateSetup): LearnerOptions {
  return steps[0]?.options ?? setup.options
}

function newLearner(setup: StateSetup, options: LearnerOptions): Promise<Learner> {
  const base = baseOf(setup.generation)
  return createLearnerInSlices({ ...setupOf(setup), options }, base, () => otherWork())
}

function setupOf({ generation: { model, dense }, engine, options }: StateSetup) {
  return { model, dense, engine, options }
}

/** Does again what a log says. */
class Replay {
  learner: Learner
  acknowledged: readonly Position[]
  cuts = 0
  openWindowMs: number | null = null
  readonly #setup: StateSetup
  #options: LearnerOptions

  constructor(
    setup: StateSetup,
    start: Learner,
    options: LearnerOptions,
    acknowledged: readonly Position[],
  ) {
    this.#setup = setup
    this.#options = options
    this.learner = start
    this.acknowledged = acknowledged
  }

  async run(steps: readonly LoggedStep[]): Promise<void> {
    const feeds = openFeeds(this.#setup.kafka, steps)
    try {
      for (const [i, step] of steps.entries()) await this.#do(step, i === steps.length - 1, feeds)
    } catch (cause) {
      if (!(cause instanceof FreshetError) || cause.code !== 'TOPIC_INVALID') throw cause
      const message = `The cut log of generation ${this.#setup.generation.id} names records that are gone. ${cause.message}`
      throw new FreshetError('CHECKPOINT_INVALID', message, { cause })
    } finally {
      for (const feed of feeds.values()) feed.close()
    }
  }

  /** Goes on with other options from here; what was learnt stays. */
  goOnWith(options: LearnerOptions): Learner {
    if (JSON.stringify(this.#options) !== JSON.stringify(options)) {
      this.#setup.log.info({}, 'the learner goes on with changed options')
      this.learner = restoreLearner({ ...setupOf(this.#setup), options }, this.learner.snapshot())
      this.#options = options
    }
    return this.learner
  }

  async #do(
    { step, options, order }: LoggedStep,
    isLast: boolean,
    feeds: ReadonlyMap<string, RangeFeed>,
  ): Promise<void> {
    this.goOnWith(options)
    switch (step.kind) {
      case 'cut':
        this.cuts++
        // As records arrived, it is not known what was published meanwhile, so figures cannot be had again; they are not part of the tables.
        await this.#apply(step.cut, order === 'event-time' ? Infinity : 0, feeds)
        break
      case 'window':
        this.openWindowMs = step.endMs
        break
      case 'sync':
        this.openWindowMs = null
        // What follows was begun after this had been published. Nothing follows: then it is published again.
        if (isLast) break
        await this.learner.sync()
        this.acknowledged = this.learner.positions
    }
  }

  async #apply(cut: Cut, casesMax: number, feeds: ReadonlyMap<string, RangeFeed>): Promise<void> {
    const { topics } = this.#setup
    const records = await feeds.get(partitionKey(cut))!.take(cut.to)
    if (cut.topic === topics.items) {
      await this.learner.applyCatalogue(cut, decodeCatalogue(records, topics.deadLetters).values)
    } else {
      const { values } = decodeExamples(records, topics.deadLetters)
      await this.learner.applyExamples(cut, values, casesMax)
    }
  }
}

function openFeeds(
  kafka: StateSetup['kafka'],
  steps: readonly LoggedStep[],
): ReadonlyMap<string, RangeFeed> {
  const ranges = new Map<string, Cut>()
  for (const { step } of steps) {
    if (step.kind !== 'cut') continue
    const first = ranges.get(partitionKey(step.cut)) ?? step.cut
    ranges.set(partitionKey(step.cut), { ...first, to: step.cut.to })
  }
  return new Map(
    [...ranges].map(([key, cut]) => [key, new RangeFeed(kafka, cut, cut.from, cut.to)]),
  )
}

export function baseOf(generation: Generation): LearnerBase {
  const { userDefaultRow, itemDefaultRow, userIds, userRows, itemIds, itemRows } = generation
  const { userSeenMs, itemSeenMs, itemVectors, itemActivity } = generation
  return {
    ...{ userDefaultRow, itemDefaultRow },
    users: { ids: userIds, rows: userRows, seenMs: userSeenMs, recentItems: recentOf(generation) },
    items: {
      ...{ ids: itemIds, rows: itemRows, seenMs: itemSeenMs, vectors: itemVectors },
      activity: itemActivity,
    },
    eventTimeMs: baseTimeOf(generation),
  }
}

function recentOf({ itemIds, recent }: Generation): NonNullable<BaseRows['recentItems']> {
  const { counts, items } = recent
  const starts = new Uint32Array(counts.length)
  for (let i = 1; i < starts.length; i++) starts[i] = starts[i - 1]! + counts[i - 1]!
  return (entry) => {
    const start = starts[entry]!
    return Array.from(items.subarray(start, start + counts[entry]!), (item) => itemIds[item]!)
  }
}

/** Event time that a generation has come to: the end of its day; 0 for none. */
export function baseTimeOf({ day }: Pick<Generation, 'day'>): number {
  const dayMs = 86_400_000
  return day === null ? 0 : Date.parse(day) + dayMs
}
