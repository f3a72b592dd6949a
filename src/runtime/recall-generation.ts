import { LRUCache } from 'lru-cache'
import { messageOf } from '../errors.ts'
import { LayeredIndex } from '../index/layered-index.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { TensorEngine, TensorModel } from '../model/engine.ts'
import { decodeOverride } from '../records/codec.ts'
import type { Override } from '../records/types.ts'
import type { Catalogue } from '../streams/catalogue.ts'
import { OverrideSets } from '../streams/override-sets.ts'
import type { AppliedSet } from '../streams/override-sets.ts'
import type { KnownUser, ServedGeneration } from '../streams/recall.ts'
import type { SourceRecord } from '../streams/stage.ts'
import type { OverrideLog } from './override-log.ts'
import type { Clock, KafkaClient, Logger, Tail } from './ports.ts'
import { UserTower } from './recall-user-tower.ts'
import type { LoadedSnapshot } from './snapshot/load.ts'

export interface ServingOptions {
  readonly kafka: Pick<KafkaClient, 'tail'>
  readonly engine: TensorEngine
  readonly overrideLog: Pick<OverrideLog, 'topic' | 'startOf'>
  readonly rowCacheMax: number
  readonly catalogue: Catalogue
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Logger
}

/** The last good read of a user, and when it was. */
export interface CachedUser extends KnownUser {
  readonly readAtMs: number
}

/**
 * Everything of one generation in one object: tower, index, overrides, known rows. A reply takes it once and uses nothing
 * else, so it cannot mix two. Once retired it closes as soon as the last reply that uses it is done.
 */
export class ServingGeneration implements ServedGeneration {
  readonly generation: string
  /** Width of ID rows. */
  readonly dim: number
  readonly defaultRow: Float32Array
  readonly tower: UserTower
  readonly catalogue: Catalogue
  readonly knownUsers: LRUCache<string, CachedUser>
  readonly #options: ServingOptions
  readonly #tensors: TensorModel
  readonly #sets: OverrideSets
  /** The newest override of each item whose vector is not the one in the base. */
  readonly #overrides = new Map<string, Override>()
  #index: LayeredIndex
  #revision: number
  /** Newest set that is part of the base. */
  #baseSequence: number
  /** Timestamps of the overrides that wait for the end of their set, for the visible delay. */
  #pendingSinceMs: number[] = []
  #overrideSequence: number
  #tail: Tail | null = null
  #isCaughtUp = false
  #replies = 0
  #isRetired = false

  /** Resolves when every override set that was in the topic has been applied. */
  static async open(loaded: LoadedSnapshot, options: ServingOptions): Promise<ServingGeneration> {
    const tensors = await options.engine.open(loaded.model, loaded.dense)
    try {
      const serving = new ServingGeneration(loaded, tensors, options)
      await serving.#followOverrides()
      return serving
    } catch (error) {
      await tensors.close()
      throw error
    }
  }

  private constructor(loaded: LoadedSnapshot, tensors: TensorModel, options: ServingOptions) {
    this.generation = loaded.id
    this.dim = loaded.model.dim
    this.defaultRow = loaded.userDefaultRow
    this.tower = new UserTower(tensors, loaded.model, loaded.dense)
    this.#index = new LayeredIndex(loaded.index)
    this.#revision = loaded.revision
    this.#baseSequence = loaded.overrideSequence
    this.#overrideSequence = loaded.overrideSequence
    this.catalogue = options.catalogue
    this.knownUsers = new LRUCache({ max: options.rowCacheMax })
    this.#options = options
    this.#tensors = tensors
    this.#sets = new OverrideSets(loaded.id)
  }

  get index(): LayeredIndex {
    return this.#index
  }

  get revision(): number {
    return this.#revision
  }

  get overrideSequence(): number {
    return this.#overrideSequence
  }

