import { emptyState, type JoinerCounters, type JoinerState } from './joiner-state.ts'
import { joiner, type JoinerOptions } from './joiner.ts'
import type { SinkRecord, Stage } from './stage.ts'

/** What the joiner is told to call its sinks; nothing is sent to them. */
const topics = { examples: 'examples', deadLetters: 'dead-letters' }

/** The joiner of production over events that come in order of time, without a log: each partition is one that holds nothing else. */
export class OfflineJoiner {
  readonly #stage: Stage<JoinerState>
  readonly #partitions: readonly { readonly state: JoinerState; offset: number }[]

  constructor(options: Omit<JoinerOptions, 'topics'>, partitions: number) {
    this.#stage = joiner({ ...options, topics })
    this.#partitions = Array.from({ length: partitions }, () => ({
      state: emptyState(),
      offset: 0,
    }))
  }

  /**
   * The next event of a partition.
   * @param value as in the events topic
   * @returns values of the topics of examples and of dead letters
   */
  add(partition: number, value: Buffer, eventTimeMs: number) {
    const { state, offset } = this.#partitions[partition]!
    this.#partitions[partition]!.offset++
    const about = { topic: 'events', partition, offset, timestampMs: eventTimeMs, key: null }
    const outputs = this.#stage.onBatch(state, [{ ...about, value }])
    return {
      examples: valuesOf(outputs, topics.examples),
      deadLetters: valuesOf(outputs, topics.deadLetters),
    }
  }

  count(what: keyof Omit<JoinerCounters, 'deadLetters'>): number {
    return this.#partitions.reduce((sum, { state }) => sum + state.counters[what], 0)
  }
}

function valuesOf(outputs: readonly SinkRecord[], topic: string): Buffer[] {
  return outputs.flatMap((output) => (output.topic === topic ? [output.value!] : []))
}
