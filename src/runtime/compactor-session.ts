import { setTimeout as sleep } from 'node:timers/promises'
import { FreshetError } from '../errors.ts'
import type { ReportBodies } from '../records/reports.ts'
import type { ControlDocument } from '../records/types.ts'
import { beginOf, dayName, dayNamed, dayOf } from '../streams/day-cut.ts'
import type { Day, DayFold, DecidedCut } from '../streams/day-cut.ts'
import { openArchive } from './archive/archive.ts'
import { CompactorDays } from './compactor-days.ts'
import { ArchiveFiles } from './compactor-files.ts'
import { IdlePartitions } from './compactor-idle.ts'
import { decidedCuts, restoreCompactor } from './compactor-open.ts'
import type { CompactorState } from './compactor-open.ts'
import { readExample } from './compactor-record.ts'
import { CompactorReports } from './compactor-reports.ts'
import type { CompactorReport } from './compactor-reports.ts'
import { CompactorTraining } from './compactor-training.ts'
import type { CompactorDeps } from './compactor.ts'
import type { FullUpdateThread } from './full-update/worker.ts'
import type { Batch, TransactionalProducer } from './ports.ts'

export interface SessionHooks {
  pause(partition: number): void
  resume(partition: number): void
  /** The session has ended; what it knew beyond the archive is to be read again. */
  onFailure(error: unknown): void
}

const reportMs = 1_000
const tickMs = 1_000
const stopMs = 1_000

/** One compactor at work, from the moment it owns all partitions of examples until it loses them or stops. */
export class CompactorSession {
  readonly #deps: CompactorDeps
  readonly #producer: TransactionalProducer
  readonly #hooks: SessionHooks
  readonly #fold: DayFold
  readonly #offsets: readonly number[]
  readonly #files: ArchiveFiles
  readonly #reports: CompactorReports
  readonly #days: CompactorDays
  readonly #training: CompactorTraining
  readonly #idle: IdlePartitions
  readonly #lags: number[]
  /** The day that this session, or one before it, has cut and that the control document does not have yet. */
  #cut: DecidedCut | null
  /** What is said of it until the document has it. */
  #proposal: ReportBodies['cut'] | null
  #isStopping = false
  #isWoken = false
  #wake: (() => void) | null = null
  #running: Promise<void> = Promise.resolve()
  #reporting: NodeJS.Timeout | undefined

  /** The order is what makes it exact: shut the compactor before out, then read what it left. */
  static async open(
    deps: CompactorDeps,
    document: ControlDocument | null,
    thread: FullUpdateThread,
    hooks: SessionHooks,
  ): Promise<CompactorSession> {
    const { kafka, config, artifacts, log } = deps
    const producer = await kafka.transactionalProducer(`${config.kafka.topicPrefix}-compactor`)
    try {
      const state = await restoreCompactor(deps, openArchive(artifacts, log), document)
      return new CompactorSession(deps, producer, state, thread, hooks)
    } catch (error) {
      await producer.close()
      throw error
    }
  }

