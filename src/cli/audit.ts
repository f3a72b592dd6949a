import { FreshetError } from '../errors.ts'
import { bodyOfExample } from '../records/example-codec.ts'
import type { ControlDocument } from '../records/types.ts'
import { ExamplesHash, openArchive } from '../runtime/archive/archive.ts'
import type { Archive, ArchivedRange } from '../runtime/archive/archive.ts'
import { readExample } from '../runtime/compactor-record.ts'
import { readControl } from '../runtime/control.ts'
import { openDirectoryStore } from '../runtime/generation/artifact-store.ts'
import type { KafkaClient } from '../runtime/ports.ts'
import { dayNamed, dayOf, type Day } from '../streams/day-cut.ts'
import type { AuditOptions } from './commands/audit.ts'
import { withKafka } from './connect.ts'
import { effectiveConfig } from './options.ts'

/** What one side holds of a day. */
export interface Content {
  readonly examples: number
  /** Of the set of examples, whatever their order: see ExamplesHash. */
  readonly hash: string
}

export interface PartitionAudit {
  readonly partition: number
  /** The day is the offsets [from, to). */
  readonly from: number
  readonly to: number
  /** Null: the log does not go back that far any more. */
  readonly inLog: number | null
  readonly archived: number
  /** Examples of the log that are older than the day: they came when it was open. */
  readonly stragglers: number
  /** Records that cannot be read; the learner has made dead letters of them. */
  readonly unreadable: number
}

export interface DayAudit {
  readonly day: string
  readonly partitions: readonly PartitionAudit[]
  /** Null: the log does not hold the whole day any more. */
  readonly log: Content | null
  readonly archive: Content
  readonly seal: Content | null
  /** What is wrong; empty: every example is in exactly one day. */
  readonly problems: readonly string[]
  /** What could not be looked at. */
  readonly unproven: readonly string[]
}

export interface AuditDeps {
  readonly kafka: Pick<KafkaClient, 'offsets' | 'readRange'>
  /** The examples. */
  readonly topic: string
  readonly archive: Archive
  readonly document: ControlDocument | null
}

/** `freshet audit` */
export async function runAuditCommand(options: AuditOptions): Promise<void> {
  const config = effectiveConfig(options)
  const audit = await withKafka(config, async ({ kafka, topics, log }) => {
    const document = await readControl(kafka, topics.control, log)
    const archive = openArchive(openDirectoryStore(config.artifacts.dir))
    return auditDay(options.day, { kafka, topic: topics.examples, archive, document })
  })
  process.stdout.write(options.json === true ? `${JSON.stringify(audit)}\n` : describe(audit))
  if (audit.problems.length > 0) process.exitCode = 1
}

/**
 * Holds the archive of a day against the log, by the cuts of the control document.
 * @throws FreshetError USAGE_INVALID for a day that is not cut
 */
export async function auditDay(day: string, deps: AuditDeps): Promise<DayAudit> {
  const { archive, kafka, topic } = deps
  const ranges = await rangesOf(day, deps)
  const bounds = await kafka.offsets(topic)
  const archived = await readArchive(archive, day)
  const problems = [...archived.problems, ...(await foreignFiles(archive, day, ranges))]
  const isFirst = ranges.some(({ from }) => from === null)
  const backfilled = isFirst ? await archive.newestBackfilled() : null
  const firstDay = backfilled === null ? 0 : dayNamed(backfilled) + 1
  const unproven: string[] = []
  const inLog = new ExamplesHash()
  const partitions: PartitionAudit[] = []
  for (const { partition, ...range } of ranges) {
    const low = bounds.find((one) => one.partition === partition)?.low ?? 0
    const from = range.from ?? archived.from.get(partition) ?? low
    const whole = { partition, from, to: range.to }
    const read = { ...whole, from: Math.max(from, low) }
    const log = await readLog(deps, day, read, firstDay, inLog)
    const isWhole = low <= from || from === range.to
    if (!isWhole) {
      unproven.push(
        `partition ${partition}: the topic begins at ${low} by now, the day at ${from}; whether the archive misses or doubles examples before cannot be told`,
      )
    }
    problems.push(...log.problems, ...edgesOf(whole, archived))
    const count = archived.examples.get(partition) ?? 0
    if (isWhole && count !== log.examples) {
      problems.push(
        `partition ${partition}: the log has ${log.examples} examples, the archive ${count}`,
      )
    }
    const { stragglers, unreadable } = log
    partitions.push({
      ...whole,
      ...{ inLog: isWhole ? log.examples : null, archived: count, stragglers, unreadable },
    })
  }
  const log = unproven.length > 0 ? null : contentOf(inLog)
  const { content, seal } = archived
  problems.push(...differences(log, content, seal), ...(seal === null ? ['it is not sealed'] : []))
  return { day, partitions, log, archive: content, seal, problems, unproven }
}

/** `from` is null where no day is cut before. */
async function rangesOf(day: string, { document, archive }: AuditDeps) {
  const cut = document?.cuts[day]
  if (cut === undefined && (await archive.readSeal(day))?.backfill !== undefined) {
    const message = `${day} was backfilled from files: there is no log to hold it against`
    throw new FreshetError('USAGE_INVALID', message)
  }
  if (document === null || cut === undefined) {
    const days = Object.keys(document?.cuts ?? {}).sort()
    const known = days.length === 0 ? 'no day yet' : `${days[0]!} to ${days.at(-1)!}`
    throw new FreshetError(
      'USAGE_INVALID',
      `${day} is not a day that has ended: the control document has cut ${known}`,
    )
  }
  const earlier = Object.keys(document.cuts).filter((other) => other < day)
  const before = earlier.sort().at(-1)
  return cut.map((to, partition) => ({
    ...{ partition, to, from: before === undefined ? null : document.cuts[before]![partition]! },
  }))
}

