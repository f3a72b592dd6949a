import { FreshetError, invariant } from '../errors.ts'
import type { Side } from '../model/spec.ts'
import { frozenSides } from '../model/spec.ts'
import type { Example } from '../records/types.ts'
import type { EvaluationSnapshot, ProgressiveFigures } from './learner-evaluation.ts'
import { LearnerEvaluation, noFigures } from './learner-evaluation.ts'
import { LearnerItems } from './learner-items.ts'
import { LearnerTraining } from './learner-training.ts'
import type {
  CatalogueChange,
  Cut,
  ExampleRecord,
  LearnerBase,
  LearnerCounters,
  LearnerOptions,
  LearnerSetup,
  LearnerSnapshot,
  LearnerSync,
  Position,
} from './learner-types.ts'
import { newCounters } from './learner-types.ts'
import { LearnerUsers } from './learner-users.ts'

/** Expired rows are looked for this often in the time that it takes a row to expire. */
const sweepsPerExpiry = 32

/** A learner at the start of a generation. It evaluates. */
export function createLearner(setup: LearnerSetup, base: LearnerBase): Learner {
  const { users, items } = emptyTables(setup, base)
  users.load(base.users, base.eventTimeMs)
  items.load(base.items, base.eventTimeMs)
  return new Learner(setup, users, items, base.eventTimeMs)
}

/** The same, with `pause` again and again: a large generation takes its time. */
export async function createLearnerInSlices(
  setup: LearnerSetup,
  base: LearnerBase,
  pause: () => Promise<void>,
): Promise<Learner> {
  const { users, items } = emptyTables(setup, base)
  for (const _ of users.loadInSlices(base.users, base.eventTimeMs)) await pause()
  for (const _ of items.loadInSlices(base.items, base.eventTimeMs)) await pause()
  return new Learner(setup, users, items, base.eventTimeMs)
}

function emptyTables({ options, model, dense }: LearnerSetup, base: LearnerBase) {
  return {
    users: new LearnerUsers(options, { defaultRow: base.userDefaultRow }),
    items: new LearnerItems(options, model, dense, { defaultRow: base.itemDefaultRow }),
  }
}

/** A learner that goes on, to the bit, where `snapshot` was taken. The options have to be the same. */
export function restoreLearner(setup: LearnerSetup, snapshot: LearnerSnapshot): Learner {
  const { options, model, dense } = setup
  const users = new LearnerUsers(options, snapshot.users, snapshot.removedUsers)
  const items = new LearnerItems(options, model, dense, snapshot.items)
  return new Learner(setup, users, items, snapshot.baseTimeMs, snapshot)
}

/**
 * The learner without its surroundings: gather ID rows, gradients through the frozen towers, update rows. Calls must not overlap.
 */
export class Learner {
  readonly counters: LearnerCounters
  readonly users: LearnerUsers
  readonly items: LearnerItems
  readonly #setup: LearnerSetup
  #evaluation: LearnerEvaluation | null
  readonly #training: LearnerTraining
  /** By topic and partition, in order of first appearance. */
  readonly #positions = new Map<string, Position>()
  readonly #baseTimeMs: number
  #exampleTopic: string | null
  #sequence: number
  #streamTimeMs: number
  #sweep: number
  #isBusy = false

  /** Use createLearner or restoreLearner. */
  constructor(
    setup: LearnerSetup,
    users: LearnerUsers,
    items: LearnerItems,
    baseTimeMs: number,
    snapshot?: LearnerSnapshot,
  ) {
    const { options } = setup
    if (options.batchMax > Math.min(options.userRowsMax, options.itemRowsMax)) {
      throw new FreshetError(
        'CONFIG_INVALID',
        `learner.batchMax ${options.batchMax} must be at most userRowsMax and itemRowsMax: a batch has to fit in the tables`,
      )
    }
    this.users = users
    this.items = items
    this.#setup = setup
    this.#evaluation = null
    if (snapshot === undefined) this.beginEvaluation(null)
    else if (snapshot.evaluation !== null) this.beginEvaluation(snapshot.evaluation)
    this.counters = { ...newCounters(), ...snapshot?.counters }
    this.#training = new LearnerTraining(setup, users, items, this.counters)
    for (const position of snapshot?.positions ?? []) this.#positions.set(keyOf(position), position)
    this.#baseTimeMs = baseTimeMs
    this.#exampleTopic = snapshot?.exampleTopic ?? null
    this.#sequence = snapshot?.sequence ?? 0
    this.#streamTimeMs = snapshot?.streamTimeMs ?? 0
    this.#sweep = snapshot?.sweep ?? 0
  }

