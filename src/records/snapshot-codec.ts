import { FreshetError } from '../errors.ts'
import { topicSchemas } from './schemas.ts'
import { topicValues } from './topic-values.ts'
import type { SnapshotChunk, SnapshotManifest } from './types.ts'

/** Values and keys of the snapshots topic. */

interface ManifestRecord {
  readonly generation: string
  readonly revision: number
  readonly engine: string
  readonly dim: number
  readonly items: number
  readonly created_at: number
  readonly parts: readonly {
    readonly part: string
    readonly bytes: number
    readonly chunks: number
    readonly sha256: Buffer
  }[]
  readonly reference: string | null
  readonly override_sequence: number
  readonly recall: number
}

interface ChunkRecord {
  readonly generation: string
  readonly revision: number
  readonly part: string
  readonly chunk: number
  readonly sha256: Buffer
  readonly data: Buffer
}

type SnapshotRecord =
  | { readonly 'freshet.SnapshotManifest': ManifestRecord }
  | { readonly 'freshet.SnapshotChunk': ChunkRecord }

const snapshots = topicValues<SnapshotRecord>('snapshot', topicSchemas.snapshots)
const sha256Bytes = 32

export function encodeSnapshotRecord(record: SnapshotManifest | SnapshotChunk): Buffer {
  if (record.kind === 'chunk') {
    const { kind: _, sha256, ...rest } = record
    return snapshots.encode({ 'freshet.SnapshotChunk': { ...rest, sha256: bytesOf(sha256) } })
  }
  const { kind: _, createdAtMs, overrideSequence, parts, ...rest } = record
  return snapshots.encode({
    'freshet.SnapshotManifest': {
      ...rest,
      created_at: createdAtMs,
      override_sequence: overrideSequence,
      parts: parts.map(({ sha256, ...part }) => ({ ...part, sha256: bytesOf(sha256) })),
    },
  })
}

/**
 * The data of a chunk is a view of `value`.
 * @throws FreshetError RECORD_UNDECODABLE, SCHEMA_UNKNOWN
 */
export function decodeSnapshotRecord(value: Buffer): SnapshotManifest | SnapshotChunk {
  const record = snapshots.decode(value)
  if ('freshet.SnapshotChunk' in record) {
    const { sha256, ...rest } = record['freshet.SnapshotChunk']
    return { kind: 'chunk', ...rest, sha256: hexOf(sha256) }
  }
  const { created_at, override_sequence, parts, engine, ...rest } =
    record['freshet.SnapshotManifest']
  if (engine !== 'hnswlib' && engine !== 'exact') {
    throw undecodable(`engine ${JSON.stringify(engine)} is not known to this version`)
  }
  return {
    kind: 'manifest',
    ...rest,
    engine,
    createdAtMs: created_at,
    overrideSequence: override_sequence,
    parts: parts.map(({ sha256, ...part }) => ({ ...part, sha256: hexOf(sha256) })),
  }
}

/** Which record of a snapshot a key belongs to; `chunk: null` is the manifest. */
export interface SnapshotKey {
  readonly generation: string
  readonly revision: number
  readonly chunk: { readonly part: string; readonly number: number } | null
}

export function snapshotKey({ generation, revision, chunk }: SnapshotKey): string {
  const prefix = `${generation}/${revision}`
  return chunk === null ? `${prefix}/manifest` : `${prefix}/${chunk.part}/${chunk.number}`
}

/** null for what is no key of a snapshot. */
export function parseSnapshotKey(key: string): SnapshotKey | null {
  const found = /^([^/]+)\/(\d{1,9})\/(?:manifest|([^/]+)\/(\d{1,9}))$/.exec(key)
  if (found === null) return null
  const [, generation, revision, part, number] = found
  return {
    generation: generation!,
    revision: Number(revision),
    chunk: part === undefined ? null : { part, number: Number(number) },
  }
}

function bytesOf(sha256: string): Buffer {
  return Buffer.from(sha256, 'hex')
}

function hexOf(sha256: Buffer): string {
  if (sha256.length !== sha256Bytes) {
    throw undecodable(`a sha256 of ${sha256.length} bytes`)
  }
  return sha256.toString('hex')
}

function undecodable(what: string): FreshetError {
  return new FreshetError('RECORD_UNDECODABLE', `snapshot: ${what}`)
}
