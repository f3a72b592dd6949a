import { setTimeout as sleep } from 'node:timers/promises'
import { FreshetError, messageOf } from '../errors.ts'
import { encodeReport } from '../records/codec.ts'
import type { ControlDocument, SnapshotManifest } from '../records/types.ts'
import { SnapshotLedger } from '../streams/snapshot-ledger.ts'
import type { SinkRecord } from '../streams/stage.ts'
import { loadGeneration } from './generation/generation.ts'
import { buildIndex, withOverrides } from './indexer-build.ts'
import { FollowedOverrides } from './indexer-overrides.ts'
import type { IndexerDeps } from './indexer.ts'
import { Outbox } from './outbox.ts'
import { OverrideLog } from './override-log.ts'
import type { TransactionalProducer } from './ports.ts'
import { publishSnapshot, snapshotFolder } from './snapshot/publish.ts'

interface Task {
  readonly generation: string
  readonly revision: number
}

const reportMs = 1_000
const retryMs = 2_000
/** How long a transaction under way may take when the role ends. */
const drainMs = 2_000

/** One term of the active indexer: from taking over the transactional id until it is taken over, or the signal. */
export class IndexerSession {
  readonly #deps: IndexerDeps
  readonly #outbox: Outbox
  readonly #overrideLog: OverrideLog
  readonly #ledger = new SnapshotLedger()
  /** What this session has sent and may not have read back yet. */
  readonly #sent = new Map<string, SnapshotManifest>()
  /** Generations that could not be indexed, and when to try again. */
  readonly #notBefore = new Map<string, number>()
  readonly #closers: (() => Promise<void>)[] = []
  #document: ControlDocument | null = null
  #overrides: FollowedOverrides | null = null
  #task: { readonly generation: string; readonly aborting: AbortController } | null = null
  #wake: () => void = () => {}

  static async run(deps: IndexerDeps): Promise<void> {
    const { kafka, config, topics } = deps
    const producer = await kafka.transactionalProducer(`${config.kafka.topicPrefix}-indexer`)
    try {
      const overrideLog = await OverrideLog.open(kafka, topics.overrides)
      const session = new IndexerSession(deps, producer, overrideLog)
      try {
        await session.#run()
      } finally {
        await session.#close()
      }
    } finally {
      await producer.close()
    }
  }

  private constructor(
    deps: IndexerDeps,
    producer: TransactionalProducer,
    overrideLog: OverrideLog,
  ) {
    this.#deps = deps
    this.#outbox = new Outbox(producer)
    this.#overrideLog = overrideLog
    this.#closers.push(() => overrideLog.close())
  }

  async #run(): Promise<void> {
    const { log, signal, onReady, watchControl } = this.#deps
    await this.#followSnapshots()
    const control = await watchControl((document) => this.#onDocument(document))
    this.#closers.push(() => control.close())
    log.info({ snapshots: this.#ledger.generations.length }, 'indexing')
    onReady?.()
    const ending = new AbortController()
    const ends = AbortSignal.any([signal, ending.signal])
    ends.addEventListener('abort', () => {
      this.#task?.aborting.abort()
      this.#wake()
    })
    const loops = [this.#work(ends), this.#reportEachSecond(ends)]
    try {
      await Promise.all(loops)
    } finally {
      ending.abort()
      await this.#overrides?.close()
      await Promise.race([Promise.allSettled(loops), sleep(drainMs, undefined, { ref: false })])
    }
  }

  async #close(): Promise<void> {
    for (const close of this.#closers.reverse()) await close()
  }

  /** After the fencing, so that what is read is all there will be but for what this session sends. */
  async #followSnapshots(): Promise<void> {
    const { kafka, topics, log } = this.#deps
    const tail = await kafka.tail({
      topics: [topics.snapshots],
      from: 'earliest',
      onBatch: ({ records }) => {
        for (const record of records) {
          try {
            this.#ledger.add(record)
          } catch (error) {
            const { offset } = record
            log.error(
              { offset, error: messageOf(error) },
              'passed over a record of the snapshots topic',
            )
          }
        }
      },
    })
    this.#closers.push(() => tail.close())
    await tail.caughtUp
  }

  #onDocument(document: ControlDocument): void {
    this.#document = document
    if (this.#task !== null && !wantedOf(document).includes(this.#task.generation)) {
      this.#task.aborting.abort()
    }
    this.#wake()
  }

  async #work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#followLive()
      const task = this.#nextTask()
      if (task === null) await this.#untilWoken(signal)
      else await this.#index(task)
      if (this.#outbox.failure !== null) throw this.#outbox.failure
    }
  }

  /** The overrides of the live generation, so that its index can be built anew with them. */
  async #followLive(): Promise<void> {
    const live = this.#document?.live ?? null
    if (live === null || this.#overrides?.generation === live) return
    await this.#overrides?.close()
    this.#overrides = new FollowedOverrides(live, () => this.#wake())
    await this.#overrides.follow(this.#deps.kafka, this.#overrideLog, this.#deps.log)
  }

