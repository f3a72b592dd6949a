import { createHash } from 'node:crypto'
import path from 'node:path'
import type { Config, SourceConfig } from '../../config/schema.ts'
import { FreshetError } from '../../errors.ts'
import { topicNames } from '../../records/topics.ts'
import { openArchive } from '../archive/archive.ts'
import type { ArtifactStore } from '../generation/artifact-store.ts'
import { DeadLetterFile } from './dead-letter-file.ts'
import { backfillSources, selectFiles, type InputFile } from './input-files.ts'
import { joinDays, type JoinCounts, type JoinedDay } from './join-days.ts'
import { readEvents, type ReadCounts } from './read-events.ts'
import { RecordSorter } from './record-sorter.ts'
import { TakenDays } from './taken-days.ts'

export interface BackfillOptions {
  /** A file or a folder. */
  readonly from: string
  readonly config: Pick<
    Config,
    'kafka' | 'sources' | 'ingest' | 'joiner' | 'archive' | 'artifacts' | 'stateDir'
  >
  readonly store: ArtifactStore
  readonly nowMs: number
  /** The end of the last day that is taken. */
  readonly endMs: number
  /** Default: beside the archive. */
  readonly deadLetters: string | undefined
  /** Of events in memory; a quarter of it for examples that wait to be written. */
  readonly memoryBytes: number
  readonly signal: AbortSignal
  onProgress(progress: BackfillProgress): void
}

export interface BackfillProgress {
  readonly phase: 'reading' | 'joining'
  /** Rows that are read, or events that are joined. */
  readonly count: number
  /** Files that are read, of so many; days that are done. */
  readonly files: number
  readonly filesAll: number
  readonly days: readonly JoinedDay[]
}

export interface BackfillReport extends ReadCounts, JoinCounts {
  readonly files: number
  readonly passedOver: readonly string[]
  readonly days: readonly JoinedDay[]
  /** By reason. */
  readonly deadLetters: ReadonlyMap<string, number>
  readonly deadLetterFile: string
  /** Sorted runs that went to disk. */
  readonly runs: number
}

/**
 * Files of impressions, clicks and items into days of the archive: mapped as ingest maps them, sorted by event time, joined by the
 * joiner, and sealed day by day. A run that is repeated after it was stopped does not make again what it has sealed.
 * @throws FreshetError USAGE_INVALID, FILE_MISSING, FILE_INVALID, CONFIG_INVALID; ABORTED after the signal
 */
export async function runBackfill(options: BackfillOptions): Promise<BackfillReport> {
  const { config, store, from } = options
  const sources = backfillSources(config.sources, topicNames(config.kafka.topicPrefix))
  const { files, passedOver } = await selectFiles(from, sources)
  const archive = openArchive(store)
  const id = idOf(files, sources, config)
  const taken = await TakenDays.of(archive, id)
  const place = options.deadLetters ?? path.join(config.artifacts.dir, `dead-letters-${id}.jsonl`)
  const deadLetters = await DeadLetterFile.open(place)
  const dir = path.join(config.stateDir, 'backfill')
  const sorter = await RecordSorter.open({ dir, bytesMax: options.memoryBytes })
  const days: JoinedDay[] = []
  const counts: ReadCounts = { rows: 0, impression: 0, click: 0, item: 0, leftOut: 0 }
  const say = (phase: BackfillProgress['phase'], count: number, filesRead: number): void => {
    if (options.signal.aborted) throw stopped()
    options.onProgress({ phase, count, files: filesRead, filesAll: files.length, days })
  }
  try {
    for (const [filesRead, file] of files.entries()) {
      const onRows = (): void => say('reading', counts.rows, filesRead)
      await readEvents(file, { ...options, sources, taken, sorter, deadLetters, onRows }, counts)
    }
    expectEvents(counts, deadLetters, from)
    let joined = 0
    const passed = await joinDays(sorter.sorted(), {
      ...{ archive, config, id, taken, deadLetters, bytesMax: options.memoryBytes / 4 },
      onDay: (day) => days.push(day),
      onEvents: (count) => say('joining', (joined += count), files.length),
    })
    return {
      ...{ ...counts, ...passed, files: files.length, passedOver, days },
      ...{ deadLetters: deadLetters.counts, deadLetterFile: deadLetters.path },
      runs: sorter.runsMade,
    }
  } finally {
    await sorter.close()
    await deadLetters.close()
  }
}

/** Everything that the days depend on: the same files with the same settings give the same ones. */
function idOf(
  files: readonly InputFile[],
  sources: Readonly<Record<string, SourceConfig>>,
  { kafka, joiner }: BackfillOptions['config'],
): string {
  const { windowMs, graceMs, openImpressionsMax, clicksPerRequestMax } = joiner
  const settings = { windowMs, graceMs, openImpressionsMax, clicksPerRequestMax }
  const all = { files, sources, partitions: kafka.partitions, settings }
  return createHash('sha256').update(JSON.stringify(all)).digest('hex').slice(0, 16)
}

/** Without either nothing would be joined, and the days would be sealed empty. */
function expectEvents(counts: ReadCounts, { counts: refused, path }: DeadLetterFile, from: string) {
  if (counts.impression > 0 && counts.click > 0) return
  const what = counts.impression === 0 ? 'impression' : 'click'
  const reasons = [...refused].map(([code, count]) => `${count} ${code}`)
  const others = reasons.length === 0 ? '' : `; refused: ${reasons.join(', ')}, see ${path}`
  throw new FreshetError(
    'FILE_INVALID',
    `${from}: no ${what} could be taken of ${counts.rows} rows, ${counts.leftOut} were left out as their day has not ended or is after --until${others}. Map the columns under sources.${what}s.fields of the configuration`,
  )
}

function stopped(): FreshetError {
  const message =
    'stopped; the same command reads the files again and keeps the days that are sealed'
  return new FreshetError('ABORTED', message)
}
