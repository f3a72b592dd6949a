import type { TensorEngine, TensorModel } from '../../model/engine.ts'
import { openEngine } from '../../runtime/engines/index.ts'
import {
  bootstrapGeneration,
  type TrainableGeneration,
} from '../../runtime/generation/generation.ts'
import { baseOf, learnerOptions } from '../../runtime/learner-state.ts'
import { createLearner, type Learner } from '../../streams/learner.ts'
import type { CatalogueChange, LearnerSync } from '../../streams/learner-types.ts'
import type { CasesOfWindow } from './cases.ts'
import type { ClickedItems } from './clicked-items.ts'
import { countCase, newModelFigures, scoresOf, type ModelFigures, type Scores } from './figures.ts'
import { fullUpdateOf, type Order, type TrainingConfig } from './full-update-of.ts'
import { dayMs, type JoinedDay, type JoinedWindow } from './joined-days.ts'
import { MemoryServing, type Lineage, type Serving } from './serving.ts'

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

/** Another serving that is asked, and fed, as the row `besideRow` of the table is. */
export interface Beside {
  readonly serving: Serving
  /** Ends the evaluation with its reason. */
  readonly signal: AbortSignal
}

export const besideRow = twoTowerRows.findIndex(
  (row) => row.kind === 'both' && row.syncMs === hourMs,
)

/** What is asked: cases by day, of the days that are asked about. */
export interface Questions {
  readonly days: readonly JoinedDay[]
  readonly items: ClickedItems
  readonly cases: ReadonlyMap<string, readonly CasesOfWindow[]>
  /** What training goes on from, behind its day; absent: random parameters */
  readonly first?: TrainableGeneration | null
}

/**
 * Drives full updates and the learner day by day on the clock of the events, and asks each row of the table for each case. A day's learner starts from the
 * generation of the day before, so it is needed on days alone that are asked about; the learner without full updates learns every day.
 * @returns figures of each row, and last those of what is asked beside them
 */
export async function askTwoTowers(
  { days: all, items, cases, first = null }: Questions,
  config: TrainingConfig,
  order: Order = 'shuffled',
  beside: Beside | null = null,
): Promise<readonly ModelFigures[]> {
  const { seed, engine, ...configured } = config.model
  const model = first?.model ?? configured
  const isLearnt = ({ day }: JoinedDay): boolean => first !== null && day <= (first.day ?? '')
  const days = all.filter((day) => !isLearnt(day))
  const lineages = new Lineages(openEngine(engine), config)
  const contenders = twoTowerRows.map(
    (row) => new Contender(row, new MemoryServing(model, items), items),
  )
  if (beside !== null) {
    contenders.push(new Contender(twoTowerRows[besideRow]!, beside.serving, items))
  }
  const of = (...kinds: TwoTowerRow['kind'][]) =>
    contenders.filter(({ row }) => kinds.includes(row.kind))
  try {
    let generation = first ?? bootstrapGeneration('bootstrap', model, seed, 0)
    let before = all.findLast(isLearnt) ?? null
    const incremental = await lineages.open(generation, before?.catalogue ?? [])
    for (const one of of('incremental')) await one.load(incremental)
    for (const day of days) {
      beside?.signal.throwIfAborted()
      const asked = cases.get(day.day)
      const live =
        asked === undefined ? null : await lineages.open(generation, before?.catalogue ?? [])
      if (live !== null) {
        for (const one of of('full', 'both')) await one.load(live)
        for (const one of of('frozen')) if (one.isEmpty) await one.load(live)
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
  beside?: Beside,
): Promise<readonly Scores[]> {
  const model = { ...config.model, seed }
  return (await askTwoTowers(questions, { ...config, model }, order, beside)).map(scoresOf)
}

class Lineages {
  readonly #engine: TensorEngine
  readonly #config: TrainingConfig
  readonly #open: TensorModel[] = []

  constructor(engine: TensorEngine, config: TrainingConfig) {
    this.#engine = engine
    this.#config = config
  }

  async open(
    generation: TrainableGeneration,
    catalogue: readonly CatalogueChange[],
  ): Promise<Lineage> {
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
    const first = await learner.sync()
    return { generation, learner, setup, base, first, atMs: base.eventTimeMs }
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
  readonly #serving: Serving
  readonly #items: ClickedItems
  #waiting: TimedSync[] = []
  #syncedMs = -1

  constructor(row: TwoTowerRow, serving: Serving, items: ClickedItems) {
    this.row = row
    this.#serving = serving
    this.#items = items
  }

  get isEmpty(): boolean {
    return this.#syncedMs < 0
  }

  async load(lineage: Lineage): Promise<void> {
    await this.#serving.load(lineage)
    this.#waiting = []
    this.#syncedMs = lineage.atMs
  }

  push(sync: TimedSync): void {
    this.#waiting.push(sync)
  }

  async ask({ window, cases }: CasesOfWindow): Promise<void> {
    const { syncMs } = this.row
    if (syncMs < Infinity) await this.#syncTo(Math.floor(window.startMs / syncMs) * syncMs)
    if (cases.length === 0) return
    const ranks = await this.#serving.ranks(cases, this.#items.countBefore(this.#syncedMs))
    cases.forEach((one, i) => countCase(this.figures, ranks[i]!, one.isFresh))
  }

  async #syncTo(atMs: number): Promise<void> {
    this.#syncedMs = atMs
    const due = this.#waiting.filter((each) => each.atMs <= atMs)
    for (const { sync } of due) await this.#serving.apply(sync)
    this.#waiting = this.#waiting.slice(due.length)
  }
}
