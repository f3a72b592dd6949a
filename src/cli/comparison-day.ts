import type { Config } from '../config/schema.ts'
import type { TensorModel } from '../model/engine.ts'
import type { TopicNames } from '../records/topics.ts'
import { openEngine } from '../runtime/engines/index.ts'
import type { ArtifactStore } from '../runtime/generation/artifact-store.ts'
import { loadGeneration } from '../runtime/generation/generation.ts'
import { LearnerCatalogue } from '../runtime/learner-catalogue.ts'
import { decodeCatalogue, decodeExamples, headOf } from '../runtime/learner-records.ts'
import { baseOf, learnerOptions } from '../runtime/learner-state.ts'
import type { KafkaClient } from '../runtime/ports.ts'
import { Comparison, type ComparedFigures, type ComparedWindow } from '../streams/comparison.ts'
import { LearnerWindows, type LearnerWindow } from '../streams/learner-windows.ts'
import type { SourceRecord } from '../streams/stage.ts'

export interface ComparisonDeps {
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly store: ArtifactStore
  readonly config: Pick<Config, 'kafka' | 'learner' | 'model'>
}

/** A day that is over in every partition. */
export interface DayToCompare {
  /** What was live while it lasted. */
  readonly live: string
  /** By partition: where the day ends in the examples topic. */
  readonly to: readonly number[]
}

/**
 * Feeds a comparison with the records of the topics, a day at a time and in the windows in which the learner learns them. From the topics
 * and not from the archive: the day that is still open at the end of a replay is compared as well.
 */
export class ComparisonDays {
  readonly #deps: ComparisonDeps
  readonly #windows: LearnerWindows
  readonly #catalogue: LearnerCatalogue
  readonly #read = new Map<number, number>()
  #comparison: Comparison | null = null
  #live: { readonly generation: string; readonly tensors: TensorModel } | null = null
  #bootstrap: TensorModel | null = null

  constructor(deps: ComparisonDeps) {
    const { kafka, topics, config } = deps
    this.#deps = deps
    this.#catalogue = new LearnerCatalogue(kafka, topics.items)
    this.#windows = new LearnerWindows({
      partitions: config.kafka.partitions,
      windowMs: config.learner.syncEventMs,
      waitingMax: Infinity,
      headOf,
      pause: () => {},
      resume: () => {},
    })
  }

  /** @throws FreshetError GENERATION_INVALID, TOPIC_INVALID */
  async compare({ live, to }: DayToCompare): Promise<ComparedFigures> {
    const comparison = await this.#comparisonWith(live)
    for (const [partition, end] of to.entries()) await this.#readTo(partition, end)
    for (;;) {
      const window = this.#windows.take(null)
      if (window === null) return comparison.figures
      await comparison.pass(await this.#compared(window))
    }
  }

  async close(): Promise<void> {
    await this.#live?.tensors.close()
    await this.#bootstrap?.close()
  }

  async #comparisonWith(generation: string): Promise<Comparison> {
    if (this.#comparison !== null && this.#live?.generation === generation) return this.#comparison
    const { store, config } = this.#deps
    const loaded = await loadGeneration(store, generation)
    const { model, dense } = loaded
    const engine = openEngine(config.model.engine)
    const tensors = await engine.open(model, dense)
    const setup = { model, dense, engine: tensors, options: learnerOptions(config.learner) }
    if (this.#comparison === null) {
      // It learns for itself for as long as the comparison lasts, with tensors of its own.
      this.#bootstrap = await engine.open(model, dense)
      this.#comparison = new Comparison({ ...setup, engine: this.#bootstrap }, baseOf(loaded))
    } else this.#comparison.goLive(setup, baseOf(loaded))
    await this.#live?.tensors.close()
    this.#live = { generation, tensors }
    return this.#comparison
  }

  /** With the record that ends the day: it says that the last window is over. */
  async #readTo(partition: number, end: number): Promise<void> {
    const { kafka, topics } = this.#deps
    const { low, high } = (await kafka.offsets(topics.examples)).find(
      (each) => each.partition === partition,
    )!
    const from = this.#read.get(partition) ?? low
    const to = Math.min(end + 1, high)
    if (to <= from) return
    const records: SourceRecord[] = []
    await kafka.readRange({ topic: topics.examples, partition }, from, to, (batch) => {
      for (const record of batch.records) records.push(record)
    })
    this.#windows.add(partition, records)
    this.#read.set(partition, to)
  }

  async #compared({ endMs, cuts }: LearnerWindow): Promise<ComparedWindow> {
    const { topics } = this.#deps
    const pieces = await this.#catalogue.before(endMs)
    return {
      catalogue: pieces.map(({ records, ...cut }) => ({
        cut,
        changes: decodeCatalogue(records, topics.deadLetters).values,
      })),
      examples: cuts.map(({ records, ...cut }) => ({
        cut: { topic: topics.examples, ...cut },
        records: decodeExamples(records, topics.deadLetters).values,
      })),
    }
  }
}
