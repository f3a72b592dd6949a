import { createHash } from 'node:crypto'
import * as zstd from '@bokuweb/zstd-wasm'
import { messageOf } from '../../errors.ts'
import type { SnapshotManifest, SnapshotPart } from '../../records/types.ts'
import { zstdContentBytes } from '../../records/zstd-frame.ts'
import { invalidSnapshot } from '../../streams/snapshot-assembly.ts'
import { inSlices } from '../in-slices.ts'
import { codecsReady } from '../kafka/codecs.ts'

/** `index.chunkBytes` cannot be larger. */
const chunkBytesMax = 1_048_576

/**
 * Decompresses the chunks of one part, one chunk a turn of the event loop, and checks the result against the manifest.
 * @throws FreshetError SNAPSHOT_INVALID naming the chunk or the part
 */
export async function unpackPart(
  manifest: SnapshotManifest,
  part: SnapshotPart,
  chunks: readonly Buffer[],
  signal: AbortSignal,
): Promise<Buffer> {
  await codecsReady()
  // Before a byte is allocated: what the frames say of themselves, not only what the manifest says.
  const bytes = chunks.reduce((sum, chunk, i) => sum + contentBytes(manifest, part, chunk, i), 0)
  checkFact(manifest, part, 'bytes', bytes, part.bytes)
  // Of its own, so that floats in it are aligned.
  const whole = Buffer.allocUnsafeSlow(bytes)
  const hash = createHash('sha256')
  await inSlices(
    (function* () {
      let at = 0
      for (const [i, chunk] of chunks.entries()) {
        const content = decompress(manifest, part, chunk, i)
        whole.set(content, at)
        hash.update(content)
        at += content.length
        yield
      }
    })(),
    signal,
  )
  checkFact(manifest, part, 'sha256', hash.digest('hex'), part.sha256)
  return whole
}

/** @throws FreshetError SNAPSHOT_INVALID where a fact about a part is not what the manifest says */
export function checkFact(
  manifest: SnapshotManifest,
  { part }: SnapshotPart,
  what: string,
  is: number | string,
  must: number | string,
): void {
  if (is !== must) {
    throw invalidSnapshot(manifest, `part ${part}: ${what} ${is}, the manifest says ${must}`)
  }
}

function contentBytes(
  manifest: SnapshotManifest,
  { part }: SnapshotPart,
  chunk: Buffer,
  number: number,
): number {
  const bytes = zstdContentBytes(chunk)
  if (bytes === null || bytes > chunkBytesMax) {
    throw invalidSnapshot(
      manifest,
      `chunk ${number} of part ${part} would become ${bytes ?? 'an unknown number of'} bytes`,
    )
  }
  return bytes
}

function decompress(
  manifest: SnapshotManifest,
  { part }: SnapshotPart,
  chunk: Buffer,
  number: number,
): Uint8Array {
  try {
    const content = zstd.decompress(chunk)
    if (content.length === zstdContentBytes(chunk)) return content
    throw new Error(`${content.length} bytes`)
  } catch (cause) {
    const why = `chunk ${number} of part ${part} cannot be decompressed: ${messageOf(cause)}`
    throw invalidSnapshot(manifest, why, cause)
  }
}
