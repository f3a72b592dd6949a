import { LRUCache } from 'lru-cache'
import { decodeOverride } from '../records/codec.ts'
import type { EngineName } from '../runtime/engines/index.ts'
import type { ArtifactStore } from '../runtime/generation/artifact-store.ts'
import { openVectors, type GenerationVectors } from '../runtime/generation/vectors.ts'
import type { Batch, KafkaClient, Tail } from '../runtime/ports.ts'
import { Wakeup } from '../runtime/wakeup.ts'
import type { PublishedGeneration } from '../streams/reply-check.ts'

/** One generation as the store and the overrides topic have it. */
export type ProbeGeneration = Pick<GenerationVectors, 'userVector'> &
  Pick<PublishedGeneration, 'vectorsOf'>

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

/** More than can be served at one time. */
const generationsMax = 4
const waitMs = 2_000

/** What generations have published, followed for a probe that compares replies with it. */
export class ProbeGenerations {
  readonly #deps: ProbeGenerationsDeps
  readonly #published = new LRUCache<string, Published>({ max: generationsMax })
  readonly #loaded = new Map<string, Promise<GenerationVectors>>()
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
    const { userVector, itemVector } = await this.#load(id)
    const deadlineMs = performance.now() + waitMs
    while ((this.#published.get(id)?.sequence ?? 0) < sequence) {
      if (performance.now() > deadlineMs) return null
      await this.#news.within(100)
    }
    return {
      userVector,
      vectorsOf: (itemId) => {
        const base = itemVector(itemId)
        const overrides = this.#published.get(id)?.vectors.get(itemId) ?? []
        return base === null ? overrides : [base, ...overrides]
      },
    }
  }

  async close(): Promise<void> {
    await this.#tail?.close()
    for (const loading of this.#loaded.values()) await closeLoaded(loading)
  }

  #load(id: string): Promise<GenerationVectors> {
    const known = this.#loaded.get(id)
    if (known !== undefined) return known
    const { store, engine } = this.#deps
    const loading = openVectors(store, id, engine)
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
    return published
  }
}

async function closeLoaded(loading: Promise<GenerationVectors>): Promise<void> {
  await loading.then(
    (loaded) => loaded.close(),
    () => undefined,
  )
}