  get isEvaluating(): boolean {
    return this.#evaluation !== null
  }

  /** Sides whose rows no example changes. */
  get frozen(): readonly Side[] {
    return frozenSides(this.#setup.model)
  }

  /** Progressive figures since evaluation began, under whichever generation that was. */
  get figures(): ProgressiveFigures {
    return this.#evaluation?.figures ?? noFigures()
  }

  /** Examples that were evaluated or could have been, counted as the figures are. */
  get evaluatedExamples(): number {
    return this.#evaluation?.examples ?? 0
  }

  /** From here on examples are evaluated. @param before what the one that evaluated before left; null: from nothing */
  beginEvaluation(before: EvaluationSnapshot | null): void {
    const { evaluationSample } = this.#setup.options
    this.#evaluation = new LearnerEvaluation(this.users, this.items, evaluationSample, before)
  }

  /** Leaves evaluation to another; null when it did not evaluate. */
  endEvaluation(): EvaluationSnapshot | null {
    const left = this.#evaluation?.snapshot() ?? null
    this.#evaluation = null
    return left
  }

  get positions(): readonly Position[] {
    return [...this.#positions.values()]
  }

  /**
   * Trains on the examples of one cut, in their order, in micro-batches of at most batchMax and batchSpanMs. Heartbeats move the
   * position and nothing else: when they come is chance.
   * @param casesMax evaluates at most so many examples first; it changes figures, never tables
   * @returns the number of evaluated examples
   */
  async applyExamples(
    cut: Cut,
    records: readonly ExampleRecord[],
    casesMax = Infinity,
  ): Promise<number> {
    return this.#exclusively(async () => {
      const position = this.#follow(cut)
      this.#exampleTopic ??= cut.topic
      const examples = records.filter(isExample)
      let cases = 0
      for (let from = 0; from < examples.length;) {
        const batch = examples.slice(from, batchEnd(examples, from, this.#setup.options))
        from += batch.length
        cases += await this.#applyBatch(cut.partition, batch, casesMax - cases)
      }
      this.#streamTimeMs = latestOf(examples, this.#streamTimeMs)
      const eventTimeMs = latestOf(records, position.eventTimeMs)
      this.#positions.set(keyOf(cut), { ...position, offset: cut.to, eventTimeMs })
      return cases
    })
  }

  async applyCatalogue(cut: Cut, changes: readonly CatalogueChange[]): Promise<void> {
    await this.#exclusively(() => {
      const position = this.#follow(cut)
      for (const { itemId, item } of changes) {
        this.counters.evictedItems += this.items.table.makeRoom(1)
        this.counters.unusableFeatures += this.items.applyCatalogue(itemId, item)
      }
      this.#positions.set(keyOf(cut), { ...position, offset: cut.to })
      return Promise.resolve()
    })
  }

  /** Takes what has changed. The caller publishes it; until that is acknowledged, it takes no snapshot. */
  async sync(): Promise<LearnerSync> {
    return this.#exclusively(async () => {
      const rows = this.users.takeChanged()
      const overrides = await this.items.takeOverrides(this.#setup.engine)
      if (overrides.length > 0) this.#sequence++
      const positions = this.positions.filter(({ topic }) => topic === this.#exampleTopic)
      return {
        partitions: positions.map(({ partition, offset, eventTimeMs }) => ({
          partition,
          rows: rows.get(partition) ?? [],
          learnedThrough: { offset, eventTimeMs },
        })),
        removedUsers: this.users.takeRemoved(),
        overrides,
        sequence: this.#sequence,
        eventTimeMs: this.#streamTimeMs,
      }
    })
  }

