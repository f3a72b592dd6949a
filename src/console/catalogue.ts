import { decodeItem } from '../records/codec.ts'
import type { Batch, KafkaClient } from '../runtime/ports.ts'
import type { TitledItem } from './api.ts'
import { LazyTail } from '../runtime/inspect/lazy-tail.ts'
import { decoded } from '../runtime/kafka/readable.ts'

/** More than that, and titles of the others are not known. */
const itemsMax = 200_000

interface Entry {
  readonly title: string
  readonly category: string
}

/** Titles and first category values, from the items topic. Read from the first question on. */
export class Catalogue {
  readonly #tail: LazyTail
  readonly #entries = new Map<string, Entry>()

  constructor(kafka: Pick<KafkaClient, 'tail'>, topic: string) {
    this.#tail = new LazyTail(kafka, topic, (batch) => this.#onBatch(batch))
  }

  /** @throws FreshetError BROKER_UNAVAILABLE, and tries anew when asked again */
  open(): Promise<void> {
    return this.#tail.caughtUp()
  }

  titled(itemId: string): TitledItem {
    return { itemId, title: this.#entries.get(itemId)?.title ?? '' }
  }

  /** Empty for none, or not known. */
  category(itemId: string): string {
    return this.#entries.get(itemId)?.category ?? ''
  }

  close(): Promise<void> {
    return this.#tail.close()
  }

  #onBatch({ records }: Batch): void {
    // A withdrawn item keeps its title: there are clicks on it.
    for (const { value } of records) {
      const item = decoded(decodeItem, value)
      if (item === null) continue
      const isKnown = this.#entries.has(item.itemId)
      if (!isKnown && this.#entries.size >= itemsMax) continue
      const [values] = item.features.categorical.values()
      this.#entries.set(item.itemId, { title: item.title, category: values?.[0] ?? '' })
    }
  }
}
