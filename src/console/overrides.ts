import { decodeOverride } from '../records/codec.ts'
import type { Override } from '../records/types.ts'
import type { Batch, KafkaClient, Tail } from '../runtime/ports.ts'
import { readable } from './scan.ts'

/** More than can be served at one time. */
const generationsMax = 4

/** The newest override of each item, by generation. Followed from the first question on. */
export class Overrides {
  readonly #kafka: Pick<KafkaClient, 'tail'>
  readonly #topic: string
  readonly #all = new Map<string, Map<string, Override>>()
  #tail: Promise<Tail> | null = null

  constructor(kafka: Pick<KafkaClient, 'tail'>, topic: string) {
    this.#kafka = kafka
    this.#topic = topic
  }

  /** By item. @throws FreshetError BROKER_UNAVAILABLE, and tries anew when asked again */
  async of(generation: string): Promise<ReadonlyMap<string, Override>> {
    this.#tail ??= this.#kafka.tail({
      topics: [this.#topic],
      from: 'earliest',
      onBatch: (batch) => this.#onBatch(batch),
    })
    try {
      await (
        await this.#tail
      ).caughtUp
    } catch (error) {
      this.#tail = null
      throw error
    }
    return this.#all.get(generation) ?? new Map()
  }

  async close(): Promise<void> {
    await this.#tail?.then(
      (tail) => tail.close(),
      () => undefined,
    )
  }

  #onBatch({ records }: Batch): void {
    for (const { value } of records) {
      const override = readable(decodeOverride, value)
      if (override?.kind !== 'override') continue
      const known = this.#all.get(override.generation) ?? new Map<string, Override>()
      known.set(override.itemId, override)
      this.#all.set(override.generation, known)
      if (this.#all.size > generationsMax) this.#all.delete(this.#all.keys().next().value!)
    }
  }
}
