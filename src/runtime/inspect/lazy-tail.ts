import type { KafkaClient, Tail, TailOptions } from '../ports.ts'

/** A topic from its beginning, followed from the first question on. */
export class LazyTail {
  readonly #kafka: Pick<KafkaClient, 'tail'>
  readonly #topic: string
  readonly #onBatch: TailOptions['onBatch']
  #tail: Promise<Tail> | null = null

  constructor(kafka: Pick<KafkaClient, 'tail'>, topic: string, onBatch: TailOptions['onBatch']) {
    this.#kafka = kafka
    this.#topic = topic
    this.#onBatch = onBatch
  }

  /** Resolves when all that was there has been handed over. @throws FreshetError BROKER_UNAVAILABLE, and tries anew when asked again */
  async caughtUp(): Promise<void> {
    this.#tail ??= this.#kafka.tail({
      topics: [this.#topic],
      from: 'earliest',
      onBatch: this.#onBatch,
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

  async close(): Promise<void> {
    await this.#tail?.then(
      (tail) => tail.close(),
      () => undefined,
    )
  }
}
