import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { ReportBodies } from '../records/reports.ts'
import type { ControlDocument } from '../records/types.ts'
import { newestUsable } from '../streams/controller-document.ts'
import type { CompactorReport } from './compactor-reports.ts'
import { fullGenerationId, fullUpdateJob } from './full-update/job.ts'
import type { FullUpdateProgress } from './full-update/job.ts'
import type { FullUpdateThread } from './full-update/worker.ts'
import type { Clock, Logger } from './ports.ts'

export interface TrainingOptions {
  readonly config: Pick<Config, 'artifacts' | 'stateDir' | 'model' | 'full' | 'learner'>
  readonly thread: FullUpdateThread
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Logger
  /** Something is to be said at once; the next day may begin. */
  onNews(reports: readonly CompactorReport[]): void
}

interface Running {
  readonly day: string
  readonly generation: string
  readonly aborting: AbortController
  readonly ended: Promise<void>
  progress: FullUpdateProgress
}

interface Trained {
  readonly generation: string
  readonly body: ReportBodies['trained']
}

interface Failure {
  readonly day: string
  readonly message: string
  readonly count: number
  readonly againAtMs: number
}

const retryMinMs = 1_000
const retryMaxMs = 60_000

/** The full updates, one at a time and each after the document has taken in the one before: that decides what it starts from. */
export class CompactorTraining {
  readonly #options: TrainingOptions
  #running: Running | null = null
  /** Not known to the control document yet. */
  #trained: Trained | null = null
  #failure: Failure | null = null
  /** The newest generation, if no full update can go on from it. */
  #frozen: string | null = null

  constructor(options: TrainingOptions) {
    this.#options = options
  }

  /** What there is to say, again and again until the document knows it. */
  get reports(): CompactorReport[] {
    return [
      ...(this.#running === null ? [] : [trainingOf(this.#running)]),
      ...(this.#trained === null ? [] : [{ kind: 'trained' as const, ...this.#trained }]),
    ]
  }

  /** Why the next full update waits; null: it does not. */
  get failure(): { readonly day: string; readonly message: string } | null {
    return this.#failure
  }

  /** From which generation no full update can go on; it is waited for another one. */
  get frozen(): string | null {
    return this.#frozen
  }

  onDocument(document: ControlDocument): void {
    const { states } = document
    if (this.#trained !== null && this.#trained.generation in states) this.#trained = null
    if (newestUsable(document) !== this.#frozen) this.#frozen = null
  }

  /** Whether a day may begin now. */
  isFree(document: ControlDocument): boolean {
    if (this.#running !== null || this.#trained !== null) return false
    const parent = newestUsable(document)
    return parent !== null && parent !== this.#frozen && !this.isWaitingAfterFailure
  }

  get isWaitingAfterFailure(): boolean {
    return this.#failure !== null && this.#failure.againAtMs > this.#options.clock.nowMs()
  }

  /** Begins the full update of a day that is sealed. */
  begin(day: string, document: ControlDocument): void {
    const { config, log } = this.#options
    const parent = newestUsable(document)!
    const generation = fullGenerationId(day, parent)
    const cuts = { examples: [...document.cuts[day]!], items: [...document.catalogueCuts[day]!] }
    const aborting = new AbortController()
    log.info({ day, parent, generation }, 'the full update begins')
    const job = fullUpdateJob(config, { day, parent, cuts })
    const startedAt = performance.now()
    const ended = this.#options.thread
      .run(job, {
        signal: aborting.signal,
        onProgress: (progress) => {
          if (this.#running !== null) this.#running.progress = progress
          this.#options.metrics.fullUpdateProgress.set(progress.share)
        },
      })
      .then(({ verdict, why, examples }) => {
        const seconds = (performance.now() - startedAt) / 1_000
        this.#options.metrics.fullUpdateSeconds.set(seconds)
        this.#options.metrics.fullUpdates.inc({ outcome: verdict })
        log.info({ day, generation, examples, verdict, why, seconds }, 'the full update is done')
        this.#trained = { generation, body: { day, parent, verdict, why } }
        this.#failure = null
      })
      .catch((error: unknown) => {
        if (aborting.signal.aborted) return
        if (isFrozen(error)) this.#waitForAnother(parent, error)
        else this.failed(day, error)
      })
      .finally(() => {
        this.#running = null
        this.#options.metrics.fullUpdateProgress.set(0)
        if (!aborting.signal.aborted) this.#options.onNews(this.reports)
      })
    const progress = { share: 0, etaMs: null, examples: 0 }
    this.#running = { day, generation, aborting, ended, progress }
    this.#options.onNews(this.reports)
  }

  /** What is live stays so by choice: the days wait for a generation that can be trained. */
  #waitForAnother(parent: string, error: FreshetError): void {
    this.#frozen = parent
    const fields = { parent, why: error.message }
    this.#options.log.warn(fields, 'the days wait for a generation that can be trained')
  }

  /** The day waits, and all that come after it; archiving goes on. */
  failed(day: string, error: unknown): void {
    const { metrics, clock, log } = this.#options
    const count = this.#failure?.day === day ? this.#failure.count + 1 : 1
    const waitMs = Math.min(retryMaxMs, retryMinMs * 2 ** (count - 1))
    const message = messageOf(error)
    this.#failure = { day, message, count, againAtMs: clock.nowMs() + waitMs }
    metrics.fullUpdates.inc({ outcome: 'error' })
    const code = error instanceof FreshetError ? error.code : null
    log.error({ day, code, error: message, waitMs }, 'the day cannot be trained, trying again')
  }

  /** Ends what runs; it leaves a checkpoint. */
  async stop(): Promise<void> {
    this.#running?.aborting.abort()
    await this.#running?.ended
  }
}

function isFrozen(error: unknown): error is FreshetError {
  return error instanceof FreshetError && error.code === 'GENERATION_FROZEN'
}

function trainingOf({ day, generation, progress }: Running): CompactorReport {
  const { share, etaMs } = progress
  return { kind: 'training', generation, body: { day, share, etaMs } }
}
