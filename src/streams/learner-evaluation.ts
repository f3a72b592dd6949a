import type { TensorModel } from '../model/engine.ts'
import type { PopularitySnapshot, RecallFigures } from '../model/evaluation.ts'
import { countRank, newFigures, Popularity, popularity24h, rankOf } from '../model/evaluation.ts'
import { hash32, mix32 } from '../model/hash.ts'
import type { Example } from '../records/types.ts'
import type { LearnerItems } from './learner-items.ts'
import type { LearnerUsers } from './learner-users.ts'

/** Floats of scores computed at a time, so that a large catalogue does not need a large buffer. */
const scoresMax = 1 << 22

const freshMs = 24 * 3_600_000

export interface ProgressiveFigures {
  readonly all: RecallFigures
  /** Clicks on items first clicked less than 24 hours before, or never. */
  readonly freshItems: RecallFigures
  /** Clicks of users without an example so far. */
  readonly newUsers: RecallFigures
  /** By scenario of the page; beyond `scenariosMax` of them, `other`. */
  readonly scenarios: Record<string, RecallFigures>
  /** What showing the most clicked items of the last 24 hours would have reached on the same cases. */
  readonly popularity24h: RecallFigures
}

/** Accepted examples of one micro-batch, gathered: place i of each belongs to example i. */
export interface EvaluatedBatch {
  readonly partition: number
  readonly offsets: readonly number[]
  readonly examples: readonly Example[]
  readonly slots: Int32Array
  /** [n x d] */
  readonly rows: Float32Array
  /** [n x F] */
  readonly features: Float32Array
}

interface Case {
  /** Place in the batch. */
  readonly place: number
  readonly example: Example
  readonly recentItems: readonly string[]
  readonly rankByPopularity: number | null
}

/**
 * Progressive evaluation: before an example is trained on, its item is ranked among all published vectors, as serving has them, for the
 * user's row as it is now. The user's recent clicks are left out, as in serving; a repeated click is no case.
 *
 * It belongs to what is live: a generation that goes live takes it over from the one before, and goes on where that one stopped.
 */
export class LearnerEvaluation {
  readonly figures: ProgressiveFigures
  #examples: number
  /** By partition: everything below this offset has been looked at. */
  readonly #through: Map<number, number>
  readonly #popularity = new Popularity(popularity24h)
  readonly #users: LearnerUsers
  readonly #items: LearnerItems
  readonly #sample: number
  readonly #onCase: (example: Example, recentItems: readonly string[]) => void

  /**
   * @param sample share of examples, chosen by hash
   * @param onCase told of each case, with what is left out, before its example counts towards any popularity
   */
  constructor(
    users: LearnerUsers,
    items: LearnerItems,
    sample: number,
    snapshot: EvaluationSnapshot | null,
    onCase: (example: Example, recentItems: readonly string[]) => void = () => {},
  ) {
    this.#users = users
    this.#items = items
    this.#sample = sample
    this.#onCase = onCase
    this.figures = structuredClone(snapshot?.figures) ?? noFigures()
    this.#examples = snapshot?.examples ?? 0
    this.#through = new Map(snapshot?.through)
    if (snapshot !== null) this.#popularity.restore(snapshot.popularity)
  }

  /** Examples seen, over all generations that were live, each once. */
  get examples(): number {
    return this.#examples
  }

  /**
   * @param casesMax at most so many cases; it changes figures, never tables
   * @returns the number of cases
   */
  async evaluate(batch: EvaluatedBatch, engine: TensorModel, casesMax: number): Promise<number> {
    const { partition, offsets, examples, slots, rows, features } = batch
    const through = this.#through.get(partition) ?? 0
    const cases: Case[] = []
    examples.forEach((example, place) => {
      if (offsets[place]! < through) return
      const { itemId, eventTimeMs } = example
      if (cases.length < casesMax && this.#isSampled(example)) {
        const recentItems = this.#users.recentItems(slots[place]!)
        if (!recentItems.includes(itemId)) {
          const rankByPopularity = this.#popularity.rank(itemId, eventTimeMs, recentItems)
          cases.push({ place, example, recentItems, rankByPopularity })
          this.#onCase(example, recentItems)
        }
      }
      // Example by example: the baseline is refreshed by event time, however long a batch lasts.
      this.#popularity.observe(itemId, eventTimeMs)
    })
    if (cases.length > 0) {
      const vectors = await engine.vectors('user', rows, features, examples.length)
      await this.#rank(cases, slots, vectors, engine)
    }
    return cases.length
  }

