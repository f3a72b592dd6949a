import { messageOf } from '../errors.ts'
import type { Lineage } from '../records/reports.ts'
import type { EvaluationSnapshot } from '../streams/learner-evaluation.ts'
import type { LineageRole } from '../streams/learner-lineages.ts'
import type { Learner } from '../streams/learner.ts'
import type { CutLogWriter } from './cut-log.ts'
import { ArrivalPace } from './learner-arrival.ts'
import { EventTimePace } from './learner-event-time.ts'
import { LearnerMeter } from './learner-meter.ts'
import { openLearner } from './learner-open.ts'
import type { LearnerParts, LineageSetup, SharedParts } from './learner-open.ts'
import type { LearnerPace } from './learner-pace.ts'
import { LearnerPublisher } from './learner-publisher.ts'
import { LearnerWork } from './learner-work.ts'
import type { LearnerDeps } from './learner.ts'
import { partitionKey } from './ports.ts'
import type { Batch, Tail, TopicPartition } from './ports.ts'

const stopMs = 5_000

/** What a pace works with. */
export interface PaceParts {
  readonly deps: LearnerDeps & SharedParts
  readonly learner: Learner
  readonly cutLog: CutLogWriter
  readonly work: LearnerWork
  readonly publisher: LearnerPublisher
  /** Event time that the generation itself has come to. */
  readonly baseTimeMs: number
  role(): LineageRole
  /** Whether it may learn another window. */
  mayGoOn(): boolean
  pause(partition: TopicPartition): void
  resume(partition: TopicPartition): void
}

/** One generation trained online, from the moment this process owns it until it lets it go, stops or fails. */
export class LearnerSession {
  readonly generation: string
  /** Where windows are learnt, asked before each. */
  mayGoOn: () => boolean = () => true
  readonly #deps: LearnerDeps & SharedParts
  readonly #parts: LearnerParts
  readonly #meter: LearnerMeter
  readonly #publisher: LearnerPublisher
  readonly #ending = new AbortController()
  #pace!: LearnerPace
  #tail: Tail | null = null
  #role: LineageRole
  #isStopping = false
  #failure: unknown = null
  #running: Promise<void> = Promise.resolve()

  /**
   * Resolves when the lineage is where it was stopped, or at its generation, and reads on.
   * @param onChange something that others wait for may have changed: called after each publication
   */
  static async open(
    deps: LearnerDeps & SharedParts,
    setup: LineageSetup & { readonly role: LineageRole },
    onChange: () => void,
  ): Promise<LearnerSession> {
    const parts = await openLearner(deps, setup)
    const session = new LearnerSession(deps, parts, setup.role, onChange)
    try {
      await session.#begin()
      return session
    } catch (error) {
      await session.stop(false)
      throw error
    }
  }

  private constructor(
    deps: LearnerDeps & SharedParts,
    parts: LearnerParts,
    role: LineageRole,
    onChange: () => void,
  ) {
    const isLive = () => this.#role === 'live'
    this.generation = parts.generation
    this.#deps = deps
    this.#parts = parts
    this.#role = role
    this.#meter = new LearnerMeter(deps.metrics, deps.clock, parts.learner, isLive)
    this.#publisher = new LearnerPublisher(deps, parts, this.#meter, this.#ending.signal, onChange)
  }

  get learner(): Learner {
    return this.#parts.learner
  }

  get role(): LineageRole {
    return this.#role
  }

  set role(role: LineageRole) {
    this.#role = role
    this.#pace.wake()
  }

  get overrideSequence(): number {
    return this.#publisher.sequence
  }

  /** What the live lineage has learnt, and of any other as far as Redis has acknowledged it: so much could be served. */
  get progress(): Lineage {
    const { rows, generation } = this.#parts
    const learnedThrough = this.#role === 'live' ? this.learnedThrough : rows.learnedThrough
    return { generation, learnedThrough, isLoaded: rows.isLoaded }
  }

