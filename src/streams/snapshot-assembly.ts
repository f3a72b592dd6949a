import { createHash } from 'node:crypto'
import { FreshetError } from '../errors.ts'
import type { SnapshotChunk, SnapshotManifest } from '../records/types.ts'

interface PartChunks {
  readonly found: (Buffer | undefined)[]
  /** Numbers of chunks that came with other bytes than their hash says. */
  readonly damaged: Set<number>
}

/**
 * Puts the chunks of one snapshot together, in whatever order and however often they come, beside chunks of others. What has another
 * hash than it says is not taken; of two good ones the later stands, and the hash of the whole part decides in the end.
 */
export class SnapshotAssembly {
  readonly #manifest: SnapshotManifest
  readonly #parts: ReadonlyMap<string, PartChunks>

  constructor(manifest: SnapshotManifest) {
    this.#manifest = manifest
    this.#parts = new Map(
      manifest.parts.map(({ part }) => [part, { found: [], damaged: new Set<number>() }]),
    )
  }

  /** The data is kept as it is: copy it before where it is a view of something larger. */
  add({ generation, revision, part, chunk, sha256, data }: SnapshotChunk): void {
    const { generation: wanted, revision: wantedRevision, parts } = this.#manifest
    if (generation !== wanted || revision !== wantedRevision) return
    const chunks = this.#parts.get(part)
    const count = parts.find((each) => each.part === part)?.chunks ?? 0
    if (chunks === undefined || chunk < 0 || chunk >= count) return
    if (createHash('sha256').update(data).digest('hex') === sha256) chunks.found[chunk] = data
    else chunks.damaged.add(chunk)
  }

  /**
   * The chunks of every part, in order.
   * @throws FreshetError SNAPSHOT_INVALID naming the first chunk that is missing or damaged
   */
  finish(): ReadonlyMap<string, readonly Buffer[]> {
    const whole = new Map<string, Buffer[]>()
    for (const { part, chunks } of this.#manifest.parts) {
      const { found, damaged } = this.#parts.get(part)!
      const ordered: Buffer[] = []
      for (let number = 0; number < chunks; number++) {
        const data = found[number]
        if (data === undefined) {
          const what = damaged.has(number) ? 'does not have the sha256 it names' : 'is missing'
          throw invalidSnapshot(
            this.#manifest,
            `chunk ${number} of ${chunks} of part ${part} ${what}`,
          )
        }
        ordered.push(data)
      }
      whole.set(part, ordered)
    }
    return whole
  }
}

export function invalidSnapshot(
  { generation, revision }: Pick<SnapshotManifest, 'generation' | 'revision'>,
  why: string,
  cause?: unknown,
): FreshetError {
  const message = `snapshot ${generation}, revision ${revision}: ${why}`
  return new FreshetError('SNAPSHOT_INVALID', message, { cause })
}
