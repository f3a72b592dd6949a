import { LearnerWindows } from '../streams/learner-windows.ts'
import type { LearnerWindow, PartitionCut } from '../streams/learner-windows.ts'
import { LearnerCatalogue } from './learner-catalogue.ts'
import type { LearnerPace } from './learner-pace.ts'
import { headOf } from './learner-records.ts'
import type { PaceParts } from './learner-session.ts'
import type { Batch } from './ports.ts'
import { Wakeup } from './wakeup.ts'

const waitingMax = 5_000
/** Redis is looked after this often. */
const rowsCheckMs = 1_000

/**
 * Learns whole windows of event time, each published before the next is begun, so that what is learnt, published and scored depends on
 * the topics alone. Between windows nothing has changed, so that looking after Redis by the clock changes nothing either.
 */
export class EventTimePace implements LearnerPace {
  readonly topics: readonly string[]
  readonly #parts: PaceParts
  readonly #windows: LearnerWindows
  readonly #catalogue: LearnerCatalogue
  readonly #ends = new Map<number, number>()
  readonly #wakeup = new Wakeup()
  #isStopping = false
  #openWindowMs: number | null
  #lastSyncMs = -Infinity
  readonly #isFresh: boolean

  constructor(parts: PaceParts, openWindowMs: number | null) {
    const { deps, learner } = parts
    const { topics, config } = deps
    const topic = topics.examples
    this.#parts = parts
    this.#openWindowMs = openWindowMs
    this.topics = [topic]
    this.#catalogue = new LearnerCatalogue(deps.kafka, topics.items)
    this.#windows = new LearnerWindows({
      partitions: config.kafka.partitions,
      windowMs: config.learner.syncEventMs,
      waitingMax,
      headOf,
      pause: (partition) => parts.pause({ topic, partition }),
      resume: (partition) => parts.resume({ topic, partition }),
    })
    const isCatalogueKnown = learner.positions.some((position) => position.topic === topics.items)
    this.#isFresh = openWindowMs === null && !isCatalogueKnown
    for (const position of learner.positions) {
      if (position.topic === topic) this.#windows.startAt(position.partition, position)
      else this.#catalogue.startAt(position.partition, position.offset)
    }
  }

  get isWhole(): boolean {
    return this.#openWindowMs === null
  }

  add({ partition, records, highWatermark }: Batch): number {
    this.#ends.set(partition, highWatermark)
    const repeated = this.#windows.add(partition, records)
    this.wake()
    return repeated
  }

  wake(): void {
    this.#wakeup.wake()
  }

  stop(): void {
    this.#isStopping = true
    this.wake()
  }

  lags() {
    const { topics } = this.#parts.deps
    return Array.from(this.#ends, ([partition, end]) => {
      const lag = Math.max(0, end - (this.#windows.positionOf(partition) ?? 0))
      return { topic: topics.examples, partition, lag }
    })
  }

  async run(): Promise<void> {
    const { deps, publisher } = this.#parts
    // What is known of the catalogue up to where the generation begins comes before the first window.
    if (this.#isFresh) await this.#learn({ endMs: this.#parts.baseTimeMs, cuts: [] })
    while (!this.#isStopping) {
      const window = this.#parts.mayGoOn() ? this.#windows.take(this.#openWindowMs) : null
      if (window !== null) await this.#learn(window)
      else if (this.isWhole && (await this.#passHeartbeats())) this.#lastSyncMs = -Infinity
      else {
        const dueMs = this.#lastSyncMs + rowsCheckMs - deps.clock.nowMs()
        if (this.isWhole && (dueMs <= 0 || publisher.isCheckpointHastened)) await this.#sync()
        else await this.#wakeup.within(this.isWhole ? dueMs : rowsCheckMs)
      }
    }
  }

  async #learn({ endMs, cuts }: LearnerWindow): Promise<void> {
    const { work, cutLog } = this.#parts
    if (this.#openWindowMs === null) await cutLog.beginWindow(endMs)
    this.#openWindowMs = endMs
    for (const piece of await this.#catalogue.before(endMs)) {
      await this.#inTurn(() => work.applyCatalogue(piece))
    }
    await this.#apply(cuts)
    await cutLog.endWindow()
    await this.#sync()
    this.#openWindowMs = null
  }

  async #passHeartbeats(): Promise<boolean> {
    const cuts = this.#windows.takeHeartbeats()
    await this.#apply(cuts)
    return cuts.length > 0
  }

  async #apply(cuts: readonly PartitionCut[]): Promise<void> {
    const { work, deps } = this.#parts
    const topic = deps.topics.examples
    for (const cut of cuts) {
      await this.#inTurn(() => work.applyExamples({ topic, ...cut }, Infinity))
    }
  }

  #inTurn<T>(apply: () => Promise<T>): Promise<T> {
    const { deps, role } = this.#parts
    return deps.turns.take(role() === 'live', apply)
  }

  async #sync(): Promise<void> {
    const { publisher, deps } = this.#parts
    await publisher.publish(false)
    this.#lastSyncMs = deps.clock.nowMs()
  }
}
