import type { ItemOverride } from '../streams/learner-items.ts'
import type { SinkRecord } from '../streams/stage.ts'
import { readOverrides } from './learner-overrides.ts'
import type { PublishedOverrides } from './learner-overrides.ts'
import type { KafkaClient } from './ports.ts'

/**
 * What the active learner knows of the overrides topic, which it alone writes: read once when it becomes active, and noted down from
 * then on, so that a candidate is opened, and a generation taken back, without reading the topic again.
 */
export class OverrideLedger {
  readonly #kafka: Pick<KafkaClient, 'tail'>
  readonly #topic: string
  /** As read, until the generation is opened. */
  readonly #read: Map<string, PublishedOverrides>
  /** By generation: every item with an override. */
  readonly #itemIds: Map<string, Set<string>>
  readonly #opened = new Set<string>()

  /** Call after fencing the writer before: what is read is then all there will be of it. */
  static async open(kafka: Pick<KafkaClient, 'tail'>, topic: string): Promise<OverrideLedger> {
    return new OverrideLedger(kafka, topic, await readOverrides(kafka, topic))
  }

  private constructor(
    kafka: Pick<KafkaClient, 'tail'>,
    topic: string,
    read: Map<string, PublishedOverrides>,
  ) {
    this.#kafka = kafka
    this.#topic = topic
    this.#read = read
    this.#itemIds = new Map([...read].map(([id, { vectors }]) => [id, new Set(vectors.keys())]))
  }

  /** Generations with overrides. */
  get generations(): readonly string[] {
    return [...this.#itemIds.keys()]
  }

  /** What the topic holds of a generation that nobody publishes at this moment. */
  async publishedOf(generation: string): Promise<PublishedOverrides> {
    const isOpenedAgain = this.#opened.has(generation)
    const read = isOpenedAgain ? await readOverrides(this.#kafka, this.#topic) : this.#read
    const found = read.get(generation) ?? { sequence: 0, vectors: new Map() }
    this.#read.delete(generation)
    this.#opened.add(generation)
    return found
  }

  note(generation: string, overrides: readonly ItemOverride[]): void {
    const known = this.#itemIds.get(generation) ?? new Set()
    this.#itemIds.set(generation, known)
    for (const { itemId } of overrides) known.add(itemId)
  }

  /** Takes everything of a generation back; the last record says that it is all. */
  tombstonesOf(generation: string, timestampMs: number): SinkRecord[] {
    const itemIds = this.#itemIds.get(generation)
    if (itemIds === undefined) return []
    const keys = [...Array.from(itemIds, (itemId) => `${generation}/${itemId}`), `${generation}/`]
    return keys.map((key) => ({ topic: this.#topic, partition: 0, key, value: null, timestampMs }))
  }

  /** Call when the tombstones are in the topic. */
  forget(generation: string): void {
    this.#itemIds.delete(generation)
    this.#read.delete(generation)
    this.#opened.delete(generation)
  }
}