  #nextTask(): Task | null {
    if (this.#document === null) return null
    const nowMs = this.#deps.clock.nowMs()
    const isDue = (generation: string) => (this.#notBefore.get(generation) ?? 0) <= nowMs
    const missing = wantedOf(this.#document).find(
      (generation) => this.#newest(generation) === null && isDue(generation),
    )
    if (missing !== undefined) return { generation: missing, revision: 1 }
    if (this.#overrides === null || !isDue(this.#overrides.generation)) return null
    const { generation } = this.#overrides
    const newest = this.#newest(generation)
    if (newest === null || generation !== this.#document.live) return null
    const outdated = this.#overrides.countSince(newest.overrideSequence)
    const isFull = outdated > this.#deps.config.index.overridesMax
    return isFull ? { generation, revision: newest.revision + 1 } : null
  }

  async #index(task: Task): Promise<void> {
    const aborting = new AbortController()
    this.#task = { generation: task.generation, aborting }
    try {
      await this.#buildAndSend(task, aborting.signal)
    } catch (error) {
      if (aborting.signal.aborted) return
      if (this.#outbox.failure !== null) throw this.#outbox.failure
      // An index that finds too little will not find more the next time.
      const isHopeless = error instanceof FreshetError && error.code === 'SNAPSHOT_INVALID'
      const againMs = isHopeless ? Infinity : this.#deps.clock.nowMs() + retryMs
      this.#notBefore.set(task.generation, againMs)
      this.#deps.log.error(
        { ...task, error: messageOf(error) },
        `cannot index generation ${task.generation}`,
      )
    } finally {
      this.#task = null
    }
  }

  async #buildAndSend({ generation, revision }: Task, signal: AbortSignal): Promise<void> {
    const { artifacts, config, topics, clock, log, metrics } = this.#deps
    const startedAt = performance.now()
    const base = await loadGeneration(artifacts, generation, { for: 'serving' })
    signal.throwIfAborted()
    const isLive = generation === this.#overrides?.generation
    const overrideSequence = isLive ? this.#overrides!.sequence : 0
    const content = isLive ? withOverrides(base, this.#overrides!.newest) : base
    const { parts, ...index } = await buildIndex(content, config.index, log, signal)
    const items = content.itemIds.length
    const dim = content.model.outputDim
    const createdAtMs = clock.nowMs()
    const facts = { generation, revision, ...index, dim, items, createdAtMs, overrideSequence }
    const { chunkBytes, inlineBytesMax } = config.index
    const manifest = await publishSnapshot(
      { manifest: facts, parts },
      {
        ...{ topic: topics.snapshots, chunkBytes, inlineBytesMax, artifacts, signal },
        transact: (records) => this.#outbox.transact(records),
        epilogue: (sent) => [...this.#tombstones(generation, revision), this.#indexed(sent)],
      },
    )
    this.#sent.set(generation, manifest)
    if (revision > 1) await this.#removeFiles(snapshotFolder(generation, revision - 1))
    const bytes = manifest.parts.reduce((sum, part) => sum + part.bytes, 0)
    metrics.indexRecall.set(index.recall)
    metrics.snapshotBytes.set(bytes)
    const ms = Math.round(performance.now() - startedAt)
    log.info({ generation, revision, ...index, items, bytes, ms }, 'published a snapshot')
  }

  #newest(generation: string): SnapshotManifest | null {
    const sent = this.#sent.get(generation) ?? null
    const read = this.#ledger.newest(generation)?.manifest ?? null
    if (sent === null || read === null) return sent ?? read
    return sent.revision > read.revision ? sent : read
  }

  async #reportEachSecond(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clean()
      await this.#outbox.transact([this.#report()])
      await sleep(reportMs, undefined, { signal }).catch(() => undefined)
      this.#wake()
    }
  }

  /** Takes away the snapshots of generations that are no longer kept. */
  async #clean(): Promise<void> {
    if (this.#document === null) return
    const kept = new Set([...wantedOf(this.#document), ...this.#document.kept])
    for (const generation of this.#ledger.generations) {
      if (kept.has(generation)) continue
      const tombstones = this.#tombstones(generation, Infinity)
      this.#sent.delete(generation)
      await this.#outbox.transact(tombstones)
      await this.#removeFiles(snapshotFolder(generation))
      this.#deps.log.info(
        { generation, records: tombstones.length },
        'took the snapshots of a generation out of the topic',
      )
    }
  }

  /** Of a snapshot that was too large for the topic. What cannot be removed costs room and nothing else. */
  async #removeFiles(folder: string): Promise<void> {
    const { artifacts, log } = this.#deps
    await artifacts
      .remove(folder)
      .catch((error: unknown) =>
        log.warn({ folder, error: messageOf(error) }, 'cannot remove the files of an old snapshot'),
      )
  }

  #tombstones(generation: string, belowRevision: number): SinkRecord[] {
    const { topics, clock } = this.#deps
    const timestampMs = clock.nowMs()
    return this.#ledger
      .keysOf(generation, belowRevision)
      .map((key) => ({ topic: topics.snapshots, partition: 0, key, value: null, timestampMs }))
  }

  /** Of the candidate, which waits for it, else of the live generation; also says that this indexer is there. */
  #report(): SinkRecord {
    for (const generation of [this.#document?.candidate, this.#document?.live]) {
      const manifest = typeof generation === 'string' ? this.#newest(generation) : null
      if (manifest !== null) return this.#indexed(manifest)
    }
    return this.#reportOf('', 'indexing', {})
  }

  #indexed({ generation, revision, items, recall }: SnapshotManifest): SinkRecord {
    return this.#reportOf(generation, 'indexed', { revision, items, recall })
  }

  #reportOf(generation: string, kind: string, body: Record<string, unknown>): SinkRecord {
    const { topics, clock, instance } = this.#deps
    const atMs = clock.nowMs()
    const value = encodeReport({ role: 'indexer', instance, kind, generation, atMs, body })
    return { topic: topics.reports, key: `indexer/${instance}`, value, timestampMs: atMs }
  }

  #untilWoken(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      if (signal.aborted) resolve()
    })
  }
}

/** By need: without the live one no pod can start, and the candidate waits. */
function wantedOf({ live, candidate, previous }: ControlDocument): string[] {
  return [...new Set([live, candidate, previous])].filter((id) => id !== null)
}
