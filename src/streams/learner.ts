import { FreshetError, invariant } from '../errors.ts'
import { encodeFeatures } from '../model/features.ts'
import { RowGradients } from '../model/sgd.ts'
import { featureWidth } from '../model/spec.ts'
import type { Example } from '../records/types.ts'
import { LearnerBatch } from './learner-batch.ts'
import type { ProgressiveFigures } from './learner-evaluation.ts'
import { LearnerEvaluation } from './learner-evaluation.ts'
import { LearnerItems } from './learner-items.ts'
import type {
  CatalogueChange,
  Cut,
  ExampleRecord,
  LearnerBase,
  LearnerCounters,
  LearnerSetup,
  LearnerSnapshot,
  LearnerSync,
  Position,
} from './learner-types.ts'
import { newCounters } from './learner-types.ts'
import { LearnerUsers } from './learner-users.ts'

/** Heavier examples are taken for garbage. */
const weightMax = 1e6
/** Expired rows are looked for this often in the time that it takes a row to expire. */
const sweepsPerExpiry = 32

/** A learner at the start of a generation. */
export function createLearner(setup: LearnerSetup, base: LearnerBase): Learner {
  const { options, model, dense } = setup
  const users = new LearnerUsers(options, { defaultRow: base.userDefaultRow })
  const items = new LearnerItems(options, model, dense, { defaultRow: base.itemDefaultRow })
  users.load(base.users, base.eventTimeMs)
  items.load(base.items, base.eventTimeMs)
  return new Learner(setup, users, items)
}

/** A learner that goes on, to the bit, where `snapshot` was taken. The options have to be the same. */
export function restoreLearner(setup: LearnerSetup, snapshot: LearnerSnapshot): Learner {
  const { options, model, dense } = setup
  const users = new LearnerUsers(options, snapshot.users)
  const items = new LearnerItems(options, model, dense, snapshot.items)
  return new Learner(setup, users, items, snapshot)
}

/**
 * The learner without its surroundings: gather ID rows, gradients through the frozen towers, update rows. Calls must not overlap.
 */
