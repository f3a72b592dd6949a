import type { TensorEngine, TensorModel } from '../../model/engine.ts'
import type { ModelSpec } from '../../model/spec.ts'
import { openEngine } from '../../runtime/engines/index.ts'
import { bootstrapGeneration, type Generation } from '../../runtime/generation/generation.ts'
import { baseOf, learnerOptions } from '../../runtime/learner-state.ts'
import { createLearner, type Learner } from '../../streams/learner.ts'
import type {
  CatalogueChange,
  LearnerBase,
  LearnerSetup,
  LearnerSync,
} from '../../streams/learner-types.ts'
import type { Case, CasesOfWindow } from './cases.ts'
import type { ClickedItems } from './clicked-items.ts'
import { countCase, newModelFigures, scoresOf, type ModelFigures, type Scores } from './figures.ts'
import { fullUpdateOf, type Order, type TrainingConfig } from './full-update-of.ts'
import { dayMs, type JoinedDay, type JoinedWindow } from './joined-days.ts'
import { ranksIn } from './rank.ts'
import { ServingView } from './serving-view.ts'

/** Which halves of the daily loop serving gets. */
export interface TwoTowerRow {
  readonly kind: 'frozen' | 'full' | 'incremental' | 'both'
  /** How often serving takes the learner's state. */
  readonly syncMs: number
}

const hourMs = 3_600_000

export const twoTowerRows: readonly TwoTowerRow[] = [
  { kind: 'frozen', syncMs: Infinity },
  { kind: 'full', syncMs: dayMs },
  { kind: 'incremental', syncMs: hourMs },
  { kind: 'both', syncMs: dayMs },
  { kind: 'both', syncMs: 6 * hourMs },
  { kind: 'both', syncMs: hourMs },
  { kind: 'both', syncMs: hourMs / 4 },
]

/** What is asked: cases by day, of the days that are asked about. */
export interface Questions {
  readonly days: readonly JoinedDay[]
  readonly items: ClickedItems
  readonly cases: ReadonlyMap<string, readonly CasesOfWindow[]>
}

/**
 * Drives full updates and the learner day by day on the clock of the events, and asks each row of the table for each case. A day's learner starts from the
 * generation of the day before, so it is needed on days alone that are asked about; the learner without full updates learns every day.
 */
export async function askTwoTowers(
  { days, items, cases }: Questions,
  config: TrainingConfig,
  order: Order = 'shuffled',
): Promise<readonly ModelFigures[]> {
  const { seed, engine, ...model } = config.model
  const lineages = new Lineages(openEngine(engine), config)
  const contenders = twoTowerRows.map((row) => new Contender(row, model, items))
  const of = (...kinds: TwoTowerRow['kind'][]) =>
    contenders.filter(({ row }) => kinds.includes(row.kind))
  try {
    let generation = bootstrapGeneration('bootstrap', model, seed, 0)
    const incremental = await lineages.open(generation, [])
    for (const one of of('incremental')) one.load(incremental)
    let before: JoinedDay | null = null
    for (const day of days) {
      const asked = cases.get(day.day)
      const live =
        asked === undefined ? null : await lineages.open(generation, before?.catalogue ?? [])
      if (live !== null) {
        for (const one of of('full', 'both')) one.load(live)
        for (const one of of('frozen')) if (one.isEmpty) one.load(live)
      }
      for (const [i, window] of day.windows.entries()) {
        for (const one of contenders) if (asked !== undefined) await one.ask(asked[i]!)
        const sync = await learn(incremental.learner, window)
        for (const one of of('incremental')) one.push(sync)
        if (live === null) continue
        const liveSync = await learn(live.learner, window)
        for (const one of of('both')) one.push(liveSync)
      }
      generation = (await fullUpdateOf(generation, day, config, order)).generation
      before = day
    }
    return contenders.map(({ figures }) => figures)
  } finally {
    await lineages.close()
  }
}

/** Scores of each row of the table, from other random parameters than those of the configuration. */
export async function scoresOfSeed(
  questions: Questions,
  config: TrainingConfig,
  seed: number,
  order?: Order,
): Promise<readonly Scores[]> {
  const model = { ...config.model, seed }
  return (await askTwoTowers(questions, { ...config, model }, order)).map(scoresOf)
}

/** A generation that is learnt on, as serving gets it first. */
interface Lineage {
  readonly learner: Learner
  readonly setup: LearnerSetup
  readonly base: LearnerBase
  readonly first: LearnerSync
  /** Event time that it has come to. */
  readonly atMs: number
}

class Lineages {
  readonly #engine: TensorEngine
  readonly #config: TrainingConfig
  readonly #open: TensorModel[] = []

  constructor(engine: TensorEngine, config: TrainingConfig) {
    this.#engine = engine
    this.#config = config
  }

  async open(generation: Generation, catalogue: readonly CatalogueChange[]): Promise<Lineage> {
    const { model, dense } = generation
    const engine = await this.#engine.open(model, dense)
    this.#open.push(engine)
    const setup = { model, dense, engine, options: learnerOptions(this.#config.learner) }
    const base = baseOf(generation)
    const learner = createLearner(setup, base)
    // Ranks are taken from what serving has.
    learner.endEvaluation()
    // Of a topic of its own, as the windows have their own offsets.
    const cut = { topic: 'catalogue', partition: 0, from: 0, to: catalogue.length }
    await learner.applyCatalogue(cut, catalogue)
    return { learner, setup, base, first: await learner.sync(), atMs: base.eventTimeMs }
  }

  async close(): Promise<void> {
    for (const engine of this.#open) await engine.close()
  }
}

interface TimedSync {
  readonly sync: LearnerSync
  /** It has everything before. */
  readonly atMs: number
}

/** What the learner does with a window, and what serving gets of it. */
export async function learn(learner: Learner, window: JoinedWindow): Promise<TimedSync> {
  for (const { cut, changes } of window.catalogue) await learner.applyCatalogue(cut, changes)
  for (const { cut, records } of window.examples) await learner.applyExamples(cut, records)
  return { sync: await learner.sync(), atMs: window.endMs }
}

/** A row of the table: serving, fed at its interval. */
class Contender {
  readonly row: TwoTowerRow
  readonly figures = newModelFigures()
  readonly #view: ServingView
  readonly #items: ClickedItems
  #waiting: TimedSync[] = []
  #syncedMs = -1

  constructor(row: TwoTowerRow, model: ModelSpec, items: ClickedItems) {
    this.row = row
    this.#view = new ServingView(model, items)
    this.#items = items
  }

  get isEmpty(): boolean {
    return this.#syncedMs < 0
  }

  load({ base, setup, first, atMs }: Lineage): void {
    this.#view.load(base, setup)
    this.#view.apply(first)
    this.#waiting = []
    this.#syncedMs = atMs
  }

  push(sync: TimedSync): void {
    this.#waiting.push(sync)
  }

  async ask({ window, cases }: CasesOfWindow): Promise<void> {
    const { syncMs } = this.row
    if (syncMs < Infinity) this.#syncTo(Math.floor(window.startMs / syncMs) * syncMs)
    if (cases.length === 0) return
    const ranks = await ranksIn(this.#view, cases, this.#items.countBefore(this.#syncedMs))
    cases.forEach((one: Case, i) => countCase(this.figures, ranks[i]!, one.isFresh))
  }

  #syncTo(atMs: number): void {
    this.#syncedMs = atMs
    const due = this.#waiting.filter((each) => each.atMs <= atMs)
    for (const { sync } of due) this.#view.apply(sync)
    this.#waiting = this.#waiting.slice(due.length)
  }
}