interface ArchivedDay {
  readonly content: Content
  readonly seal: Content | null
  /** By partition. */
  readonly examples: ReadonlyMap<number, number>
  readonly from: ReadonlyMap<number, number>
  readonly to: ReadonlyMap<number, number>
  readonly problems: readonly string[]
}

async function readArchive(archive: Archive, day: string): Promise<ArchivedDay> {
  const hash = new ExamplesHash()
  const examples = new Map<number, number>()
  const from = new Map<number, number>()
  const to = new Map<number, number>()
  const problems: string[] = []
  let seal: Content | null = null
  try {
    const sealed = await archive.readSeal(day)
    seal = sealed === null ? null : { examples: sealed.examples, hash: sealed.hash }
    const ranges = sealed?.ranges ?? (await archive.ranges(day))
    for (const range of ranges) {
      from.set(range.partition, Math.min(range.from, from.get(range.partition) ?? Infinity))
      to.set(range.partition, Math.max(range.to, to.get(range.partition) ?? 0))
    }
    let file = 0
    for await (const bodies of archive.read(day)) {
      const { partition } = ranges[file++]!
      for (const body of bodies) hash.add(partition, body)
      examples.set(partition, (examples.get(partition) ?? 0) + bodies.length)
    }
  } catch (error) {
    if (!(error instanceof FreshetError)) throw error
    problems.push(error.message)
  }
  return { content: contentOf(hash), seal, examples, from, to, problems }
}

/** Files of other days that hold offsets of this one. */
async function foreignFiles(
  archive: Archive,
  day: string,
  ranges: Awaited<ReturnType<typeof rangesOf>>,
): Promise<string[]> {
  const problems: string[] = []
  for (const other of await archive.days()) {
    if (other === day) continue
    for (const file of await archive.ranges(other)) {
      const own = ranges.find(({ partition }) => partition === file.partition)
      if (own !== undefined && file.to > (own.from ?? 0) && file.from < own.to) {
        problems.push(
          `partition ${file.partition}: [${file.from}, ${file.to}) is in the archive as ${other}, too`,
        )
      }
    }
  }
  return problems
}

async function readLog(
  { kafka, topic }: AuditDeps,
  day: string,
  { partition, from, to }: ArchivedRange,
  first: Day,
  hash: ExamplesHash,
) {
  let isOpen = first === 0
  const ends = dayNamed(day) + 1
  const counts = { examples: 0, stragglers: 0, unreadable: 0 }
  const problems: string[] = []
  await kafka.readRange({ topic, partition }, from, to, ({ records }) => {
    for (const record of records) {
      const read = readExample(record.value)
      const recordDay = read === null ? null : dayOf(read.eventTimeMs)
      // What the log begins with may be of days that were backfilled.
      isOpen ||= recordDay !== null && recordDay >= first
      if (!isOpen) continue
      if (recordDay !== null && recordDay >= ends) {
        const time = new Date(read!.eventTimeMs).toISOString()
        problems.push(`partition ${partition}: offset ${record.offset} (${time}) is of a later day`)
      }
      if (read === null) counts.unreadable++
      if (read?.kind !== 'example') continue
      hash.add(partition, bodyOfExample(record.value!)!)
      counts.examples++
      if (recordDay !== null && recordDay < ends - 1) counts.stragglers++
    }
  })
  return { ...counts, problems }
}

/** The days join: the archive begins where the day before was cut, and ends where this one was. */
function edgesOf({ partition, from, to }: ArchivedRange, archived: ArchivedDay): string[] {
  const begin = archived.from.get(partition) ?? from
  const end = archived.to.get(partition) ?? from
  if (begin === from && end === to) return []
  return [
    `partition ${partition}: the day is [${from}, ${to}), the archive holds [${begin}, ${end})`,
  ]
}

function differences(log: Content | null, archive: Content, seal: Content | null): string[] {
  const isSame = (a: Content, b: Content) => a.examples === b.examples && a.hash === b.hash
  return [
    ...(log === null || isSame(log, archive)
      ? []
      : ['the examples of the archive are not those of the log: their hashes differ']),
    ...(seal === null || isSame(seal, archive)
      ? []
      : ['the examples of the archive are not those that were sealed: their hashes differ']),
  ]
}

function contentOf(hash: ExamplesHash): Content {
  return { examples: hash.count, hash: hash.digest() }
}

function describe({ day, partitions, log, archive, seal, problems, unproven }: DayAudit): string {
  const row = (cells: readonly unknown[]): string =>
    `  ${cells.map((cell, i) => String(cell).padStart(i === 1 ? 24 : 11)).join('')}`
  const content = (name: string, what: Content | null): string =>
    `${name.padEnd(9)}${what === null ? 'not all there' : `${what.examples} examples, hash ${what.hash}`}`
  const verdict =
    problems.length > 0
      ? ['WRONG:', ...problems.map((problem) => `  ${problem}`)]
      : log === null
        ? ['nothing wrong, as far as can be told']
        : ['every example of the log is in exactly one day']
  return [
    `day ${day}`,
    row(['partition', 'offsets', 'log', 'archive', 'stragglers', 'unreadable']),
    ...partitions.map(({ partition, from, to, inLog, archived, stragglers, unreadable }) =>
      row([partition, `[${from}, ${to})`, inLog ?? '-', archived, stragglers, unreadable]),
    ),
    content('log', log),
    content('archive', archive),
    content('seal', seal),
    ...unproven.map((what) => `not proved: ${what}`),
    ...verdict,
    '',
  ].join('\n')
}