export class Learner {
  readonly counters: LearnerCounters
  readonly users: LearnerUsers
  readonly items: LearnerItems
  readonly #setup: LearnerSetup
  readonly #evaluation: LearnerEvaluation
  readonly #batch: LearnerBatch
  readonly #userGradients: RowGradients
  readonly #itemGradients: RowGradients
  /** By topic and partition, in order of first appearance. */
  readonly #positions = new Map<string, Position>()
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
    snapshot?: LearnerSnapshot,
  ) {
    const { model, options } = setup
    if (options.batchMax > Math.min(options.userRowsMax, options.itemRowsMax)) {
      throw new FreshetError(
        'CONFIG_INVALID',
        `learner.batchMax ${options.batchMax} must be at most userRowsMax and itemRowsMax: a batch has to fit in the tables`,
      )
    }
    this.users = users
    this.items = items
    this.#setup = setup
    this.#evaluation = new LearnerEvaluation(
      users,
      items,
      options.evaluationSample,
      snapshot?.evaluation,
    )
    this.#batch = new LearnerBatch(model, options.batchMax, options.negatives)
    this.#userGradients = new RowGradients(model.dim)
    this.#itemGradients = new RowGradients(model.dim)
    this.counters = snapshot === undefined ? newCounters() : { ...snapshot.counters }
    for (const position of snapshot?.positions ?? []) this.#positions.set(keyOf(position), position)
    this.#exampleTopic = snapshot?.exampleTopic ?? null
    this.#sequence = snapshot?.sequence ?? 0
    this.#streamTimeMs = snapshot?.streamTimeMs ?? 0
    this.#sweep = snapshot?.sweep ?? 0
  }

  /** Progressive figures since the generation's start. */
  get figures(): ProgressiveFigures {
    return this.#evaluation.figures
  }

  get positions(): readonly Position[] {
    return [...this.#positions.values()]
  }

  /**
   * Trains on the records of one cut, in their order, in micro-batches of at most batchMax and batchSpanMs.
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
      let cases = 0
      let { eventTimeMs } = position
      for (let from = 0; from < records.length;) {
        const batch = records.slice(from, this.#batchEnd(records, from))
        from += batch.length
        cases += await this.#applyBatch(cut.partition, batch, casesMax - cases)
        for (const { record } of batch) eventTimeMs = Math.max(eventTimeMs, record.eventTimeMs)
      }
      this.#streamTimeMs = Math.max(this.#streamTimeMs, eventTimeMs)
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
      items: this.items.snapshot(),
      evaluation: this.#evaluation.snapshot(),
      positions: this.positions,
      exampleTopic: this.#exampleTopic,
      sequence: this.#sequence,
      streamTimeMs: this.#streamTimeMs,
      sweep: this.#sweep,
      counters: { ...this.counters },
    }
  }

  /** One past the last record that goes into one micro-batch with record `from`. */
  #batchEnd(records: readonly ExampleRecord[], from: number): number {
    const { batchMax, batchSpanMs } = this.#setup.options
    const startMs = records[from]!.record.eventTimeMs
    let end = from + 1
    while (end < records.length && end - from < batchMax) {
      if (Math.abs(records[end]!.record.eventTimeMs - startMs) > batchSpanMs) break
      end++
    }
    return end
  }

  async #applyBatch(
    partition: number,
    records: readonly ExampleRecord[],
    casesMax: number,
  ): Promise<number> {
    this.#makeRoom(records.length)
    const offsets: number[] = []
    const examples: Example[] = []
    for (const { offset, record } of records) {
      if (record.kind === 'heartbeat' || !this.#accept(record, examples.length)) continue
      offsets.push(offset)
      examples.push(record)
    }
    if (examples.length === 0) return 0
    const batch = this.#batch
    const { engine } = this.#setup
    batch.batch = examples.length
    const cases = await this.#evaluation.evaluate(
      examples,
      batch.userSlots,
      batch.userRows,
      batch.userFeatures,
      engine,
      casesMax,
    )
    await this.#train(examples)
    examples.forEach(({ itemId, eventTimeMs }, b) => {
      this.users.record(batch.userSlots[b]!, partition, offsets[b]!, itemId, eventTimeMs)
    })
    return cases
  }

  /** Gathers the example's user into place `b`; false: it is not trained. */
  #accept(example: Example, b: number): boolean {
    const { model, dense } = this.#setup
    this.counters.examples++
    if (!(example.weight >= 0 && example.weight <= weightMax)) {
      this.counters.quarantinedExamples++
      return false
    }
    const slot = this.users.sight(example.userId, example.eventTimeMs)
    if (!this.users.isWithinRate(slot, example.eventTimeMs)) {
      this.counters.overRate++
      return false
    }
    this.#batch.userSlots[b] = slot
    this.users.table.copyRow(slot, this.#batch.userRows, b * model.dim)
    this.counters.unusableFeatures += encodeFeatures(
      model.user,
      dense.user,
      example.features,
      this.#batch.userFeatures,
      b * featureWidth(model.user),
    )
    return true
  }

  async #train(examples: readonly Example[]): Promise<void> {
    const { options, engine, model } = this.#setup
    const batch = this.#batch
    batch.gatherPositives(examples, this.items)
    if (this.items.sampler.size === 0) {
      this.counters.withoutNegatives += examples.length
      return
    }
    batch.gatherNegatives(examples, this.items, options.negatives)
    const output = await engine.step(batch)
    for (let b = 0; b < batch.batch; b++) {
      const loss = output.losses[b]!
      if (Number.isFinite(loss)) {
        this.counters.trained++
        this.counters.lossSum += loss
      } else this.counters.quarantinedExamples++
      const user = batch.userSlots[b]!
      const positive = batch.positiveSlots[b]!
      if (user !== 0) this.#userGradients.add(user, output.userGradients, b * model.dim)
      if (this.#trainsItem(positive)) {
        this.#itemGradients.add(positive, output.positiveGradients, b * model.dim)
      }
    }
    for (let m = 0; m < batch.negatives; m++) {
      const negative = batch.negativeSlots[m]!
      if (this.#trainsItem(negative)) {
        this.#itemGradients.add(negative, output.negativeGradients, m * model.dim)
      }
    }
    this.counters.quarantinedRows +=
      this.#userGradients.apply(this.users.table, options) +
      this.#itemGradients.apply(this.items.table, options)
  }

  #trainsItem(slot: number): boolean {
    return this.#setup.options.onlineRows === 'user+item' && this.items.trains(slot)
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
      eventTimeMs: 0,
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

function keyOf({ topic, partition }: { topic: string; partition: number }): string {
  return `${topic}/${partition}`
}
