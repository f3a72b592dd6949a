import { messageOf } from '../errors.ts'
import { decodeOverride } from '../records/codec.ts'
import type { Override } from '../records/types.ts'
import { OverrideSets } from '../streams/override-sets.ts'
import type { OverrideLog } from './override-log.ts'
import type { KafkaClient, Logger, Tail } from './ports.ts'

/** The whole override sets of one generation: what the next revision of its index is made of. */
export class FollowedOverrides {
  readonly generation: string
  readonly #sets: OverrideSets
  readonly #onSet: () => void
  readonly #newest = new Map<string, Override>()
  #sequence = 0
  #tail: Tail | null = null

  constructor(generation: string, onSet: () => void) {
    this.generation = generation
    this.#onSet = onSet
    this.#sets = new OverrideSets(generation)
  }

  /** Of the newest whole set, 0 before the first. */
  get sequence(): number {
    return this.#sequence
  }

  /** The newest override of every item. */
  get newest(): ReadonlyMap<string, Override> {
    return this.#newest
  }

  /** How many items an index that holds everything through `sequence` is out of date in. */
  countSince(sequence: number): number {
    let count = 0
    for (const override of this.#newest.values()) if (override.sequence > sequence) count++
    return count
  }

  /** Resolves when every set that was in the topic is known. */
  async follow(
    kafka: Pick<KafkaClient, 'tail'>,
    overrideLog: OverrideLog,
    log: Logger,
  ): Promise<void> {
    const prefix = `${this.generation}/`
    this.#tail = await kafka.tail({
      topics: [overrideLog.topic],
      from: overrideLog.startOf(this.generation),
      onBatch: ({ records }) => {
        for (const { key, value, offset } of records) {
          if (value === null || key?.toString().startsWith(prefix) !== true) continue
          try {
            this.#add(decodeOverride(value))
          } catch (error) {
            log.error(
              { offset, error: messageOf(error) },
              'passed over a record of the overrides topic',
            )
          }
        }
      },
    })
    await this.#tail.caughtUp
  }

  async close(): Promise<void> {
    await this.#tail?.close()
  }

  #add(record: ReturnType<typeof decodeOverride>): void {
    const set = this.#sets.add(record)
    if (set === null) return
    for (const override of set.overrides) this.#newest.set(override.itemId, override)
    this.#sequence = set.sequence
    this.#onSet()
  }
}
