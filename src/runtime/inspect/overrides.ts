import { LRUCache } from 'lru-cache'
import { decodeOverride } from '../../records/codec.ts'
import type { Override } from '../../records/types.ts'
import type { Batch, KafkaClient } from '../ports.ts'
import { decoded } from '../kafka/readable.ts'
import { LazyTail } from './lazy-tail.ts'

/** More than can be served at one time. */
const generationsMax = 4

/** The newest override of each item, by generation. Followed from the first question on. */
export class Overrides {
  readonly #tail: LazyTail
  /** Those that were written to or asked for last: one that others have come after may be live again. */
  readonly #all = new LRUCache<string, Map<string, Override>>({ max: generationsMax })

  constructor(kafka: Pick<KafkaClient, 'tail'>, topic: string) {
    this.#tail = new LazyTail(kafka, topic, (batch) => this.#onBatch(batch))
  }

  /** By item. @throws FreshetError BROKER_UNAVAILABLE, and tries anew when asked again */
  async of(generation: string): Promise<ReadonlyMap<string, Override>> {
    await this.#tail.caughtUp()
    return this.#all.get(generation) ?? new Map()
  }

  close(): Promise<void> {
    return this.#tail.close()
  }

  #onBatch({ records }: Batch): void {
    for (const { value } of records) {
      const override = decoded(decodeOverride, value)
      if (override?.kind !== 'override') continue
      const known = this.#all.get(override.generation) ?? new Map<string, Override>()
      known.set(override.itemId, override)
      this.#all.set(override.generation, known)
    }
  }
}
