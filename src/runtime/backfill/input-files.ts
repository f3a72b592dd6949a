import fs from 'node:fs/promises'
import path from 'node:path'
import type { Config, SourceConfig } from '../../config/schema.ts'
import { FreshetError } from '../../errors.ts'
import type { TopicNames } from '../../records/topics.ts'
import { unreadable } from './rows.ts'

/** A file, and what its rows are. */
export interface InputFile {
  readonly path: string
  readonly bytes: number
  readonly modifiedMs: number
  readonly format: 'parquet' | 'avro'
  /** `impressions`, `clicks`, `items`, or a name under `sources` of the configuration. */
  readonly source: string
}

export interface Selection {
  /** In the order in which ingest would take their records where event times are equal. */
  readonly files: readonly InputFile[]
  /** Parquet and Avro files whose names do not say what they are. */
  readonly passedOver: readonly string[]
}

/** Sources of impressions and clicks by name: freshet's own two, which may be given a mapping, and those of the configuration. */
export function backfillSources(
  sources: Config['sources'],
  topics: Pick<TopicNames, 'impressions' | 'clicks'>,
): Readonly<Record<string, SourceConfig>> {
  return {
    impressions: { topic: topics.impressions, record: 'impression', format: 'auto', fields: {} },
    clicks: { topic: topics.clicks, record: 'click', format: 'auto', fields: {} },
    ...sources,
  }
}

const shownMax = 8

/**
 * The files to read: a file belongs to the source that its name begins with, or else the nearest folder around it that does.
 * @param from a file or a folder
 * @throws FreshetError FILE_MISSING; USAGE_INVALID listing what was found
 */
export async function selectFiles(
  from: string,
  sources: Readonly<Record<string, SourceConfig>>,
): Promise<Selection> {
  const names = [...Object.keys(sources), 'items']
  const files: InputFile[] = []
  const passedOver: string[] = []
  for (const file of await candidates(from)) {
    const source = sourceOf(path.relative(path.dirname(path.resolve(from)), file.path), names)
    if (source === null) passedOver.push(file.path)
    else files.push({ ...file, source })
  }
  for (const record of ['impression', 'click'] as const) {
    if (files.some(({ source }) => sources[source]?.record === record)) continue
    throw nothingOf(record, from, names, [...files.map((file) => file.path), ...passedOver])
  }
  const place = ({ source }: InputFile): string => sources[source]?.topic ?? source
  files.sort((a, b) => compare(place(a), place(b)) || compare(a.path, b.path))
  return { files, passedOver }
}

async function candidates(from: string): Promise<Omit<InputFile, 'source'>[]> {
  const facts = await fs.stat(from).catch((cause: unknown) => {
    throw unreadable(from, cause)
  })
  const root = path.resolve(from)
  const paths = facts.isDirectory() ? await filesUnder(root) : [root]
  const found: Omit<InputFile, 'source'>[] = []
  for (const file of paths) {
    const format = /\.(parquet|avro)$/.exec(file)?.[1] as InputFile['format'] | undefined
    if (format === undefined) continue
    const { size, mtimeMs } = await fs.stat(file)
    found.push({ path: file, bytes: size, modifiedMs: mtimeMs, format })
  }
  return found
}

/** Names with `_` or `.` in front are what tools keep for themselves. */
async function filesUnder(folder: string): Promise<string[]> {
  const entries = await fs.readdir(folder, { withFileTypes: true })
  const found: string[] = []
  for (const entry of entries) {
    if (/^[._]/.test(entry.name)) continue
    const place = path.join(folder, entry.name)
    if (entry.isDirectory()) found.push(...(await filesUnder(place)))
    else found.push(place)
  }
  return found
}

/** @param place a path; its last parts say most */
function sourceOf(place: string, names: readonly string[]): string | null {
  for (const part of place.split(path.sep).reverse()) {
    const found = names.filter(
      (name) => part.startsWith(name) && !/^[a-z0-9]/i.test(part.slice(name.length)),
    )
    if (found.length > 0) return found.sort((a, b) => b.length - a.length)[0]!
  }
  return null
}

function nothingOf(
  record: 'impression' | 'click',
  from: string,
  names: readonly string[],
  found: readonly string[],
): FreshetError {
  const shown = found.slice(0, shownMax).map((file) => path.relative(from, file) || file)
  const more = found.length > shownMax ? ` and ${found.length - shownMax} more` : ''
  const what = found.length === 0 ? 'no .parquet or .avro file' : `${shown.join(', ')}${more}`
  const message = `${from} has no file of ${record}s: found ${what}. Folders or file names have to begin with one of ${names.join(', ')}, e.g. ${record}s/part-0.parquet`
  return new FreshetError('USAGE_INVALID', message)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
