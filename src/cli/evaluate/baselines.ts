import {
  Popularity,
  popularity24h,
  popularity7d,
  rankOf,
  type PopularityOptions,
} from '../../model/evaluation.ts'
import { examplesOf, type Case } from './cases.ts'
import type { ClickedItems } from './clicked-items.ts'
import { countCase, newModelFigures, type ModelFigures } from './figures.ts'
import { Ials } from './ials.ts'
import { ItemKnn } from './item-knn.ts'
import { dayMs, type JoinedDay, type JoinedWindow } from './joined-days.ts'
import type { Questions } from './two-tower.ts'

/** A model that is no two-tower, asked for the same cases: days and windows come in order. */
interface Baseline {
  readonly name: string
  /** Time of the state that it answers with. */
  asOf(timeMs: number): number
  /** [n] of all clicked items; a view until the next call */
  scores(one: Case, timeMs: number): Float32Array
  /** A window is over, */
  observe(window: JoinedWindow): void
  /** and so is its day. */
  endDay?(day: JoinedDay): void
  /** A day begins that is asked about. */
  beginAsking?(): void
}

const allHistory: PopularityOptions = { windowMs: 10_000 * dayMs, refreshMs: dayMs }

/** Figures by name, in the order of the table. */
export function askBaselines(questions: Questions): ReadonlyMap<string, ModelFigures> {
  const { days, cases, items } = questions
  const baselines: readonly Baseline[] = [
    new PopularityBaseline('popularity, all history, daily', allHistory, items),
    new PopularityBaseline('popularity, 7 days, daily', popularity7d, items),
    new PopularityBaseline('popularity, 24 h, every 15 min', popularity24h, items),
    itemKnn(items),
    ials(items),
  ]
  const figures = new Map(baselines.map(({ name }) => [name, newModelFigures()]))
  for (const day of days) {
    const asked = cases.get(day.day)
    if (asked !== undefined) for (const one of baselines) one.beginAsking?.()
    for (const [i, window] of day.windows.entries()) {
      const askedNow = asked?.[i]?.cases ?? []
      for (const one of baselines) {
        for (const each of askedNow) {
          const scores = one.scores(each, window.startMs)
          const rank = rankAmong(scores, each, items.countBefore(one.asOf(window.startMs)))
          countCase(figures.get(one.name)!, rank, each.isFresh)
        }
        one.observe(window)
      }
    }
    for (const one of baselines) one.endDay?.(day)
  }
  return figures
}

/** Among the first `count` items, without those that the user has clicked before. */
function rankAmong(scores: Float32Array, { item, history }: Case, count: number): number | null {
  if (item >= count) return null
  const excluded = history.filter((clicked) => clicked < count)
  return rankOf(scores, 0, count, item, new Uint8Array(count).fill(1), excluded)
}

/** Clicks in a window; items with as many are told apart by the clicks of all whole days before. */
class PopularityBaseline implements Baseline {
  readonly name: string
  readonly #popularity: Popularity
  readonly #options: PopularityOptions
  readonly #ties = new Popularity(allHistory)
  readonly #items: ClickedItems
  #scores = new Float32Array(0)
  #atMs = -1

  constructor(name: string, options: PopularityOptions, items: ClickedItems) {
    this.name = name
    this.#options = options
    this.#items = items
    this.#popularity = new Popularity(options)
  }

  asOf(timeMs: number): number {
    const { refreshMs } = this.#options
    return Math.floor(timeMs / refreshMs) * refreshMs
  }

  scores(_case: Case, timeMs: number): Float32Array {
    if (this.asOf(timeMs) === this.#atMs) return this.#scores
    this.#atMs = this.asOf(timeMs)
    this.#scores = new Float32Array(this.#items.size)
    const ties = this.#ties.counts(timeMs)
    const share = 0.5 / Math.max(1, ...ties.values())
    for (const [itemId, count] of ties) {
      this.#scores[this.#items.numberOf(itemId)]! += share * count
    }
    for (const [itemId, count] of this.#popularity.counts(timeMs)) {
      this.#scores[this.#items.numberOf(itemId)]! += count
    }
    return this.#scores
  }

  observe(window: JoinedWindow): void {
    for (const { itemId, eventTimeMs } of examplesOf(window)) {
      this.#popularity.observe(itemId, eventTimeMs)
      this.#ties.observe(itemId, eventTimeMs)
    }
  }
}

function itemKnn(items: ClickedItems): Baseline {
  const knn = new ItemKnn(items)
  return withTies(items, {
    name: 'item-kNN, history up to date',
    asOf: (timeMs) => timeMs,
    scores: ({ history }) => knn.scores(history, items.size),
    endDay: (day) => knn.learn(day),
  })
}

function ials(items: ClickedItems): Baseline {
  const model = new Ials(items)
  return withTies(items, {
    name: 'iALS, daily',
    asOf: (timeMs) => Math.floor(timeMs / dayMs) * dayMs,
    beginAsking: () => model.fit(),
    scores: ({ example }) => model.scores(example.userId, items.size),
    endDay: (day) => model.learn(day),
  })
}

/** What a model says nothing about is ordered by the clicks of seven days: so little that it decides nothing else. */
const tieShare = 1e-6

function withTies(items: ClickedItems, model: Omit<Baseline, 'observe'>): Baseline {
  const popularity = new PopularityBaseline('', popularity7d, items)
  return {
    ...model,
    scores(one, timeMs) {
      const ties = popularity.scores(one, timeMs)
      return model.scores(one, timeMs).map((score, i) => score + tieShare * ties[i]!)
    },
    observe: (window) => popularity.observe(window),
  }
}
