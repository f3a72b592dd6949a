import { decodeSnapshotRecord, parseSnapshotKey } from '../records/snapshot-codec.ts'
import type { SnapshotManifest } from '../records/types.ts'
import type { SourceRecord } from './stage.ts'

/** A snapshot whose manifest is in the topic, and the offsets [from, through] that its records lie in. */
export interface KnownSnapshot {
  readonly manifest: SnapshotManifest
  readonly from: number
  readonly through: number
}

interface Revision {
  /** Key -> offset of every record that is there. */
  readonly offsets: Map<string, number>
  manifest: { readonly manifest: SnapshotManifest; readonly offset: number } | null
}

/**
 * What the snapshots topic holds, by generation and revision: keys, offsets and manifests, not the chunks. So a reader that wants a
 * generation after its records have passed knows where to read them again, and nothing is kept of those that nobody wants.
 */
export class SnapshotLedger {
  readonly #generations = new Map<string, Map<number, Revision>>()

  get generations(): readonly string[] {
    return [...this.#generations.keys()]
  }

  /**
   * Takes one record of the topic, in log order.
   * @returns the manifest, when the record is one
   * @throws FreshetError RECORD_UNDECODABLE, SCHEMA_UNKNOWN for a manifest that cannot be read; it is not there then
   */
  add({
    key,
    value,
    offset,
  }: Pick<SourceRecord, 'key' | 'value' | 'offset'>): SnapshotManifest | null {
    const text = key?.toString() ?? ''
    const parsed = parseSnapshotKey(text)
    if (parsed === null) return null
    const { generation, revision: number } = parsed
    if (value === null) {
      this.#remove(generation, number, text, parsed.chunk === null)
      return null
    }
    const revision = this.#revisionOf(generation, number)
    if (parsed.chunk !== null) {
      revision.offsets.set(text, offset)
      return null
    }
    const manifest = decodeSnapshotRecord(value)
    if (manifest.kind !== 'manifest') return null
    revision.offsets.set(text, offset)
    revision.manifest = { manifest, offset }
    return manifest
  }

  /** The highest revision that has a manifest, or null. */
  newest(generation: string): KnownSnapshot | null {
    let newest: Revision['manifest'] = null
    let from = 0
    for (const { manifest, offsets } of this.#generations.get(generation)?.values() ?? []) {
      if (manifest === null) continue
      if (newest !== null && newest.manifest.revision > manifest.manifest.revision) continue
      newest = manifest
      from = Math.min(...offsets.values())
    }
    return newest === null ? null : { manifest: newest.manifest, from, through: newest.offset }
  }

  /** Keys of a generation that are in the topic, of the revisions below one, manifests first: without its manifest a snapshot is none. */
  keysOf(generation: string, belowRevision = Infinity): string[] {
    const manifests: string[] = []
    const chunks: string[] = []
    for (const [number, { offsets }] of this.#generations.get(generation) ?? []) {
      if (number >= belowRevision) continue
      for (const key of offsets.keys()) {
        const list = parseSnapshotKey(key)?.chunk === null ? manifests : chunks
        list.push(key)
      }
    }
    return [...manifests, ...chunks]
  }

  #revisionOf(generation: string, number: number): Revision {
    let revisions = this.#generations.get(generation)
    if (revisions === undefined) this.#generations.set(generation, (revisions = new Map()))
    let revision = revisions.get(number)
    if (revision === undefined) {
      revisions.set(number, (revision = { offsets: new Map(), manifest: null }))
    }
    return revision
  }

  #remove(generation: string, number: number, key: string, isManifest: boolean): void {
    const revisions = this.#generations.get(generation)
    const revision = revisions?.get(number)
    if (revisions === undefined || revision === undefined) return
    revision.offsets.delete(key)
    if (isManifest) revision.manifest = null
    if (revision.offsets.size === 0) revisions.delete(number)
    if (revisions.size === 0) this.#generations.delete(generation)
  }
}
