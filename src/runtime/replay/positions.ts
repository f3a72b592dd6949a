import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FreshetError } from '../../errors.ts'
import type { ReplayPosition } from './source.ts'

/** Remembers how far each source was sent, one small file each, so that the next start goes on where this one ends. */
export interface Positions {
  /** @throws FreshetError CHECKPOINT_INVALID */
  load(source: string): Promise<ReplayPosition | null>
  save(position: ReplayPosition): Promise<void>
}

/** @param dir made when it is needed */
export function openPositions(dir: string): Positions {
  const pathOf = (source: string): string => {
    const hash = createHash('sha256').update(source).digest('hex').slice(0, 12)
    return join(dir, `replay-${hash}.json`)
  }
  return {
    async load(source) {
      const path = pathOf(source)
      const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return null
        throw invalidPosition(path, error)
      })
      return text === null ? null : parse(path, text, source)
    },
    async save(position) {
      const path = pathOf(position.source)
      await mkdir(dir, { recursive: true })
      // Renamed whole: a crash while writing leaves the position before.
      await writeFile(`${path}.new`, `${JSON.stringify({ version: 1, ...position })}\n`)
      await rename(`${path}.new`, path)
    },
  }
}

const counts = ['impressions', 'clicks', 'items', 'lastEventTimeMs'] as const

function parse(path: string, text: string, source: string): ReplayPosition {
  let found: Partial<Record<string, unknown>>
  try {
    found = (JSON.parse(text) ?? {}) as Partial<Record<string, unknown>>
  } catch (cause) {
    throw invalidPosition(path, cause)
  }
  const isSound =
    found['version'] === 1 &&
    found['source'] === source &&
    counts.every((name) => Number.isSafeInteger(found[name]) && (found[name] as number) >= 0)
  if (!isSound) throw invalidPosition(path)
  const [impressions, clicks, items, lastEventTimeMs] = counts.map((name) => found[name] as number)
  return {
    source,
    impressions: impressions!,
    clicks: clicks!,
    items: items!,
    lastEventTimeMs: lastEventTimeMs!,
  }
}

function invalidPosition(path: string, cause?: unknown): FreshetError {
  const message = `${path} is no replay position; \`freshet reset\` starts over`
  return new FreshetError('CHECKPOINT_INVALID', message, { cause })
}