  private constructor(
    deps: CompactorDeps,
    producer: TransactionalProducer,
    { fold, through, offsets, files, lost, proposal }: CompactorState,
    thread: FullUpdateThread,
    hooks: SessionHooks,
  ) {
    const { kafka, config, topics, metrics, clock, log, instance, artifacts } = deps
    this.#deps = deps
    this.#producer = producer
    this.#hooks = hooks
    this.#fold = fold
    this.#offsets = offsets
    this.#lags = offsets.map(() => 0)
    this.#proposal = proposal
    this.#cut =
      proposal === null ? null : { day: dayNamed(proposal.day), offsets: proposal.examples }
    const { topicPrefix } = config.kafka
    this.#reports = new CompactorReports({ topics, topicPrefix, instance, clock }, producer)
    const archive = openArchive(artifacts, log)
    const fail = (error: unknown): void => this.#fail(error)
    this.#files = new ArchiveFiles(
      {
        ...{ archive, clock, log, ...config.archive, onFailure: fail },
        assertOwner: () => this.#reports.assertOwner(),
        pause: (partition) => hooks.pause(partition),
        resume: (partition) => hooks.resume(partition),
        onWritten: (examples) => {
          metrics.archived.inc(examples)
          this.#wakeUp()
        },
      },
      through,
      files,
    )
    for (const { partition, offset, day } of lost) this.#files.endDay(partition, offset, day)
    this.#training = new CompactorTraining({
      ...{ config, thread, metrics, clock, log },
      onNews: (reports) => {
        this.#say(reports)
        this.#wakeUp()
      },
    })
    this.#days = new CompactorDays({
      ...{ kafka, topics, archive, metrics, log },
      ...{ files: this.#files, training: this.#training },
    })
    const { idleMs } = config.compactor
    this.#idle = new IdlePartitions(
      { kafka, topic: topics.examples, clock, idleMs },
      offsets.length,
    )
  }

  /** Where the consumer has to start. */
  startOf(partition: number): number {
    return this.#offsets[partition] ?? 0
  }

  start(document: ControlDocument | null): void {
    const { log } = this.#deps
    log.info({ offsets: this.#offsets }, 'archiving')
    if (document !== null) this.onDocument(document)
    this.#running = this.#run().catch((error: unknown) => this.#fail(error))
    this.#reportAll()
    this.#reporting = setInterval(() => this.#reportAll(), reportMs)
  }

  onBatch({ partition, records, highWatermark }: Batch): void {
    if (this.#isStopping) return
    for (const { offset, value } of records) this.#fileRecord(partition, offset, value)
    this.#idle.onRecords(partition)
    this.#lags[partition] = Math.max(0, highWatermark - this.#fold.position(partition))
    this.#wakeUp()
  }

  #fileRecord(partition: number, offset: number, value: Buffer | null): void {
    const fold = this.#fold
    // Cuts that are decided need not lie where a record is.
    let end = fold.decidedEnd(partition)
    for (; end !== null && offset >= end; end = fold.decidedEnd(partition)) {
      this.#files.endDay(partition, end, fold.openDay(partition)!)
      fold.advance(partition, end)
    }
    const read = readExample(value)
    if (read === null) this.#deps.metrics.archiveUnreadable.inc()
    const before = fold.openDay(partition)
    const day = fold.add(partition, offset, read === null ? null : dayOf(read.eventTimeMs))
    if (before !== null && day !== before) this.#files.endDay(partition, offset, before)
    this.#files.add(partition, offset, day, read?.kind === 'example' ? value : null)
    if (end === offset + 1) this.#files.endDay(partition, end, day!)
  }

  onDocument(document: ControlDocument): void {
    try {
      this.#followCuts(document)
    } catch (error) {
      this.#fail(error)
      return
    }
    this.#days.onDocument(document)
    this.#training.onDocument(document)
    this.#wakeUp()
  }

  /** What is not in the archive yet is left to be read again. */
  async stop(): Promise<void> {
    this.#isStopping = true
    clearInterval(this.#reporting)
    this.#wake?.()
    // What waits for Kafka must not be waited for.
    await this.#producer.close()
    await Promise.all([this.#files.stop(), this.#training.stop()])
    await Promise.race([this.#running, sleep(stopMs, undefined, { ref: false })])
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      this.#isWoken = false
      this.#files.roll()
      await this.#cutNextDay()
      if (await this.#days.sealNext()) this.#isWoken = true
      if (this.#isStopping) return
      this.#days.trainNext()
      await this.#untilWoken()
    }
  }

  /** One day at a time: the next one when this one is decided. */
  async #cutNextDay(): Promise<void> {
    if (this.#cut !== null) return
    const { kafka, topics, log } = this.#deps
    const idle = await this.#idle.of(this.#fold)
    const cut = this.#isStopping ? null : this.#fold.cut((partition) => idle.has(partition))
    if (cut === null) return
    // From here on it counts as decided: what comes now belongs to the next day.
    this.#cut = cut
    this.#fold.decide(cut)
    for (const partition of idle) this.#files.endDay(partition, cut.offsets[partition]!, cut.day)
    const [items, isWritten] = await Promise.all([
      kafka.offsets(topics.items),
      this.#files.settled(),
    ])
    if (!isWritten || this.#cut !== cut) return
    const day = dayName(cut.day)
    this.#proposal = { day, examples: cut.offsets, items: items.map(({ high }) => high) }
    log.info({ ...this.#proposal, idle: [...idle] }, 'proposing the cut of a day')
    await this.#reports.propose(this.#proposal)
  }

  /** The document wins: where it says something else than what was archived by, the session begins anew. */
  #followCuts({ cuts }: ControlDocument): void {
    for (const decided of decidedCuts(cuts)) {
      if (this.#cut?.day === decided.day) {
        if (!isEqual(this.#cut.offsets, decided.offsets)) throw cutElsewhere(decided.day)
        this.#cut = null
        this.#proposal = null
      } else if (this.#fold.decided === null || decided.day > this.#fold.decided) {
        if (!this.#fold.decide(decided)) throw cutElsewhere(decided.day)
      }
    }
  }

  #reportAll(): void {
    const { metrics, topics } = this.#deps
    const openDay = this.#fold.nextDay
    if (openDay !== null) metrics.openDay.set(beginOf(openDay) / 1_000)
    for (const [partition, lag] of this.#lags.entries()) {
      const labels = { role: 'compactor', topic: topics.examples, partition: String(partition) }
      metrics.consumerLag.set(labels, lag)
    }
    const { failure, frozen } = this.#training
    const body = {
      ...{
        day: openDay === null ? null : dayName(openDay),
        lag: this.#lags.reduce((sum, lag) => sum + lag, 0),
      },
      ...(failure === null ? {} : { failing: `${failure.day}: ${failure.message}` }),
      ...(frozen === null ? {} : { waiting: `for another parent than ${frozen}, which is frozen` }),
    }
    this.#say([
      { kind: 'archiving', body },
      ...(this.#proposal === null ? [] : [{ kind: 'cut' as const, body: this.#proposal }]),
      ...this.#training.reports,
    ])
  }

  #say(reports: readonly CompactorReport[]): void {
    this.#reports.send(reports).catch((error: unknown) => this.#fail(error))
  }

  #wakeUp(): void {
    this.#isWoken = true
    this.#wake?.()
  }

  async #untilWoken(): Promise<void> {
    if (this.#isWoken || this.#isStopping) return
    const untilIdleMs = this.#cut === null ? this.#idle.untilIdleMs(this.#fold) : null
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(tickMs, untilIdleMs ?? tickMs))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = null
  }

  #fail(error: unknown): void {
    if (this.#isStopping) return
    this.#isStopping = true
    clearInterval(this.#reporting)
    this.#wake?.()
    this.#hooks.onFailure(error)
  }
}

function isEqual(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}

function cutElsewhere(day: Day): FreshetError {
  return new FreshetError(
    'ABORTED',
    `the control document cuts ${dayName(day)} elsewhere than this compactor`,
  )
}