  /** Every partition of examples, in order. */
  get learnedThrough(): Lineage['learnedThrough'] {
    const { config, topics } = this.#deps
    const known = new Map(
      this.learner.positions.flatMap((p) =>
        p.topic === topics.examples ? [[p.partition, p]] : [],
      ),
    )
    return Array.from({ length: config.kafka.partitions }, (_, partition) => {
      const { offset = 0, eventTimeMs = 0 } = known.get(partition) ?? {}
      return { partition, offset, eventTimeMs }
    })
  }

  get lag(): number {
    return this.#pace.lags().reduce((sum, { lag }) => sum + lag, 0)
  }

  onBatch(batch: Batch): void {
    const repeated = this.#pace.add(batch)
    if (repeated === 0) return
    this.#deps.metrics.duplicates.inc({ role: 'learner', kind: 'redelivered' }, repeated)
  }

  /** Learns until `stop`. @throws what ended it; what it knew must then be dropped */
  async run(): Promise<void> {
    this.#running = this.#pace.run().catch((error: unknown) => this.#fail(error))
    await this.#running
    if (this.#failure !== null && !this.#isStopping) throw this.#failure as Error
  }

  /** Call between two cuts. The checkpoint that follows is what makes it last. */
  beginEvaluation(before: EvaluationSnapshot | null): void {
    this.learner.beginEvaluation(before)
    this.#meter.begin(this.learner)
    this.#publisher.hastenCheckpoint()
    this.#pace.wake()
  }

  /** Call between two cuts. The checkpoint of whoever goes on is to come first. */
  endEvaluation(): EvaluationSnapshot | null {
    this.#meter.countExamples(this.learner)
    this.#publisher.deferCheckpoint()
    return this.learner.endEvaluation()
  }

  /** Brings metrics up to date. */
  measure(): void {
    this.#meter.publish(this.learner, this.#pace.lags())
    this.#meter.learned(this.learnedThrough)
    // Each generation counts its sets for itself: a switch is seen although nothing is published.
    this.#meter.published(this.overrideSequence)
    this.#deps.metrics.lineageLag.set({ lineage: this.#role }, this.lag)
  }

  /** @param isClean publish and checkpoint what has been learnt; without, the next run learns it again */
  async stop(isClean: boolean): Promise<void> {
    this.#isStopping = true
    const deadline = setTimeout(() => this.#ending.abort(), stopMs)
    if (!isClean) this.#ending.abort()
    await this.#tail?.close()
    this.#pace?.stop()
    await this.#running
    await this.#publisher.settled()
    if (isClean && this.#failure === null && this.#pace.isWhole) await this.#publishLast()
    clearTimeout(deadline)
    await this.#parts.close()
  }

  async #publishLast(): Promise<void> {
    try {
      await this.#publisher.publish(true)
      await this.#publisher.settled()
    } catch (error) {
      const { generation } = this
      this.#deps.log.warn(
        { generation, error: messageOf(error) },
        'the learner stops without a last checkpoint',
      )
    }
  }

  async #begin(): Promise<void> {
    const { kafka, config } = this.#deps
    const { learner, openWindowMs } = this.#parts
    if (this.#role === 'live') this.#deps.owner.startJudging(learner.positions)
    const parts = this.#paceParts()
    this.#pace =
      config.learner.order === 'event-time'
        ? new EventTimePace(parts, openWindowMs)
        : await ArrivalPace.open(parts)
    this.#tail = await kafka.tail({
      topics: this.#pace.topics,
      from: new Map(learner.positions.map((position) => [partitionKey(position), position.offset])),
      onBatch: (batch) => this.onBatch(batch),
      onFailure: (error) => this.#fail(error),
    })
  }

  #paceParts(): PaceParts {
    const { learner, cutLog, baseTimeMs } = this.#parts
    const deps = this.#deps
    return {
      ...{ deps, learner, cutLog, baseTimeMs, publisher: this.#publisher },
      work: new LearnerWork(deps, this.#parts, this.#meter),
      role: () => this.#role,
      mayGoOn: () => this.mayGoOn(),
      pause: (partition) => this.#tail?.pause(partition),
      resume: (partition) => this.#tail?.resume(partition),
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error
    this.#ending.abort()
    this.#pace.stop()
  }
}
