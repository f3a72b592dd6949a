import { FreshetError } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { TopicNames } from '../records/topics.ts'
import type { ControlDocument } from '../records/types.ts'
import type { Archive, ArchivedRange } from './archive/archive.ts'
import { CompactorCatalogue } from './compactor-catalogue.ts'
import type { ArchiveFiles } from './compactor-files.ts'
import { dayInId } from './full-update/job.ts'
import type { CompactorTraining } from './compactor-training.ts'
import type { KafkaClient, Logger } from './ports.ts'

export interface DaysOptions {
  readonly kafka: KafkaClient
  readonly topics: Pick<TopicNames, 'items'>
  readonly archive: Archive
  readonly metrics: Metrics
  readonly log: Logger
  readonly training: CompactorTraining
  readonly files: Pick<ArchiveFiles, 'isThrough' | 'rangesOf' | 'forget'>
}

/** The days that the control document has cut, until each has its generation: sealed in the archive, then trained, in their order. */
export class CompactorDays {
  readonly #options: DaysOptions
  #document: ControlDocument | null = null
  /** Cut, and not known to be trained or empty, in order. */
  #open: string[] = []
  /** Examples of the days that are sealed. */
  readonly #sealed = new Map<string, number>()
  #catalogue: CompactorCatalogue | null = null

  constructor(options: DaysOptions) {
    this.#options = options
  }

  onDocument(document: ControlDocument): void {
    this.#document = document
    const trained = newestTrainedDay(document) ?? ''
    this.#open = Object.keys(document.cuts)
      .filter((day) => day > trained && this.#sealed.get(day) !== 0)
      .sort()
    for (const day of this.#sealed.keys()) if (day <= trained) this.#sealed.delete(day)
  }

  /**
   * Seals what is archived up to its cut, whether or not days before it are trained.
   * @returns false: there is nothing to seal at the moment
   */
  async sealNext(): Promise<boolean> {
    const document = this.#document
    const day = this.#open.find((one) => !this.#sealed.has(one))
    if (document === null || day === undefined) return false
    const { files, training, archive, metrics, log } = this.#options
    if (!files.isThrough(document.cuts[day]!) || training.isWaitingAfterFailure) return false
    try {
      const seal = (await archive.readSeal(day)) ?? (await this.#seal(day, document))
      if (seal.backfill !== undefined) throw backfilledMeanwhile(day)
      this.#sealed.set(day, seal.examples)
      metrics.dayExamples.set(seal.examples)
      if (seal.examples === 0) {
        log.info({ day }, 'a day without examples: there is nothing to train')
        this.#open = this.#open.filter((one) => one !== day)
      }
      return true
    } catch (error) {
      training.failed(day, error)
      return false
    }
  }

  /** Begins the next full update that may begin. */
  trainNext(): void {
    const day = this.#open[0]
    const document = this.#document
    if (document === null || day === undefined || !this.#sealed.has(day)) return
    if (this.#options.training.isFree(document)) this.#options.training.begin(day, document)
  }

  async #seal(day: string, document: ControlDocument) {
    const { archive, files, log } = this.#options
    const startedAt = performance.now()
    const ranges = files.rangesOf(day)
    expectWhole(day, ranges, document)
    await this.#removeStrays(day, ranges)
    const catalogue = await this.#catalogueAt(day, document)
    await archive.writeCatalogue(day, catalogue)
    const seal = await archive.seal(day, ranges)
    files.forget(day)
    const ms = Math.round(performance.now() - startedAt)
    log.info({ day, examples: seal.examples, items: catalogue.length, ms }, 'sealed the day')
    return seal
  }

  /** Written by a compactor that did not know yet that it had been replaced; what is in them is in this one's files. */
  async #removeStrays(day: string, ranges: readonly ArchivedRange[]): Promise<void> {
    const { archive, log } = this.#options
    const own = new Set(ranges.map(nameOf))
    for (const range of await archive.files(day)) {
      if (own.has(nameOf(range))) continue
      await archive.remove(day, range)
      log.warn({ day, ...range }, 'removed a file of a compactor that was replaced')
    }
  }

  async #catalogueAt(day: string, document: ControlDocument) {
    this.#catalogue ??= await this.#catalogueBefore(day, document)
    return this.#catalogue.at(document.catalogueCuts[day]!)
  }

  /** From the last day that has one; what compaction has removed since is there. */
  async #catalogueBefore(day: string, { catalogueCuts }: ControlDocument) {
    const { kafka, topics, archive } = this.#options
    const earlier = Object.keys(catalogueCuts).filter((other) => other < day)
    for (const other of earlier.sort().reverse()) {
      if ((await archive.readSeal(other)) === null) continue
      const base = await archive.readCatalogue(other)
      return new CompactorCatalogue(kafka, topics.items, base, catalogueCuts[other]!)
    }
    return new CompactorCatalogue(kafka, topics.items, [], [])
  }
}

function backfilledMeanwhile(day: string): FreshetError {
  return new FreshetError(
    'FILE_INVALID',
    `archive/day=${day} was backfilled while the log had the day, too: move it out of the archive, and start the compactor again`,
  )
}

/** The archive holds exactly what the control document says is the day. */
function expectWhole(
  day: string,
  ranges: readonly ArchivedRange[],
  { cuts }: ControlDocument,
): void {
  const before = Object.keys(cuts)
    .filter((other) => other < day)
    .sort()
    .at(-1)
  for (const [partition, to] of cuts[day]!.entries()) {
    const own = ranges.filter((range) => range.partition === partition)
    const from = before === undefined ? (own[0]?.from ?? to) : cuts[before]![partition]!
    const first = own[0]?.from ?? from
    const last = own.at(-1)?.to ?? from
    if (first === from && last === to) continue
    throw new FreshetError(
      'FILE_INVALID',
      `archive/day=${day} holds [${first}, ${last}) of partition ${partition}, but the control document says [${from}, ${to}): put back the archive that belongs to it`,
    )
  }
}

function nameOf({ partition, from, to }: ArchivedRange): string {
  return `${partition}-${from}-${to}`
}

/** The newest day of which the document knows a generation. */
function newestTrainedDay({ states }: ControlDocument): string | null {
  const days = Object.keys(states).flatMap((id) => dayInId(id) ?? [])
  return days.sort().at(-1) ?? null
}