  /**
   * Goes on with another revision of the same generation as the base. Synchronous: a reply has the one or the other. Overrides that
   * are newer than the base stay above it; those that it holds, or holds a newer vector of, go.
   */
  rebase({ revision, overrideSequence, index }: LoadedSnapshot): void {
    this.#revision = revision
    this.#baseSequence = overrideSequence
    this.#overrideSequence = Math.max(this.#overrideSequence, overrideSequence)
    this.#index = new LayeredIndex(index)
    const newer = [...this.#overrides.values()].filter(
      ({ sequence }) => sequence > overrideSequence,
    )
    this.#overrides.clear()
    for (const override of newer) this.#applyOne(override)
  }

  get isRetired(): boolean {
    return this.#isRetired
  }

  /** Keeps the generation open until the returned function is called. */
  use(): () => void {
    this.#replies++
    return () => {
      this.#replies--
      this.#closeIfUnused()
    }
  }

  retire(): void {
    this.#isRetired = true
    this.#closeIfUnused()
  }

  /** Says in the metrics what is being served. */
  publishFigures(): void {
    const { overrideSequence, overrides } = this.#options.metrics
    overrideSequence.set({ role: 'recall' }, this.#overrideSequence)
    overrides.set({ role: 'recall' }, this.#overrides.size)
  }

  async #followOverrides(): Promise<void> {
    const { kafka, overrideLog } = this.#options
    this.#tail = await kafka.tail({
      topics: [overrideLog.topic],
      from: overrideLog.startOf(this.generation),
      onBatch: ({ records }) => {
        for (const record of records) this.#onOverride(record)
      },
    })
    try {
      await this.#tail.caughtUp
    } catch (error) {
      await this.#tail.close()
      throw error
    }
    this.#isCaughtUp = true
  }

  #onOverride(record: SourceRecord): void {
    // A null value is a tombstone of a generation that is gone.
    if (record.value === null || !this.#isOurs(record)) return
    try {
      const override = decodeOverride(record.value)
      if (override.kind === 'override') this.#pendingSinceMs.push(record.timestampMs)
      const set = this.#sets.add(override)
      if (set !== null) this.#apply(set)
    } catch (error) {
      const { topic, partition, offset } = record
      this.#options.log.error(
        { topic, partition, offset, error: messageOf(error) },
        'passed over a record of the overrides topic',
      )
    }
  }

  /** By its key, so that the vectors of other generations need not be decoded. */
  #isOurs({ key }: SourceRecord): boolean {
    return key?.toString().startsWith(`${this.generation}/`) === true
  }

  /** Synchronous, so that no search sees half of it. What the base holds already, or a newer vector of, is passed over. */
  #apply({ sequence, overrides }: AppliedSet): void {
    for (const override of overrides) {
      if (override.sequence > this.#baseSequence) this.#applyOne(override)
    }
    this.#overrideSequence = Math.max(this.#overrideSequence, sequence)
    const nowMs = this.#options.clock.nowMs()
    if (this.#isCaughtUp) {
      const { visibleDelay } = this.#options.metrics
      for (const sinceMs of this.#pendingSinceMs) {
        visibleDelay.observe({ side: 'item' }, Math.max(0, nowMs - sinceMs) / 1_000)
      }
    }
    this.#pendingSinceMs = []
  }

  #applyOne(override: Override): void {
    const { itemId, vector } = override
    try {
      if (vector === null) this.#index.remove(itemId)
      else this.#index.set(itemId, vector)
      this.#overrides.set(itemId, override)
    } catch (error) {
      // The item keeps the vector it has: one bad vector must not hold back the set.
      this.#options.log.error({ itemId, error: messageOf(error) }, 'refused an override')
    }
  }

  #closeIfUnused(): void {
    if (!this.#isRetired || this.#replies > 0) return
    const failed = (error: unknown) =>
      this.#options.log.warn({ error: messageOf(error) }, 'closing a generation failed')
    this.#tail?.close().catch(failed)
    this.#tensors.close().catch(failed)
  }
}