  /** A copy of the whole state. */
  snapshot(): LearnerSnapshot {
    invariant(!this.#isBusy, 'the learner is in the middle of a cut')
    return {
      users: this.users.snapshot(),
      removedUsers: this.users.removed,
      items: this.items.snapshot(),
      evaluation: this.#evaluation?.snapshot() ?? null,
      positions: this.positions,
      exampleTopic: this.#exampleTopic,
      baseTimeMs: this.#baseTimeMs,
      sequence: this.#sequence,
      streamTimeMs: this.#streamTimeMs,
      sweep: this.#sweep,
      counters: { ...this.counters },
    }
  }

  async #applyBatch(
    partition: number,
    records: readonly OffsetExample[],
    casesMax: number,
  ): Promise<number> {
    this.#makeRoom(records.length)
    this.items.advance(latestOf(records, this.#streamTimeMs))
    const offsets: number[] = []
    const examples: Example[] = []
    for (const { offset, record } of records) {
      if (!this.#training.accept(record, examples.length)) continue
      offsets.push(offset)
      examples.push(record)
    }
    const cases =
      examples.length === 0 ? 0 : await this.#learn(partition, offsets, examples, casesMax)
    this.#evaluation?.count(
      partition,
      records.map(({ offset }) => offset),
    )
    return cases
  }

  async #learn(
    partition: number,
    offsets: readonly number[],
    examples: readonly Example[],
    casesMax: number,
  ): Promise<number> {
    const { batch } = this.#training
    const { engine } = this.#setup
    batch.batch = examples.length
    const { userSlots: slots, userRows: rows, userFeatures: features } = batch
    const gathered = { partition, offsets, examples, slots, rows, features }
    const cases = (await this.#evaluation?.evaluate(gathered, engine, casesMax)) ?? 0
    await this.#training.train(examples)
    examples.forEach(({ itemId, eventTimeMs }, b) => {
      this.users.record(batch.userSlots[b]!, partition, offsets[b]!, itemId, eventTimeMs)
    })
    return cases
  }

  /** Before a batch, never within one: slots in use must not be given to others. */
  #makeRoom(count: number): void {
    const { expireAfterMs } = this.#setup.options
    const sweep = Math.floor((this.#streamTimeMs * sweepsPerExpiry) / expireAfterMs)
    if (sweep > this.#sweep) {
      this.#sweep = sweep
      const beforeMs = this.#streamTimeMs - expireAfterMs
      this.counters.expiredUsers += this.users.table.expire(beforeMs)
      this.counters.expiredItems += this.items.expire(beforeMs)
    }
    this.counters.evictedUsers += this.users.table.makeRoom(count)
    this.counters.evictedItems += this.items.table.makeRoom(count)
  }

  #follow(cut: Cut): Position {
    const { topic, partition } = cut
    const position = this.#positions.get(keyOf(cut)) ?? {
      topic,
      partition,
      offset: cut.from,
      eventTimeMs: this.#baseTimeMs,
    }
    if (cut.from < position.offset) {
      throw new FreshetError(
        'CHECKPOINT_INVALID',
        `${topic}/${partition} has been applied up to ${position.offset}: offset ${cut.from} would train twice`,
      )
    }
    return position
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    invariant(!this.#isBusy, 'calls of a learner must not overlap')
    this.#isBusy = true
    try {
      return await work()
    } finally {
      this.#isBusy = false
    }
  }
}

/** One past the last example that goes into one micro-batch with example `from`. */
export function batchEnd(
  examples: readonly OffsetExample[],
  from: number,
  { batchMax, batchSpanMs }: Pick<LearnerOptions, 'batchMax' | 'batchSpanMs'>,
): number {
  const startMs = examples[from]!.record.eventTimeMs
  let end = from + 1
  while (end < examples.length && end - from < batchMax) {
    if (Math.abs(examples[end]!.record.eventTimeMs - startMs) > batchSpanMs) break
    end++
  }
  return end
}

export interface OffsetExample extends ExampleRecord {
  readonly record: Example
}

export function isExample(each: ExampleRecord): each is OffsetExample {
  return each.record.kind === 'example'
}

function latestOf(records: readonly ExampleRecord[], startMs: number): number {
  return records.reduce((latest, { record }) => Math.max(latest, record.eventTimeMs), startMs)
}

function keyOf({ topic, partition }: { topic: string; partition: number }): string {
  return `${topic}/${partition}`
}
