import { messageOf } from '../errors.ts'
import type { LearnerSync } from '../streams/learner-types.ts'
import type { Checkpoint } from './checkpoint.ts'
import type { CutLogPosition } from './cut-log.ts'
import type { Arrivals, LearnerMeter } from './learner-meter.ts'
import type { LearnerParts, SharedParts } from './learner-open.ts'
import { PublishedSets } from './learner-published-sets.ts'
import type { LearnerDeps } from './learner.ts'

/**
 * Makes what was learnt visible, while the learner learns on: cut log on disk, then user rows acknowledged by Redis, then the override
 * set in one transaction, then, when one is due, the checkpoint. A checkpoint holds the state as it was taken together with the
 * rows, so whatever it contains has been acknowledged.
 */
export class LearnerPublisher {
  readonly #deps: LearnerDeps & SharedParts
  readonly #parts: LearnerParts
  readonly #meter: LearnerMeter
  readonly #signal: AbortSignal
  readonly #onPublished: () => void
  readonly #sets: PublishedSets
  #lastCheckpointMs: number
  #isHastened = false
  #lastCheckpoint: CutLogPosition | null = null
  #publishing: Promise<void> | null = null
  #checkpointing: Promise<void> | null = null

  /**
   * @param signal ends waiting for Redis
   * @param onPublished called after each publication
   */
  constructor(
    deps: LearnerDeps & SharedParts,
    parts: LearnerParts,
    meter: LearnerMeter,
    signal: AbortSignal,
    onPublished: () => void,
  ) {
    this.#deps = deps
    this.#parts = parts
    this.#meter = meter
    this.#signal = signal
    this.#onPublished = onPublished
    this.#sets = new PublishedSets(deps, parts)
    this.#lastCheckpointMs = deps.clock.nowMs()
  }

  get isBusy(): boolean {
    return this.#publishing !== null
  }

  /** Of the newest set published. */
  get sequence(): number {
    return this.#sets.sequence
  }

  /**
   * Takes what has changed; call it between two cuts, and not while busy.
   * @param onEnd called when it is visible, or with what went wrong
   */
  async begin(isLast: boolean, onEnd: (error?: unknown) => void): Promise<void> {
    const sync = await this.#parts.learner.sync()
    const arrivals = this.#meter.takeArrivals()
    const checkpoint = this.#isCheckpointDue(isLast) ? this.#takeCheckpoint() : null
    this.#publishing = this.#publish(sync, arrivals, checkpoint)
      .finally(() => (this.#publishing = null))
      .then(() => onEnd(), onEnd)
  }

  /** `begin`, and resolves when all is visible. */
  async publish(isLast: boolean): Promise<void> {
    let failure: unknown
    await this.begin(isLast, (error) => (failure = error))
    await this.#publishing
    if (failure !== undefined) throw failure as Error
  }

  /** The next sync is followed by a checkpoint, whether or not one is due. */
  hastenCheckpoint(): void {
    this.#isHastened = true
  }

  get isCheckpointHastened(): boolean {
    return this.#isHastened
  }

  /** The next checkpoint has its full time. */
  deferCheckpoint(): void {
    this.#lastCheckpointMs = this.#deps.clock.nowMs()
  }

  /** Resolves when what is being published is visible. */
  async published(): Promise<void> {
    await this.#publishing
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#publishing
    await this.#checkpointing
  }

  async #publish(
    sync: LearnerSync,
    arrivals: Arrivals,
    checkpoint: Checkpoint | null,
  ): Promise<void> {
    const { cutLog, rows, learner } = this.#parts
    await cutLog.sync()
    await rows.write(sync, learner, this.#signal)
    this.#meter.visible(arrivals)
    if (await this.#sets.publish(sync, arrivals)) this.#meter.published(this.sequence)
    this.#onPublished()
    if (checkpoint !== null) this.#checkpointing = this.#write(checkpoint)
  }

  #isCheckpointDue(isLast: boolean): boolean {
    const { clock, config } = this.#deps
    const { segment, bytes } = this.#parts.cutLog.position
    const last = this.#lastCheckpoint
    if (this.#checkpointing !== null) return false
    if (this.#isHastened) return true
    if (last !== null && last.segment === segment && last.bytes === bytes) return false
    return isLast || clock.nowMs() - this.#lastCheckpointMs >= config.learner.checkpointMs
  }

  #takeCheckpoint(): Checkpoint {
    const { cutLog, options, learner } = this.#parts
    this.#lastCheckpointMs = this.#deps.clock.nowMs()
    this.#isHastened = false
    return { position: cutLog.position, options, snapshot: learner.snapshot() }
  }

  /** A checkpoint that cannot be written costs a longer restart, nothing more: said, and tried again when the next is due. */
  async #write(checkpoint: Checkpoint): Promise<void> {
    const { metrics, log } = this.#deps
    try {
      await this.#parts.checkpoints.write(checkpoint)
      this.#lastCheckpoint = checkpoint.position
      metrics.checkpoints.inc()
    } catch (error) {
      log.error({ error: messageOf(error) }, 'a checkpoint could not be written')
    } finally {
      this.#checkpointing = null
    }
  }
}
