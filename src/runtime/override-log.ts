import { partitionKey } from './ports.ts'
import type { KafkaClient, Tail } from './ports.ts'

/**
 * Knows at which offset of the overrides topic each generation begins. Many generations pass through it, and whoever opens one must
 * not read those of all the others first.
 */
export class OverrideLog {
  readonly topic: string
  readonly #begins = new Map<string, number>()
  #next = 0
  #tail: Tail | null = null

  /** Resolves when what was in the topic is known. */
  static async open(kafka: Pick<KafkaClient, 'tail'>, topic: string): Promise<OverrideLog> {
    const log = new OverrideLog(topic)
    const tail = await kafka.tail({
      topics: [topic],
      from: 'earliest',
      onBatch: ({ records }) => {
        for (const { key, offset } of records) log.#note(key?.toString() ?? '', offset)
      },
    })
    log.#tail = tail
    try {
      await tail.caughtUp
    } catch (error) {
      await tail.close()
      throw error
    }
    return log
  }

  private constructor(topic: string) {
    this.topic = topic
  }

  /** Where to read from for every override of a generation: its first one, or the end where none has come yet. */
  startOf(generation: string): ReadonlyMap<string, number> {
    const key = partitionKey({ topic: this.topic, partition: 0 })
    return new Map([[key, this.#begins.get(generation) ?? this.#next]])
  }

  async close(): Promise<void> {
    await this.#tail?.close()
  }

  /** Keys are `<generation>/<item>`. */
  #note(key: string, offset: number): void {
    const generation = key.slice(0, key.indexOf('/'))
    if (!this.#begins.has(generation)) this.#begins.set(generation, offset)
    this.#next = offset + 1
  }
}
