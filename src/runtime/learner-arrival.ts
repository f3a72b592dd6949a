import { setImmediate as otherWork } from 'node:timers/promises'
import { LearnerIntake } from './learner-intake.ts'
import type { Piece } from './learner-intake.ts'
import { LearnerCatalogue } from './learner-catalogue.ts'
import type { LearnerPace } from './learner-pace.ts'
import { timeOf } from './learner-records.ts'
import type { PaceParts } from './learner-session.ts'
import type { Batch } from './ports.ts'

/** Micro-batches that one cut of the live lineage may hold. */
const batchesPerCut = 4
const waitingMax = 5_000
/** Redis is looked after this often, also when nothing is learnt. */
const rowsCheckMs = 1_000

/** Learns what comes as it comes, and publishes by the clock. */
export class ArrivalPace implements LearnerPace {
  readonly topics: readonly string[]
  readonly isWhole = true
  readonly #parts: PaceParts
  readonly #intake: LearnerIntake
  #isStopping = false
  #failure: unknown = null
  /** The state as restored may hold rows that were never acknowledged. */
  #isChanged = true
  #examplesSinceSync = 0
  #eventTimeMs = 0
  #syncedEventTimeMs = 0
  #lastSyncMs = -Infinity
  #evaluationsLeft = 0
  #evaluationsSinceMs = -Infinity

  /** Resolves when the catalogue is learnt as it is now, so that examples meet items with features. */
  static async open(parts: PaceParts): Promise<ArrivalPace> {
    const pace = new ArrivalPace(parts)
    await pace.#learnCatalogue()
    return pace
  }

  private constructor(parts: PaceParts) {
    const { deps, learner, role } = parts
    const { batchMax, batchSpanMs } = deps.config.learner
    this.#parts = parts
    this.topics = [deps.topics.examples, deps.topics.items]
    this.#intake = new LearnerIntake({
      // The live lineage never waits for more than one micro-batch of another.
      pieceMax: () => (role() === 'live' ? batchMax * batchesPerCut : batchMax),
      waitingMax,
      aheadMs: batchSpanMs,
      timeOf: (record) => timeOf(record, deps.topics.examples),
      pause: (partition) => parts.pause(partition),
      resume: (partition) => parts.resume(partition),
    })
    for (const position of learner.positions) this.#intake.startAt(position, position.offset)
  }

  add(batch: Batch): number {
    return this.#intake.add(batch)
  }

  wake(): void {
    this.#intake.wake()
  }

  stop(): void {
    this.#isStopping = true
    this.wake()
  }

  lags() {
    return this.#intake.lags()
  }

  async run(): Promise<void> {
    const { publisher, role } = this.#parts
    // Rows of the generation go to Redis before the first example.
    await this.#sync()
    while (!this.#isStopping) {
      // In a replay, what was learnt in one stretch of event time is to be seen before the next is learnt and scored.
      if (this.#isOverdue() && publisher.isBusy) await publisher.published()
      const piece = this.#isOverdue() ? null : this.#intake.take()
      if (piece !== null) await this.#learn(piece)
      if (this.#failure !== null) throw this.#failure as Error
      const untilSyncMs = this.#untilSyncMs()
      if (untilSyncMs <= 0 && !publisher.isBusy) await this.#sync()
      else if (piece === null) await this.#intake.waitForRecords(this.#waitMs(untilSyncMs))
      if (role() !== 'live') await otherWork()
    }
  }

  async #sync(): Promise<void> {
    const { publisher, deps } = this.#parts
    this.#isChanged = false
    this.#examplesSinceSync = 0
    this.#syncedEventTimeMs = this.#eventTimeMs
    this.#lastSyncMs = deps.clock.nowMs()
    await publisher.begin(false, (error) => {
      if (error !== undefined && !this.#isStopping) this.#failure = error
      this.wake()
    })
  }

  /** A sync also tells whether Redis still has everything, so that one is due when nothing has changed, too. */
  #untilSyncMs(): number {
    const { config, clock } = this.#parts.deps
    const { syncMs, syncExamples } = config.learner
    if (this.#examplesSinceSync >= syncExamples || this.#isOverdue()) return 0
    if (this.#parts.publisher.isCheckpointHastened) return 0
    const everyMs = this.#isChanged ? syncMs : rowsCheckMs
    return this.#lastSyncMs + everyMs - clock.nowMs()
  }

  #isOverdue(): boolean {
    const { syncEventMs } = this.#parts.deps.config.learner
    return this.#eventTimeMs - this.#syncedEventTimeMs >= syncEventMs
  }

  #waitMs(untilSyncMs: number): number {
    // The end of the publication under way wakes the learner.
    return this.#parts.publisher.isBusy ? rowsCheckMs : Math.min(untilSyncMs, rowsCheckMs)
  }

  async #learn(piece: Piece): Promise<void> {
    const { work, deps, role } = this.#parts
    this.#isChanged = true
    if (piece.topic === deps.topics.items) {
      await deps.turns.take(role() === 'live', () => work.applyCatalogue(piece))
      return
    }
    const { examples, eventTimeMs, cases } = await deps.turns.take(role() === 'live', () =>
      work.applyExamples(piece, this.#evaluationsMax()),
    )
    this.#evaluationsLeft -= cases
    this.#examplesSinceSync += examples
    this.#eventTimeMs = Math.max(this.#eventTimeMs, eventTimeMs)
  }

  #evaluationsMax(): number {
    const { clock, config } = this.#parts.deps
    const nowMs = clock.nowMs()
    if (nowMs - this.#evaluationsSinceMs >= 1_000) {
      this.#evaluationsSinceMs = nowMs
      this.#evaluationsLeft = config.learner.evaluationsPerSecondMax
    }
    return Math.max(0, this.#evaluationsLeft)
  }

  async #learnCatalogue(): Promise<void> {
    const { deps, learner } = this.#parts
    const catalogue = new LearnerCatalogue(deps.kafka, deps.topics.items)
    for (const { topic, partition, offset } of learner.positions) {
      if (topic === deps.topics.items) catalogue.startAt(partition, offset)
    }
    for (const piece of await catalogue.before(Infinity)) {
      await this.#learn(piece)
      this.#intake.startAt(piece, piece.to)
      await otherWork()
    }
  }
}
