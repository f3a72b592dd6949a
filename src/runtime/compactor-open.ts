import { FreshetError } from '../errors.ts'
import type { ReportBodies } from '../records/reports.ts'
import type { ControlDocument } from '../records/types.ts'
import { archiveChain } from '../streams/archive-chain.ts'
import type { DayFile } from '../streams/archive-chain.ts'
import { DayFold, dayName, dayNamed } from '../streams/day-cut.ts'
import type { Day, DayStart, DecidedCut } from '../streams/day-cut.ts'
import type { Archive } from './archive/archive.ts'
import { readProposal } from './compactor-reports.ts'
import type { CompactorDeps } from './compactor.ts'

export interface CompactorState {
  readonly fold: DayFold
  /** By partition of examples: everything below is in the archive. */
  readonly through: readonly number[]
  /** By partition of examples: where reading begins; higher than `through` where retention was faster than the archive. */
  readonly offsets: readonly number[]
  /** Files of the days that are not sealed. */
  readonly files: readonly DayFile[]
  /** What retention was faster with, as ranges without examples, so that the days join. */
  readonly lost: readonly DayEnd[]
  /** Proposed, and not known to be decided. */
  readonly proposal: ReportBodies['cut'] | null
}

/** In front of `offset`, the partition belongs to `day`. */
export interface DayEnd {
  readonly partition: number
  readonly day: Day
  readonly offset: number
}

type Deps = Pick<CompactorDeps, 'kafka' | 'topics' | 'config' | 'log'>

/** Where the compactor before stopped, from the archive, the control document and the last proposal. */
export async function restoreCompactor(
  deps: Deps,
  archive: Archive,
  document: ControlDocument | null,
): Promise<CompactorState> {
  const { kafka, topics, config } = deps
  const { topicPrefix } = config.kafka
  const decided = decidedCuts(document?.cuts ?? {})
  const [bounds, sealed, proposed] = await Promise.all([
    kafka.offsets(topics.examples),
    newestSealed(archive, decided),
    readProposal(kafka, { topics, topicPrefix }),
  ])
  const newest = decided.at(-1)
  const isOpen = proposed !== null && (newest === undefined || proposed.day > newest.day)
  if (isOpen) decided.push({ day: proposed.day, offsets: proposed.cut.examples })
  const found = await filesBehind(archive, sealed)
  const files: DayFile[] = []
  const through: number[] = []
  const offsets: number[] = []
  for (const { partition, low, high } of bounds) {
    const own = found.filter((file) => file.partition === partition)
    const start = sealed?.offsets[partition] ?? null
    const chain = archiveChain(own, start, decided)
    const from = chain.at(-1)?.to ?? start ?? low
    checkBounds(deps, partition, from, low, high)
    const strays = own.filter((file) => !chain.includes(file))
    await removeStrays(deps, archive, strays, chain[0]?.from ?? from, from, low)
    files.push(...chain)
    through[partition] = from
    offsets[partition] = Math.max(from, low)
  }
  const last = decided.at(-1)?.day ?? null
  const backfilled = last === null ? await archive.newestBackfilled() : null
  const fold = new DayFold(
    offsets.map((offset, partition) => ({ offset, starts: startsOf(files, partition, last) })),
    decided,
    // What the log still has of days that were backfilled would train twice.
    backfilled === null ? 0 : dayNamed(backfilled) + 1,
  )
  const lost = offsets.flatMap((to, partition) => {
    const from = through[partition]!
    return from < to ? lostDays(partition, from, to, decided, fold.openDay(partition)) : []
  })
  return { fold, through, offsets, files, lost, proposal: isOpen ? proposed.cut : null }
}

/** The days of a range that is gone: by the cuts, and else the one that was open. */
function lostDays(
  partition: number,
  from: number,
  to: number,
  decided: readonly DecidedCut[],
  openDay: Day | null,
): DayEnd[] {
  const ends = decided.map(({ day, offsets }) => ({ partition, day, offset: offsets[partition]! }))
  const within = ends.filter(({ offset }) => offset > from && offset <= to)
  return openDay === null ? within : [...within, { partition, day: openDay, offset: to }]
}

/** In the order of their days. */
export function decidedCuts(cuts: ControlDocument['cuts']): DecidedCut[] {
  return Object.entries(cuts)
    .map(([day, offsets]) => ({ day: dayNamed(day), offsets }))
    .sort((a, b) => a.day - b.day)
}

/** Days are sealed in their order: nothing up to this one changes any more. */
async function newestSealed(
  archive: Archive,
  decided: readonly DecidedCut[],
): Promise<DecidedCut | null> {
  for (const cut of decided.toReversed()) {
    if ((await archive.readSeal(dayName(cut.day))) !== null) return cut
  }
  return null
}

async function filesBehind(archive: Archive, sealed: DecidedCut | null): Promise<DayFile[]> {
  const days = (await archive.days()).map(dayNamed)
  const behind = days.filter((day) => sealed === null || day > sealed.day)
  const files = await Promise.all(
    behind.map(async (day) => {
      const ranges = await archive.files(dayName(day))
      return ranges.map((range) => ({ day, ...range }))
    }),
  )
  return files.flat()
}

function checkBounds(
  { topics, log }: Deps,
  partition: number,
  from: number,
  low: number,
  high: number,
): void {
  if (from > high) {
    throw new FreshetError(
      'TOPIC_INVALID',
      `the archive holds ${topics.examples}/${partition} up to ${from}, but the topic ends at ${high}: it was made anew. Move the folder archive out of artifacts.dir`,
    )
  }
  if (from < low) {
    log.error(
      { partition, from, to: low },
      'examples were deleted before they were archived: give the topic a longer retention.ms',
    )
  }
}

/** Only what is kept elsewhere: in the chain, or in the log, from where it is archived again. */
async function removeStrays(
  { log }: Deps,
  archive: Archive,
  strays: readonly DayFile[],
  chainFrom: number,
  chainTo: number,
  low: number,
): Promise<void> {
  for (const { day, ...range } of strays) {
    const isKept = range.from >= low || (range.from >= chainFrom && range.to <= chainTo)
    if (!isKept) {
      throw new FreshetError(
        'FILE_INVALID',
        `archive/day=${dayName(day)} holds [${range.from}, ${range.to}) of partition ${range.partition}, which neither joins the files before it nor is in the topic any more: move the file out of the archive`,
      )
    }
    await archive.remove(dayName(day), range)
    log.warn({ day: dayName(day), ...range }, 'removed a file of a compactor that was replaced')
  }
}

/** Days that the archive has begun and that are not decided. */
function startsOf(files: readonly DayFile[], partition: number, decided: Day | null): DayStart[] {
  const starts = new Map<Day, number>()
  for (const { day, from, ...file } of files) {
    const isOpen = decided === null || day > decided
    if (file.partition === partition && isOpen && !starts.has(day)) starts.set(day, from)
  }
  return [...starts].map(([day, offset]) => ({ day, offset }))
}
