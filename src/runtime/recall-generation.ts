import { LRUCache } from 'lru-cache'
import { messageOf } from '../errors.ts'
import { BruteForceIndex } from '../index/brute-force.ts'
import { LayeredIndex } from '../index/layered-index.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { TensorEngine, TensorModel } from '../model/engine.ts'
import type { DenseParameters, ModelSpec } from '../model/spec.ts'
import { decodeOverride } from '../records/codec.ts'
import type { Override } from '../records/types.ts'
import type { Catalogue } from '../streams/catalogue.ts'
import { OverrideSets } from '../streams/override-sets.ts'
import type { AppliedSet } from '../streams/override-sets.ts'
import type { KnownUser, ServedGeneration } from '../streams/recall.ts'
import type { SourceRecord } from '../streams/stage.ts'
import type { Clock, KafkaClient, Logger, Tail } from './ports.ts'
import { UserTower } from './recall-user-tower.ts'

/** What a pod needs of a generation, verified. */
export interface LoadedGeneration {
  readonly id: string
  readonly model: ModelSpec
  readonly dense: DenseParameters
  /** [d] */
  readonly userDefaultRow: Float32Array
  readonly itemIds: readonly string[]
  /** [itemIds.length x d], L2-normalised */
  readonly itemVectors: Float32Array
}

export interface ServingOptions {
  readonly kafka: Pick<KafkaClient, 'tail'>
  readonly engine: TensorEngine
  readonly overridesTopic: string
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
  readonly dim: number
  readonly defaultRow: Float32Array
  readonly tower: UserTower
  readonly index: LayeredIndex
  readonly catalogue: Catalogue
  readonly knownUsers: LRUCache<string, CachedUser>
  readonly #options: ServingOptions
  readonly #tensors: TensorModel
  readonly #sets: OverrideSets
  readonly #overridden = new Set<string>()
  /** Timestamps of the overrides that wait for the end of their set, for the visible delay. */
  #pendingSinceMs: number[] = []
  #overrideSequence = 0
  #tail: Tail | null = null
  #isCaughtUp = false
  #replies = 0
  #isRetired = false

  /** Resolves when every override set that was in the topic has been applied. */
  static async open(loaded: LoadedGeneration, options: ServingOptions): Promise<ServingGeneration> {
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

  private constructor(loaded: LoadedGeneration, tensors: TensorModel, options: ServingOptions) {
    this.generation = loaded.id
    this.dim = loaded.model.dim
    this.defaultRow = loaded.userDefaultRow
    this.tower = new UserTower(tensors, loaded.model, loaded.dense)
    this.index = new LayeredIndex(indexOf(loaded))
    this.catalogue = options.catalogue
    this.knownUsers = new LRUCache({ max: options.rowCacheMax })
    this.#options = options
    this.#tensors = tensors
    this.#sets = new OverrideSets(loaded.id)
  }

  get overrideSequence(): number {
    return this.#overrideSequence
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
    overrides.set({ role: 'recall' }, this.#overridden.size)
  }

  async #followOverrides(): Promise<void> {
    this.#tail = await this.#options.kafka.tail({
      topics: [this.#options.overridesTopic],
      from: 'earliest',
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
    if (record.value === null) return
    try {
      const override = decodeOverride(record.value)
      if (override.generation !== this.generation) return
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

  /** Synchronous, so that no search sees half of it. */
  #apply({ sequence, overrides }: AppliedSet): void {
    for (const override of overrides) this.#applyOne(override)
    this.#overrideSequence = sequence
    const nowMs = this.#options.clock.nowMs()
    if (this.#isCaughtUp) {
      const { visibleDelay } = this.#options.metrics
      for (const sinceMs of this.#pendingSinceMs) {
        visibleDelay.observe({ side: 'item' }, Math.max(0, nowMs - sinceMs) / 1_000)
      }
    }
    this.#pendingSinceMs = []
  }

  #applyOne({ itemId, vector }: Override): void {
    this.#overridden.add(itemId)
    if (vector === null) {
      this.index.remove(itemId)
      return
    }
    try {
      this.index.set(itemId, vector)
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

function indexOf({ model: { dim }, itemIds, itemVectors }: LoadedGeneration): BruteForceIndex {
  const index = new BruteForceIndex(dim)
  itemIds.forEach((id, i) => index.set(id, itemVectors.subarray(i * dim, (i + 1) * dim)))
  return index
}
