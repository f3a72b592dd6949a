import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as zstd from '@bokuweb/zstd-wasm'
import { encodeSnapshotRecord, snapshotKey } from '../../records/snapshot-codec.ts'
import type { SnapshotManifest, SnapshotPart } from '../../records/types.ts'
import type { SinkRecord } from '../../streams/stage.ts'
import { sha256Of } from '../generation/artifact-store.ts'
import type { ArtifactStore } from '../generation/artifact-store.ts'
import { codecsReady } from '../kafka/codecs.ts'

export interface SnapshotToPublish {
  /** What is known of it before its parts are written. */
  readonly manifest: Omit<SnapshotManifest, 'kind' | 'parts' | 'reference'>
  /** By name; the bytes of a part one after the other. */
  readonly parts: ReadonlyMap<string, readonly Uint8Array[]>
}

export interface PublishOptions {
  readonly topic: string
  readonly chunkBytes: number
  /** A larger snapshot goes to the artifact store. */
  readonly inlineBytesMax: number
  readonly artifacts: Pick<ArtifactStore, 'put'>
  /** One transaction; resolves when it is committed. */
  readonly transact: (records: readonly SinkRecord[]) => Promise<void>
  /** Between two chunks. */
  readonly signal: AbortSignal
  /** What goes out in the transaction of the manifest, behind it. */
  readonly epilogue: (manifest: SnapshotManifest) => readonly SinkRecord[]
}

/** Of one transaction: small enough that it is over long before its timeout. */
const transactionBytes = 8_000_000
/** Vectors hardly shrink: anything slower costs time and saves nothing. */
const zstdLevel = 1

/** Sends the parts of a snapshot, the manifest last: what has none is not there. */
export async function publishSnapshot(
  { manifest: facts, parts }: SnapshotToPublish,
  options: PublishOptions,
): Promise<SnapshotManifest> {
  const isInline = bytesOf([...parts.values()].flat()) <= options.inlineBytesMax
  const folder = snapshotFolder(facts.generation, facts.revision)
  const described: SnapshotPart[] = []
  let waiting: SinkRecord[] = []
  let waitingBytes = 0
  for (const [part, pieces] of parts) {
    if (!isInline) {
      described.push({
        part,
        chunks: 0,
        ...(await options.artifacts.put(`${folder}/${part}`, pieces)),
      })
      continue
    }
    await codecsReady()
    const hash = createHash('sha256')
    let chunk = 0
    for (const content of cut(pieces, options.chunkBytes)) {
      hash.update(content)
      const record = chunkRecord(options.topic, facts, part, chunk++, content)
      waiting.push(record)
      waitingBytes += record.value!.length
      if (waitingBytes >= transactionBytes) {
        await options.transact(waiting)
        waiting = []
        waitingBytes = 0
      }
      await nextTurn()
      options.signal.throwIfAborted()
    }
    described.push({ part, chunks: chunk, bytes: bytesOf(pieces), sha256: hash.digest('hex') })
  }
  const reference = isInline ? null : folder
  const manifest: SnapshotManifest = { kind: 'manifest', ...facts, parts: described, reference }
  await options.transact([
    ...waiting,
    manifestRecord(options.topic, manifest),
    ...options.epilogue(manifest),
  ])
  return manifest
}

/** Where a snapshot lies in the artifact store that is too large for the topic; without a revision: all of a generation. */
export function snapshotFolder(generation: string, revision?: number): string {
  return `snapshots/${generation}${revision === undefined ? '' : `/${revision}`}`
}

/** Pieces of at most `bytesMax`, across the borders of what they are cut from. */
function* cut(pieces: readonly Uint8Array[], bytesMax: number): Generator<Uint8Array> {
  let gathered: Uint8Array[] = []
  let room = bytesMax
  for (const piece of pieces) {
    for (let from = 0; from < piece.length;) {
      const taken = piece.subarray(from, from + room)
      gathered.push(taken)
      from += taken.length
      room -= taken.length
      if (room > 0) continue
      yield Buffer.concat(gathered)
      gathered = []
      room = bytesMax
    }
  }
  if (gathered.length > 0) yield Buffer.concat(gathered)
}

function chunkRecord(
  topic: string,
  { generation, revision, createdAtMs }: SnapshotToPublish['manifest'],
  part: string,
  chunk: number,
  content: Uint8Array,
): SinkRecord {
  const data = Buffer.from(zstd.compress(content, zstdLevel))
  const sha256 = sha256Of(data)
  return {
    ...{ topic, partition: 0, timestampMs: createdAtMs },
    key: snapshotKey({ generation, revision, chunk: { part, number: chunk } }),
    value: encodeSnapshotRecord({ kind: 'chunk', generation, revision, part, chunk, sha256, data }),
  }
}

function manifestRecord(topic: string, manifest: SnapshotManifest): SinkRecord {
  const { generation, revision, createdAtMs: timestampMs } = manifest
  const key = snapshotKey({ generation, revision, chunk: null })
  return { topic, partition: 0, key, value: encodeSnapshotRecord(manifest), timestampMs }
}

function bytesOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0)
}
