import type { Metrics } from '../metrics/metrics.ts'
import { newFigures, since, type RecallFigures } from '../model/evaluation.ts'
import type { ProgressiveFigures } from '../streams/learner-evaluation.ts'
import type { Learner } from '../streams/learner.ts'
import type { LearnerCounters } from '../streams/learner-types.ts'
import type { SourceRecord } from '../streams/stage.ts'
import type { Clock, TopicPartition } from './ports.ts'

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

/**
 * What the learner says about itself. What is said once of the whole process is said of the live lineage: the others learn what it
 * learns, only later, and nobody sees it.
 */
export class LearnerMeter {
  readonly #metrics: Metrics
  readonly #clock: Clock
  readonly #isLive: () => boolean
  readonly #learnsUsers: boolean
  #examples: number[] = []
  #items = new Map<string, number>()
  #newest: number | null = null
  #counted: LearnerCounters
  #countedExamples: number
  /** Figures at earlier moments, the oldest first. */
  #history: ProgressiveFigures[] = []

  constructor(metrics: Metrics, clock: Clock, learner: Learner, isLive: () => boolean) {
    this.#metrics = metrics
    this.#clock = clock
    this.#isLive = isLive
    this.#learnsUsers = !learner.frozen.includes('user')
    this.#counted = { ...learner.counters }
    this.#countedExamples = learner.evaluatedExamples
    this.#history.push(momentOf(learner))
  }

  /** The learner has just begun to evaluate, from figures of another. */
  begin(learner: Learner): void {
    this.#countedExamples = learner.evaluatedExamples
    this.#history = [momentOf(learner)]
  }

  /** Examples that have been applied. @param items their item ids */
  applied(records: readonly SourceRecord[], items: readonly string[], isExamples: boolean): void {
    const nowMs = this.#clock.nowMs()
    for (const { timestampMs } of records) {
      this.#newest = Math.max(this.#newest ?? 0, timestampMs)
      if (!isExamples || !this.#isLive()) continue
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

  /** Redis has every row of these examples; one that is frozen shows nothing of them. */
  visible({ examples }: Arrivals): void {
    if (!this.#isLive() || !this.#learnsUsers) return
    const nowMs = this.#clock.nowMs()
    for (const timestampMs of examples) {
      const delay = seconds(nowMs - timestampMs)
      this.#metrics.stageDelay.observe({ stage: 'visible' }, delay)
      this.#metrics.visibleDelay.observe({ side: 'user' }, delay)
    }
  }

  /** How far each partition of examples has been learnt; 0 for nothing yet. Of frozen rows nothing is told. */
  learned(through: readonly { readonly partition: number; readonly eventTimeMs: number }[]): void {
    if (!this.#isLive()) return
    // What a generation before has said is not true of this one.
    if (!this.#learnsUsers) return this.#metrics.learnedThrough.reset()
    for (const { partition, eventTimeMs } of through) {
      if (eventTimeMs === 0) continue
      this.#metrics.learnedThrough.set({ partition: String(partition) }, eventTimeMs / 1_000)
    }
  }

  /** An override set is in the topic. */
  published(sequence: number): void {
    if (this.#isLive()) this.#metrics.overrideSequence.set({ role: 'learner' }, sequence)
  }

  /** Brings the counter of examples up to date, which goes on from one live lineage to the next. */
  countExamples(learner: Learner): void {
    if (!learner.isEvaluating) return
    const count = learner.evaluatedExamples
    this.#metrics.examples.inc({ role: 'learner' }, count - this.#countedExamples)
    this.#countedExamples = count
  }

  /** Brings counters and gauges up to date. */
  publish(learner: Learner, lags: readonly (TopicPartition & { readonly lag: number })[]): void {
    const metrics = this.#metrics
    const now = learner.counters
    const before = this.#counted
    this.#counted = { ...now }
    this.countExamples(learner)
    if (!this.#isLive()) return
    const invalid = (c: LearnerCounters) => c.quarantinedExamples + c.quarantinedRows
    const evicted = (c: LearnerCounters) => c.evictedUsers + c.evictedItems
    metrics.quarantined.inc({ reason: 'not_finite' }, invalid(now) - invalid(before))
    metrics.quarantined.inc({ reason: 'user_rate' }, now.overRate - before.overRate)
    metrics.quarantined.inc({ reason: 'table_full' }, evicted(now) - evicted(before))
    const trained = now.trained - before.trained
    if (trained > 0) metrics.loss.set((now.lossSum - before.lossSum) / trained)
    metrics.rows.set({ side: 'user' }, learner.users.table.size)
    metrics.rows.set({ side: 'item' }, learner.items.table.size)
    for (const { topic, partition, lag } of lags) {
      metrics.consumerLag.set({ role: 'learner', topic, partition: String(partition) }, lag)
    }
    if (learner.isEvaluating) this.#publishRecall(momentOf(learner))
  }

  #publishRecall(now: ProgressiveFigures): void {
    const history = this.#history
    history.push(now)
    while (history.length > 2 && now.all.cases - history[1]!.all.cases >= recentCases) {
      history.shift()
    }
    // A quiet hour leaves many equal entries: only the one at the edge of the window matters.
    if (history.at(-2)?.all.cases === now.all.cases && history.length > 2) history.pop()
    const before = history[0]!
    const all = since(now.all, before.all)
    const popularity = since(now.popularity24h, before.popularity24h)
    if (all.cases <= 0) return
    const { recallAt, popularityRecallAt, auc } = this.#metrics
    recallAt.set({ k: '50' }, all.hitsAt50 / all.cases)
    recallAt.set({ k: '100' }, all.hitsAt100 / all.cases)
    popularityRecallAt.set({ k: '50' }, popularity.hitsAt50 / popularity.cases)
    popularityRecallAt.set({ k: '100' }, popularity.hitsAt100 / popularity.cases)
    auc.set(all.areas / all.cases)
    const fresh = since(now.freshItems, before.freshItems)
    const newUsers = since(now.newUsers, before.newUsers)
    this.#publishSegment('item', 'fresh', fresh)
    this.#publishSegment('item', 'older', since(all, fresh))
    this.#publishSegment('user', 'new', newUsers)
    this.#publishSegment('user', 'known', since(all, newUsers))
    for (const [scenario, figures] of Object.entries(now.scenarios)) {
      const earlier = before.scenarios[scenario] ?? newFigures()
      this.#publishSegment('scenario', scenario, since(figures, earlier))
    }
  }

  /** A segment without recent cases keeps what was said of it last. */
  #publishSegment(by: string, segment: string, figures: RecallFigures): void {
    const { cases, hitsAt50, hitsAt100, areas } = figures
    if (cases <= 0) return
    const { segmentRecallAt, segmentAuc } = this.#metrics
    segmentRecallAt.set({ by, segment, k: '50' }, hitsAt50 / cases)
    segmentRecallAt.set({ by, segment, k: '100' }, hitsAt100 / cases)
    segmentAuc.set({ by, segment }, areas / cases)
  }
}

function momentOf({ figures }: Learner): ProgressiveFigures {
  return structuredClone(figures)
}

function seconds(ms: number): number {
  return Math.max(0, ms) / 1_000
}
