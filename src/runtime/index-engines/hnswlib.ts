import { randomUUID } from 'node:crypto'
import fs from 'node:fs/promises'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import type { HierarchicalNSW } from 'hnswlib-node'
import { FreshetError, messageOf } from '../../errors.ts'
import type { HnswGraph } from '../../index/hnsw-index.ts'
import type { HnswShape } from '../../index/hnsw-file.ts'
import type { Logger } from '../ports.ts'

/** hnswlib-node is compiled on the machine it runs on, so it may be missing. */
export interface Hnswlib {
  readonly HierarchicalNSW: new (space: 'ip', dim: number) => HierarchicalNSW
}

let loaded: Hnswlib | string | null = null
let isSaid = false

/** The native module, or why there is none. */
export function loadHnswlib(): Hnswlib | string {
  if (loaded !== null) return loaded
  try {
    loaded = createRequire(import.meta.url)('hnswlib-node') as Hnswlib
  } catch (error) {
    loaded = messageOf(error)
      .split('\n')[0]!
      .replace(/[.:]? Tried:$/, '')
  }
  return loaded
}

/** Once a process. */
export function sayMissing(log: Logger, why: string): void {
  if (isSaid) return
  isSaid = true
  log.warn(
    { error: why },
    'hnswlib-node is not built on this machine, so large catalogues are searched exactly, which takes longer; `npm run setup:index` builds it',
  )
}

/** After a failed read the native object frees memory twice when it is collected: it must never be. */
const unusable: HierarchicalNSW[] = []

/**
 * A graph from the bytes of its file, which hnsw-file.ts has found sound. Read by another thread, into an object of its own.
 * @throws FreshetError FILE_INVALID
 */
export async function readGraph(
  hnswlib: Hnswlib,
  bytes: Uint8Array,
  { dim, count }: HnswShape,
): Promise<HnswGraph> {
  const file = temporaryFile()
  try {
    await fs.writeFile(file, bytes)
    const graph = new hnswlib.HierarchicalNSW('ip', dim)
    try {
      await graph.readIndex(file)
    } catch (cause) {
      unusable.push(graph)
      throw new FreshetError('FILE_INVALID', `HNSW file: ${messageOf(cause)}`, { cause })
    }
    if (graph.getCurrentCount() !== count) {
      throw new FreshetError(
        'FILE_INVALID',
        `HNSW file: ${graph.getCurrentCount()} elements were read, not ${count}`,
      )
    }
    return graph
  } finally {
    await fs.rm(file, { force: true })
  }
}

/** The native module reads and writes files only. */
export function temporaryFile(): string {
  return path.join(os.tmpdir(), `freshet-index-${process.pid}-${randomUUID()}`)
}
