import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { FreshetError } from '../../errors.ts'
import { openJsonl, type JsonlFile } from './jsonl.ts'
import { unreadable } from './lines.ts'
import { openMovieTweetings } from './movietweetings.ts'
import { filmsFile, ratingsFile } from './movietweetings-files.ts'
import type { ReplaySource } from './source.ts'

/** Of equal times items come before the pages that show them, and pages before their clicks. */
const jsonlFiles = [
  { name: 'items.jsonl', kind: 'item' },
  { name: 'impressions.jsonl', kind: 'impression' },
  { name: 'clicks.jsonl', kind: 'click' },
] as const

const accepted =
  `a folder with ${ratingsFile} and ${filmsFile} (MovieTweetings), a folder with ` +
  `${jsonlFiles.map((file) => file.name).join(', ')}, or one .jsonl file whose lines have a "record" field`

/**
 * Opens whatever `--events PATH` names.
 * @throws FreshetError FILE_MISSING, FILE_INVALID
 */
export async function openFiles(path: string, seed: number): Promise<ReplaySource> {
  const full = resolve(path)
  if (!(await isFolder(full))) {
    if (/\.(jsonl|ndjson)$/.test(full)) return openJsonl([{ path: full, kind: null }])
    throw new FreshetError('FILE_INVALID', `${path} is not what --events takes: ${accepted}`)
  }
  const names = new Set(await readdir(full))
  if (names.has(ratingsFile) || names.has(filmsFile)) return openMovieTweetings(full, seed)
  const files = jsonlFiles
    .filter((file) => names.has(file.name))
    .map((file): JsonlFile => ({ path: join(full, file.name), kind: file.kind }))
  if (files.length > 0) return openJsonl(files)
  throw new FreshetError('FILE_INVALID', `${path} holds no events; --events takes ${accepted}`)
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    throw unreadable(path, error)
  }
}
