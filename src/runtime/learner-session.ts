import { FreshetError, messageOf } from '../errors.ts'
import { encodeReport } from '../records/codec.ts'
import type { Cut } from '../streams/learner-types.ts'
import type { Learner } from '../streams/learner.ts'
import { LearnerIntake } from './learner-intake.ts'
import type { Piece } from './learner-intake.ts'
import { LearnerMeter } from './learner-meter.ts'
import { openLearner } from './learner-open.ts'
import type { LearnerParts } from './learner-open.ts'
import { LearnerPublisher } from './learner-publisher.ts'
import { decodeCatalogue, decodeExamples, timeOf } from './learner-records.ts'
import type { Decoded } from './learner-records.ts'
import type { LearnerDeps } from './learner.ts'
import type { Batch, TopicPartition } from './ports.ts'

/** Micro-batches that one cut may hold. */
const batchesPerCut = 4
const waitingMax = 5_000
/** Redis is looked after this often, also when nothing is learnt. */
const rowsCheckMs = 1_000
const reportMs = 1_000
const stopMs = 5_000

export interface SessionHooks {
  pause(partition: TopicPartition): void
  resume(partition: TopicPartition): void
  /** The session has ended and what it knew must be dropped. */
  onFailure(error: unknown): void
}

/** One learner at work on one generation, from the moment it owns all partitions until it loses them or stops. */
export class LearnerSession {
  readonly #deps: LearnerDeps
  readonly #parts: LearnerParts
  readonly #intake: LearnerIntake
  readonly #meter: LearnerMeter
  readonly #publisher: LearnerPublisher
  readonly #hooks: SessionHooks
  readonly #ending = new AbortController()
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
  #running: Promise<void> = Promise.resolve()
  #reporting: NodeJS.Timeout | undefined

  /**
   * Resolves when the learner is where the one before it stopped, and has learnt the catalogue as it is now, so that examples meet
   * items with features.
   */
  static async open(
    deps: LearnerDeps,
    generation: string,
    hooks: SessionHooks,
  ): Promise<LearnerSession> {
    const parts = await openLearner(deps, generation)
    try {
      const session = new LearnerSession(deps, parts, hooks)
      await session.#learnCatalogue()
      return session
    } catch (error) {
      await parts.close()
      throw error
    }
  }

