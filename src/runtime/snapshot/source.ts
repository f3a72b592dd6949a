import { messageOf } from '../../errors.ts'
import { decodeSnapshotRecord } from '../../records/snapshot-codec.ts'
import type { SnapshotManifest } from '../../records/types.ts'
import { invalidSnapshot, SnapshotAssembly } from '../../streams/snapshot-assembly.ts'
import { SnapshotLedger } from '../../streams/snapshot-ledger.ts'
import type { KnownSnapshot } from '../../streams/snapshot-ledger.ts'
import type { SourceRecord } from '../../streams/stage.ts'
import type { ArtifactStore } from '../generation/artifact-store.ts'
import type { Batch, KafkaClient, Logger, Tail } from '../ports.ts'
import { loadChunks, loadFiles } from './load.ts'
import type { LoadedSnapshot } from './load.ts'

export interface SnapshotSourceOptions {
  readonly kafka: Pick<KafkaClient, 'tail' | 'readRange'>
  readonly topic: string
  /** For what is too large for the topic, and for nothing else. */
  readonly artifacts: Pick<ArtifactStore, 'get'>
  readonly efSearch: number
  readonly log: Logger
}

/** Generations out of the snapshots topic. It remembers where they lie, and reads what is wanted when it is wanted. */
export class SnapshotSource {
  readonly #options: SnapshotSourceOptions
  readonly #ledger = new SnapshotLedger()
  #tail: Tail | null = null
  #onSnapshot: () => void = () => {}

  /** Resolves when everything that was in the topic is known. */
  static async open(options: SnapshotSourceOptions): Promise<SnapshotSource> {
    const source = new SnapshotSource(options)
    const tail = await options.kafka.tail({
      topics: [options.topic],
      from: 'earliest',
      onBatch: (batch) => source.#note(batch),
    })
    source.#tail = tail
    try {
      await tail.caughtUp
    } catch (error) {
      await tail.close()
      throw error
    }
    return source
  }

  private constructor(options: SnapshotSourceOptions) {
    this.#options = options
  }

  /** Calls back whenever a further snapshot is complete in the topic. */
  follow(onSnapshot: () => void): void {
    this.#onSnapshot = onSnapshot
  }

  /** The newest complete revision of a generation; null: none. */
  newest(generation: string): number | null {
    return this.#ledger.newest(generation)?.manifest.revision ?? null
  }

  /**
   * The newest complete revision, read and verified.
   * @throws FreshetError SNAPSHOT_INVALID saying what is wrong with it; the signal's reason
   */
  async load(generation: string, signal: AbortSignal): Promise<LoadedSnapshot> {
    const known = this.#ledger.newest(generation)
    if (known === null) throw invalidSnapshot({ generation, revision: 0 }, 'none is in the topic')
    const { efSearch, log, artifacts } = this.#options
    const options = { efSearch, log, signal }
    if (known.manifest.reference !== null) return loadFiles(known.manifest, artifacts, options)
    return loadChunks(known.manifest, await this.#read(known, signal), options)
  }

  async close(): Promise<void> {
    await this.#tail?.close()
  }

  async #read(
    { manifest, from, through }: KnownSnapshot,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, readonly Buffer[]>> {
    const assembly = new SnapshotAssembly(manifest)
    const { kafka, topic } = this.#options
    const partition = { topic, partition: 0 }
    await kafka.readRange(partition, from, through + 1, ({ records }) => {
      signal.throwIfAborted()
      for (const record of records) this.#take(assembly, manifest, record)
    })
    return assembly.finish()
  }

  #take(assembly: SnapshotAssembly, manifest: SnapshotManifest, record: SourceRecord): void {
    const prefix = `${manifest.generation}/${manifest.revision}/`
    if (record.value === null || record.key?.toString().startsWith(prefix) !== true) return
    try {
      const chunk = decodeSnapshotRecord(record.value)
      if (chunk.kind !== 'chunk') return
      // Out of the response, which holds other snapshots too.
      assembly.add({ ...chunk, data: Buffer.from(chunk.data) })
    } catch (error) {
      // The chunk is missing then, and is named as such.
      this.#passedOver(record, error)
    }
  }

  #note({ records }: Batch): void {
    for (const record of records) {
      try {
        if (this.#ledger.add(record) !== null) this.#onSnapshot()
      } catch (error) {
        this.#passedOver(record, error)
      }
    }
  }

  #passedOver({ topic, offset }: SourceRecord, error: unknown): void {
    this.#options.log.error(
      { topic, offset, error: messageOf(error) },
      'passed over a record of the snapshots topic',
    )
  }
}
