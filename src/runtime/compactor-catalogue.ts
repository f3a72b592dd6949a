import { FreshetError } from '../errors.ts'
import { decodeItem } from '../records/codec.ts'
import type { CatalogueChange } from '../streams/learner-types.ts'
import type { SourceRecord } from '../streams/stage.ts'
import type { KafkaClient } from './ports.ts'

/** The items topic as it was at the cut of a day: the newest value of each item below some offsets. It only goes forward. */
export class CompactorCatalogue {
  readonly #kafka: Pick<KafkaClient, 'offsets' | 'readRange'>
  readonly #topic: string
  readonly #changes = new Map<string, CatalogueChange>()
  #through: readonly number[]

  /**
   * @param base the catalogue at offsets `through`, so that nothing is needed that compaction may have removed since; none and empty:
   * everything is read
   */
  constructor(
    kafka: Pick<KafkaClient, 'offsets' | 'readRange'>,
    topic: string,
    base: readonly CatalogueChange[],
    through: readonly number[],
  ) {
    this.#kafka = kafka
    this.#topic = topic
    this.#through = through
    for (const change of base) this.#changes.set(change.itemId, change)
  }

  /** @param cut first offset of each partition that is not part of it */
  async at(cut: readonly number[]): Promise<readonly CatalogueChange[]> {
    const bounds = await this.#kafka.offsets(this.#topic)
    await Promise.all(
      bounds.map(async ({ partition, low }) => {
        const from = Math.max(low, this.#through[partition] ?? 0)
        await this.#kafka.readRange(
          { topic: this.#topic, partition },
          from,
          cut[partition] ?? from,
          ({ records }) => this.#apply(records),
        )
      }),
    )
    this.#through = cut
    return [...this.#changes.values()]
  }

  #apply(records: readonly SourceRecord[]): void {
    for (const record of records) {
      const change = changeOf(record)
      if (change !== null) this.#changes.set(change.itemId, change)
    }
  }
}

/** Null for what cannot be read: the learner makes a dead letter of the same record. */
function changeOf({ key, value }: SourceRecord): CatalogueChange | null {
  if (value === null) return key === null ? null : { itemId: key.toString(), item: null }
  try {
    const item = decodeItem(value)
    return { itemId: item.itemId, item }
  } catch (error) {
    if (error instanceof FreshetError && error.disposition === 'dead-letter') return null
    throw error
  }
}
