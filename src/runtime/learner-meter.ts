import type { Metrics } from '../metrics/metrics.ts'
import type { RecallFigures } from '../model/evaluation.ts'
import type { Learner } from '../streams/learner.ts'
import type { LearnerCounters } from '../streams/learner-types.ts'
import type { SourceRecord } from '../streams/stage.ts'
import type { LearnerIntake } from './learner-intake.ts'
import type { Clock } from './ports.ts'

/** Progressive recall is said of the last so many cases, or a little more. */
const recentCases = 5_000
/** Arrivals remembered until they are visible: with Redis away for long, the oldest, which wait the longest. */
const arrivalsMax = 100_000

/** Arrival times of what a sync makes visible. */
export interface Arrivals {
  readonly examples: readonly number[]
  /** Item id -> when the newest record behind its vector came in. */
  readonly items: ReadonlyMap<string, number>
  /** For items that moved as negatives only; null: nothing came in. */
  readonly newest: number | null
}

/** What the learner says about itself. */
export class LearnerMeter {
  readonly #metrics: Metrics
  readonly #clock: Clock
  #examples: number[] = []
  #items = new Map<string, number>()
  #newest: number | null = null
  #counted: LearnerCounters
  /** Figures at earlier moments, the oldest first. */
  #history: Moment[] = []

  constructor(metrics: Metrics, clock: Clock, learner: Learner) {
    this.#metrics = metrics
    this.#clock = clock
    this.#counted = { ...learner.counters }
    this.#history.push(momentOf(learner))
  }

  /** Examples that have been applied. @param items their item ids */
  applied(records: readonly SourceRecord[], items: readonly string[], isExamples: boolean): void {
    const nowMs = this.#clock.nowMs()
    for (const { timestampMs } of records) {
      this.#newest = Math.max(this.#newest ?? 0, timestampMs)
      if (!isExamples) continue
      this.#metrics.stageDelay.observe({ stage: 'learner' }, seconds(nowMs - timestampMs))
      if (this.#examples.length < arrivalsMax) this.#examples.push(timestampMs)
    }
    for (const itemId of items) this.#items.set(itemId, this.#newest ?? nowMs)
  }

  takeArrivals(): Arrivals {
    const taken = { examples: this.#examples, items: this.#items, newest: this.#newest }
    this.#examples = []
    this.#items = new Map()
    this.#newest = null
    return taken
  }

  /** Redis has every row of these examples. */
  visible({ examples }: Arrivals): void {
    const nowMs = this.#clock.nowMs()
    for (const timestampMs of examples) {
      const delay = seconds(nowMs - timestampMs)
      this.#metrics.stageDelay.observe({ stage: 'visible' }, delay)
      this.#metrics.visibleDelay.observe({ side: 'user' }, delay)
    }
  }

  /** Brings counters and gauges up to date. */
  publish(learner: Learner, intake: LearnerIntake): void {
    const metrics = this.#metrics
    const now = learner.counters
    const before = this.#counted
    this.#counted = { ...now }
    metrics.examples.inc({ role: 'learner' }, now.examples - before.examples)
    const invalid = (c: LearnerCounters) => c.quarantinedExamples + c.quarantinedRows
    const evicted = (c: LearnerCounters) => c.evictedUsers + c.evictedItems
    metrics.quarantined.inc({ reason: 'not_finite' }, invalid(now) - invalid(before))
    metrics.quarantined.inc({ reason: 'user_rate' }, now.overRate - before.overRate)
    metrics.quarantined.inc({ reason: 'table_full' }, evicted(now) - evicted(before))
    const trained = now.trained - before.trained
    if (trained > 0) metrics.loss.set((now.lossSum - before.lossSum) / trained)
    metrics.rows.set({ side: 'user' }, learner.users.table.size)
    metrics.rows.set({ side: 'item' }, learner.items.table.size)
    for (const { topic, partition, lag } of intake.lags()) {
      metrics.consumerLag.set({ role: 'learner', topic, partition: String(partition) }, lag)
    }
    this.#publishRecall(momentOf(learner))
  }

  #publishRecall(now: Moment): void {
    const history = this.#history
    history.push(now)
    while (history.length > 2 && now.all.cases - history[1]!.all.cases >= recentCases) {
      history.shift()
    }
    // A quiet hour leaves many equal entries: only the one at the edge of the window matters.
    if (history.at(-2)?.all.cases === now.all.cases && history.length > 2) history.pop()
    const { all, popularity } = history[0]!
    const cases = now.all.cases - all.cases
    if (cases <= 0) return
    const { recallAt, popularityRecallAt, auc } = this.#metrics
    recallAt.set({ k: '50' }, (now.all.hitsAt50 - all.hitsAt50) / cases)
    recallAt.set({ k: '100' }, (now.all.hitsAt100 - all.hitsAt100) / cases)
    popularityRecallAt.set({ k: '50' }, (now.popularity.hitsAt50 - popularity.hitsAt50) / cases)
    popularityRecallAt.set({ k: '100' }, (now.popularity.hitsAt100 - popularity.hitsAt100) / cases)
    auc.set((now.all.areas - all.areas) / cases)
  }
}

interface Moment {
  readonly all: RecallFigures
  readonly popularity: RecallFigures
}

function momentOf({ figures }: Learner): Moment {
  return { all: { ...figures.all }, popularity: { ...figures.popularity24h } }
}

function seconds(ms: number): number {
  return Math.max(0, ms) / 1_000
}
