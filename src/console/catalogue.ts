import { decodeItem } from '../records/codec.ts'
import type { Batch, KafkaClient, Tail } from '../runtime/ports.ts'
import type { TitledItem } from './api.ts'
import { readable } from './scan.ts'

/** More than that, and titles of the others are not known. */
const itemsMax = 200_000

interface Entry {
  readonly title: string
  readonly category: string
}

/** Titles and first category values, from the items topic. Read from the first question on. */
export class Catalogue {
  readonly #kafka: Pick<KafkaClient, 'tail'>
  readonly #topic: string
  readonly #entries = new Map<string, Entry>()
  #tail: Promise<Tail> | null = null

  constructor(kafka: Pick<KafkaClient, 'tail'>, topic: string) {
    this.#kafka = kafka
    this.#topic = topic
  }

  /** @throws FreshetError BROKER_UNAVAILABLE, and tries anew when asked again */
  async open(): Promise<void> {
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
  }

  titled(itemId: string): TitledItem {
    return { itemId, title: this.#entries.get(itemId)?.title ?? '' }
  }

  /** Empty for none, or not known. */
  category(itemId: string): string {
    return this.#entries.get(itemId)?.category ?? ''
  }

  async close(): Promise<void> {
    await this.#tail?.then(
      (tail) => tail.close(),
      () => undefined,
    )
  }

  #onBatch({ records }: Batch): void {
    // A withdrawn item keeps its title: there are clicks on it.
    for (const { value } of records) {
      const item = readable(decodeItem, value)
      if (item === null) continue
      const isKnown = this.#entries.has(item.itemId)
      if (!isKnown && this.#entries.size >= itemsMax) continue
      const [values] = item.features.categorical.values()
      this.#entries.set(item.itemId, { title: item.title, category: values?.[0] ?? '' })
    }
  }
}
