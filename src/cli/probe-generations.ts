import { decodeOverride } from '../records/codec.ts'
import { noFeatures } from '../records/types.ts'
import { openServingEngine, type EngineName } from '../runtime/engines/index.ts'
import type { ArtifactStore } from '../runtime/generation/artifact-store.ts'
import { loadGeneration } from '../runtime/generation/generation.ts'
import type { Batch, KafkaClient, Tail } from '../runtime/ports.ts'
import { UserTower } from '../runtime/recall-user-tower.ts'
import { Wakeup } from '../runtime/wakeup.ts'

/** One generation as the store and the overrides topic have it. */
export interface ProbeGeneration {
  /** [o] vector of a user without a row */
  readonly defaultUser: Float32Array
  /** [o] vector of a user with this row */
  userOf(row: Float32Array): Promise<Float32Array>
  /** Every vector [o] that an item has had in it. */
  vectorsOf(itemId: string): readonly Float32Array[]
}

export interface ProbeGenerationsDeps {
  readonly kafka: Pick<KafkaClient, 'tail'>
  readonly store: ArtifactStore
  readonly engine: EngineName
}

interface Published {
  /** Of the newest set that is complete. */
  sequence: number
  readonly vectors: Map<string, Float32Array[]>
}

interface Loaded {
  readonly generation: Omit<ProbeGeneration, 'vectorsOf'>
  readonly vectors: ReadonlyMap<string, Float32Array>
  close(): Promise<void>
}

/** More than can be served at one time. */
const generationsMax = 4
const waitMs = 2_000

/** What generations have published, followed for a probe that compares replies with it. */
export class ProbeGenerations {
  readonly #deps: ProbeGenerationsDeps
  readonly #published = new Map<string, Published>()
  readonly #loaded = new Map<string, Promise<Loaded>>()
  readonly #news = new Wakeup()
  #tail: Tail | null = null

  static async open(deps: ProbeGenerationsDeps, topic: string): Promise<ProbeGenerations> {
    const generations = new ProbeGenerations(deps)
    const onBatch = (batch: Batch): void => generations.#onBatch(batch)
    generations.#tail = await deps.kafka.tail({ topics: [topic], from: 'earliest', onBatch })
    return generations
  }

  private constructor(deps: ProbeGenerationsDeps) {
    this.#deps = deps
  }

  /**
   * With everything up to an override set.
   * @returns null where the set has not come after a while
   * @throws FreshetError GENERATION_INVALID, also when it is no longer kept
   */
  async with(id: string, sequence: number): Promise<ProbeGeneration | null> {
    const { generation, vectors } = await this.#load(id)
    const deadlineMs = performance.now() + waitMs
    while ((this.#published.get(id)?.sequence ?? 0) < sequence) {
      if (performance.now() > deadlineMs) return null
      await this.#news.within(100)
    }
    return {
      ...generation,
      vectorsOf: (itemId) => {
        const base = vectors.get(itemId)
        const overrides = this.#published.get(id)?.vectors.get(itemId) ?? []
        return base === undefined ? overrides : [base, ...overrides]
      },
    }
  }

  async close(): Promise<void> {
    await this.#tail?.close()
    for (const loading of this.#loaded.values()) await closeLoaded(loading)
  }

  #load(id: string): Promise<Loaded> {
    const known = this.#loaded.get(id)
    if (known !== undefined) return known
    const loading = load(this.#deps, id)
    this.#loaded.set(id, loading)
    for (const [other, loaded] of this.#loaded) {
      if (this.#loaded.size <= generationsMax) break
      this.#loaded.delete(other)
      void closeLoaded(loaded)
    }
    return loading
  }

  #onBatch({ records }: Batch): void {
    for (const { value } of records) {
      if (value === null) continue
      const record = decodeOverride(value)
      const published = this.#publishedOf(record.generation)
      if (record.kind === 'set-end') {
        published.sequence = record.sequence
        this.#news.wake()
      } else if (record.vector !== null) {
        const vectors = published.vectors.get(record.itemId) ?? []
        vectors.push(record.vector.slice())
        published.vectors.set(record.itemId, vectors)
      }
    }
  }

  #publishedOf(id: string): Published {
    const known = this.#published.get(id)
    if (known !== undefined) return known
    const published = { sequence: 0, vectors: new Map<string, Float32Array[]>() }
    this.#published.set(id, published)
    for (const other of this.#published.keys()) {
      if (this.#published.size <= generationsMax) break
      this.#published.delete(other)
    }
    return published
  }
}

async function load({ store, engine }: ProbeGenerationsDeps, id: string): Promise<Loaded> {
  const { model, dense, userDefaultRow, itemIds, itemVectors } = await loadGeneration(store, id, {
    for: 'serving',
  })
  const { outputDim } = model
  const tensors = await openServingEngine(engine).open(model, dense)
  const tower = new UserTower(tensors, model, dense)
  const userOf = (row: Float32Array): Promise<Float32Array> => tower.vector(row, noFeatures)
  const vectors = new Map(
    itemIds.map((itemId, i) => [itemId, itemVectors.subarray(i * outputDim, (i + 1) * outputDim)]),
  )
  const generation = { defaultUser: await userOf(userDefaultRow), userOf }
  return { generation, vectors, close: () => tensors.close() }
}

async function closeLoaded(loading: Promise<Loaded>): Promise<void> {
  await loading.then(
    (loaded) => loaded.close(),
    () => undefined,
  )
}