  /** Counts what came, trained or not; call it after `evaluate`. */
  count(partition: number, offsets: readonly number[]): void {
    const through = this.#through.get(partition) ?? 0
    for (const offset of offsets) if (offset >= through) this.#examples++
    this.#through.set(partition, Math.max(through, 1 + (offsets.at(-1) ?? -1)))
  }

  snapshot(): EvaluationSnapshot {
    return {
      figures: structuredClone(this.figures),
      examples: this.#examples,
      through: [...this.#through],
      popularity: this.#popularity.snapshot(),
    }
  }

  #isSampled(example: Example): boolean {
    if (this.#sample >= 1) return true
    const hash = mix32(hash32(example.requestId) ^ hash32(example.itemId, 0x5bd1e995))
    return hash < this.#sample * 4294967296
  }

  async #rank(
    cases: readonly Case[],
    slots: Int32Array,
    vectors: Float32Array,
    engine: TensorModel,
  ): Promise<void> {
    const { outputDim: dim } = this.#items
    const { slotCount } = this.#items.table
    const perCall = Math.max(1, Math.floor(scoresMax / slotCount))
    for (let from = 0; from < cases.length; from += perCall) {
      const part = cases.slice(from, from + perCall)
      const queries = new Float32Array(part.length * dim)
      part.forEach(({ place }, i) => {
        queries.set(vectors.subarray(place * dim, (place + 1) * dim), i * dim)
      })
      const scores = await engine.scores(queries, part.length, this.#items.published, slotCount)
      part.forEach((one, i) => this.#count(one, slots[one.place]!, scores, i * slotCount))
    }
  }

  #count(one: Case, user: number, scores: Float32Array, from: number): void {
    const { table, isRecallable, firstClickMs } = this.#items
    const { itemId, eventTimeMs } = one.example
    const slot = table.find(itemId)
    const excluded = one.recentItems.map((id) => table.find(id))
    const rank =
      slot !== 0 && isRecallable[slot] === 1
        ? rankOf(scores, from, table.slotCount, slot, isRecallable, excluded)
        : null
    countRank(this.figures.all, rank, table.size)
    if (slot === 0 || eventTimeMs - firstClickMs[slot]! < freshMs) {
      countRank(this.figures.freshItems, rank, table.size)
    }
    if (this.#users.isNew(user)) countRank(this.figures.newUsers, rank, table.size)
    countRank(this.#ofScenario(one.example.scenario), rank, table.size)
    countRank(this.figures.popularity24h, one.rankByPopularity, table.size)
  }

  #ofScenario(scenario: string): RecallFigures {
    const { scenarios } = this.figures
    const isRoom =
      Object.hasOwn(scenarios, scenario) || Object.keys(scenarios).length < scenariosMax
    return (scenarios[isRoom ? scenario : 'other'] ??= newFigures())
  }
}

/** Each has time series of its own. */
const scenariosMax = 20

export function noFigures(): ProgressiveFigures {
  return {
    all: newFigures(),
    freshItems: newFigures(),
    newUsers: newFigures(),
    scenarios: {},
    popularity24h: newFigures(),
  }
}

export interface EvaluationSnapshot {
  readonly figures: ProgressiveFigures
  readonly examples: number
  readonly through: readonly (readonly [partition: number, offset: number])[]
  readonly popularity: PopularitySnapshot
}