  private constructor(deps: LearnerDeps, parts: LearnerParts, hooks: SessionHooks) {
    const { learner } = parts
    this.#deps = deps
    this.#parts = parts
    this.#hooks = hooks
    this.#meter = new LearnerMeter(deps.metrics, deps.clock, learner)
    this.#publisher = new LearnerPublisher(deps, parts, this.#meter, this.#ending.signal)
    this.#intake = new LearnerIntake({
      pieceMax: deps.config.learner.batchMax * batchesPerCut,
      waitingMax,
      aheadMs: deps.config.learner.batchSpanMs,
      timeOf: (record) => timeOf(record, deps.topics.examples),
      pause: (partition) => hooks.pause(partition),
      resume: (partition) => hooks.resume(partition),
    })
    for (const position of learner.positions) this.#intake.startAt(position, position.offset)
    // What waits for Kafka when the time is up must not be waited for.
    this.#ending.signal.addEventListener('abort', () => {
      void parts.owner.close()
      void parts.producer.close()
    })
  }

  get learner(): Learner {
    return this.#parts.learner
  }

  /** Where the consumer has to start; undefined: nothing of the partition is learnt. */
  positionOf(partition: TopicPartition): number | undefined {
    return this.#intake.positionOf(partition)
  }

  onBatch(batch: Batch): void {
    const repeated = this.#intake.add(batch)
    if (repeated === 0) return
    this.#deps.metrics.duplicates.inc({ role: 'learner', kind: 'redelivered' }, repeated)
  }

  start(): void {
    this.#running = this.#run().catch((error: unknown) => this.#fail(error))
    this.#reporting = setInterval(() => void this.#report(), reportMs)
  }

  /** @param isClean publish and checkpoint what has been learnt; without, the next owner learns it again */
  async stop(isClean: boolean): Promise<void> {
    this.#isStopping = true
    clearInterval(this.#reporting)
    const deadline = setTimeout(() => this.#ending.abort(), isClean ? stopMs : 0)
    this.#intake.wake()
    await this.#running
    await this.#publisher.settled()
    if (isClean && this.#failure === null) {
      await this.#publisher.begin(true, (error) => (this.#failure = error ?? null))
      await this.#publisher.settled()
      if (this.#failure !== null) {
        const error = messageOf(this.#failure)
        this.#deps.log.warn({ error }, 'the learner stops without a last checkpoint')
      }
    }
    if (isClean) await this.#report()
    clearTimeout(deadline)
    await this.#parts.close()
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      // In a replay, what was learnt in one stretch of event time is to be seen before the next is learnt and scored.
      if (this.#isOverdue() && this.#publisher.isBusy) await this.#publisher.published()
      const piece = this.#isOverdue() ? null : this.#intake.take()
      if (piece !== null) await this.#learn(piece)
      if (this.#failure !== null) throw this.#failure as Error
      const untilSyncMs = this.#untilSyncMs()
      if (untilSyncMs <= 0 && !this.#publisher.isBusy) await this.#sync()
      else if (piece === null) await this.#intake.waitForRecords(this.#waitMs(untilSyncMs))
    }
  }

  async #sync(): Promise<void> {
    this.#isChanged = false
    this.#examplesSinceSync = 0
    this.#syncedEventTimeMs = this.#eventTimeMs
    this.#lastSyncMs = this.#deps.clock.nowMs()
    await this.#publisher.begin(false, (error) => {
      if (error !== undefined && !this.#isStopping) this.#failure = error
      this.#intake.wake()
    })
  }

  /** A sync also tells whether Redis still has everything, so that one is due when nothing has changed, too. */
  #untilSyncMs(): number {
    const { syncMs, syncExamples } = this.#deps.config.learner
    if (this.#examplesSinceSync >= syncExamples || this.#isOverdue()) return 0
    const everyMs = this.#isChanged ? syncMs : rowsCheckMs
    return this.#lastSyncMs + everyMs - this.#deps.clock.nowMs()
  }

  #isOverdue(): boolean {
    return this.#eventTimeMs - this.#syncedEventTimeMs >= this.#deps.config.learner.syncEventMs
  }

  #waitMs(untilSyncMs: number): number {
    // The end of the publication under way wakes the learner.
    return this.#publisher.isBusy ? rowsCheckMs : Math.min(untilSyncMs, rowsCheckMs)
  }

  async #learn(piece: Piece): Promise<void> {
    const { topics } = this.#deps
    const { learner } = this.#parts
    const { records, ...cut } = piece
    this.#isChanged = true
    if (cut.topic === topics.items) {
      const { values, deadLetters } = decodeCatalogue(records, topics.deadLetters)
      await this.#prepare(cut, deadLetters)
      await learner.applyCatalogue(cut, values)
      this.#meter.applied(
        records,
        values.map(({ itemId }) => itemId),
        false,
      )
      return
    }
    const { values, deadLetters } = decodeExamples(records, topics.deadLetters)
    await this.#prepare(cut, deadLetters)
    const evaluated = await learner.applyExamples(cut, values, this.#evaluationsMax())
    this.#evaluationsLeft -= evaluated
    const examples = values.flatMap(({ record }) => (record.kind === 'example' ? [record] : []))
    const offsets = new Set(values.flatMap((v) => (v.record.kind === 'example' ? [v.offset] : [])))
    this.#meter.applied(
      records.filter(({ offset }) => offsets.has(offset)),
      examples.map(({ itemId }) => itemId),
      true,
    )
    this.#examplesSinceSync += examples.length
    for (const { eventTimeMs } of examples) {
      this.#eventTimeMs = Math.max(this.#eventTimeMs, eventTimeMs)
    }
  }

  /** Dead letters before the cut: a crash between the two repeats them, none is lost. */
  async #prepare(cut: Cut, deadLetters: Decoded<unknown>['deadLetters']): Promise<void> {
    if (deadLetters.length > 0) {
      await this.#parts.producer.send(deadLetters.map(({ letter }) => letter))
      for (const { reason } of deadLetters) {
        this.#deps.metrics.deadLetters.inc({ role: 'learner', reason })
      }
    }
    await this.#parts.cutLog.append(cut)
  }

  #evaluationsMax(): number {
    const nowMs = this.#deps.clock.nowMs()
    if (nowMs - this.#evaluationsSinceMs >= 1_000) {
      this.#evaluationsSinceMs = nowMs
      this.#evaluationsLeft = this.#deps.config.learner.evaluationsPerSecondMax
    }
    return Math.max(0, this.#evaluationsLeft)
  }

  async #learnCatalogue(): Promise<void> {
    const { kafka, topics } = this.#deps
    const topic = topics.items
    for (const { partition, low, high } of await kafka.offsets(topic)) {
      const from = this.positionOf({ topic, partition }) ?? low
      await kafka.readRange({ topic, partition }, from, high, async (batch) => {
        this.onBatch(batch)
        for (let piece = this.#intake.take(); piece !== null; piece = this.#intake.take()) {
          await this.#learn(piece)
        }
      })
    }
  }

  async #report(): Promise<void> {
    const { topics, clock, instance, log } = this.#deps
    const { learner, generation, producer } = this.#parts
    this.#meter.publish(learner, this.#intake)
    const atMs = clock.nowMs()
    const positions = learner.positions.filter(({ topic }) => topic === topics.examples)
    const body = {
      learnedThrough: positions.map(({ partition, offset, eventTimeMs }) => {
        return { partition, offset, eventTimeMs }
      }),
      lag: this.#intake.lags().reduce((sum, { lag }) => sum + lag, 0),
      overrideSequence: this.#publisher.sequence,
      users: learner.users.table.size,
      items: learner.items.table.size,
      counters: learner.counters,
      figures: learner.figures,
    }
    const value = encodeReport({
      role: 'learner',
      instance,
      kind: 'learned',
      generation,
      atMs,
      body,
    })
    const key = `learner/${instance}`
    await producer
      .send([{ topic: topics.reports, key, value, timestampMs: atMs }])
      .catch((error: unknown) => log.debug({ error: messageOf(error) }, 'a report was not sent'))
  }

  #fail(error: unknown): void {
    this.#failure = error
    this.#ending.abort()
    if (this.#isStopping && error instanceof FreshetError && error.disposition === 'retry') return
    this.#hooks.onFailure(error)
  }
}
