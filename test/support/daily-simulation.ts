import type { Config } from '../../src/config/schema.ts'
import type { RecallFigures } from '../../src/model/evaluation.ts'
import { newFigures } from '../../src/model/evaluation.ts'
import { hash32, mix32 } from '../../src/model/hash.ts'
import type { Click, Example, Impression } from '../../src/records/types.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'
import { fullOptions } from '../../src/runtime/full-update/plan.ts'
import {
  bootstrapGeneration,
  fullStateOf,
  generationOf,
  type TrainableGeneration,
} from '../../src/runtime/generation/generation.ts'
import { baseOf, learnerOptions } from '../../src/runtime/learner-state.ts'
import { Comparison, type ComparedWindow } from '../../src/streams/comparison.ts'
import { FullUpdate } from '../../src/streams/full-update.ts'
import type { CatalogueChange, LearnerSetup } from '../../src/streams/learner-types.ts'
import { createLearner, type Learner } from '../../src/streams/learner.ts'
import type { SourceEvent } from '../../src/streams/source-event.ts'

const dayMs = 86_400_000

export interface SimulatedDay {
  readonly day: string
  readonly examples: readonly Example[]
  readonly windows: readonly ComparedWindow[]
  /** Every change up to the end of the day, newest last. */
  readonly catalogue: readonly CatalogueChange[]
}

/** Events in order of time, by day, each click joined with its page; windows of an hour. */
export function* simulatedDays(events: Iterable<SourceEvent>): Generator<SimulatedDay> {
  let open: DayUnderWay | null = null
  for (const event of events) {
    const start = Math.floor(event.eventTimeMs / dayMs) * dayMs
    // Entries of the catalogue that are older than the first event belong to the first day.
    if (open !== null && start > open.startMs && event.kind !== 'item') {
      yield open.close()
      open = new DayUnderWay(start, open)
    }
    open ??= event.kind === 'item' ? null : new DayUnderWay(start, null)
    if (open === null) first.push(event)
    else open.add(event)
  }
  if (open !== null) yield open.close()
}

const first: SourceEvent[] = []

class DayUnderWay {
  readonly startMs: number
  readonly #pages: Map<string, Impression>
  readonly #catalogue: Map<string, CatalogueChange>
  #examples: Example[] = []
  #hours = new Map<number, { changes: CatalogueChange[]; examples: Example[] }>()
  readonly #offsets: { examples: number; items: number }

  constructor(startMs: number, before: DayUnderWay | null) {
    this.startMs = startMs
    this.#pages = before === null ? new Map() : before.#pages
    this.#catalogue = before === null ? new Map() : before.#catalogue
    this.#offsets = before === null ? { examples: 0, items: 0 } : before.#offsets
    if (before === null) for (const event of first.splice(0)) this.add(event)
  }

  add(event: SourceEvent): void {
    if (event.kind === 'impression') this.#pages.set(event.requestId, event)
    else if (event.kind === 'click') {
      const example = toExample(this.#pages.get(event.requestId)!, event)
      this.#examples.push(example)
      this.#hourOf(event.eventTimeMs).examples.push(example)
    } else {
      const change = { itemId: event.itemId, item: event.item }
      this.#catalogue.set(event.itemId, change)
      this.#hourOf(event.eventTimeMs).changes.push(change)
    }
  }

  close(): SimulatedDay {
    const hours = [...this.#hours].sort(([a], [b]) => a - b)
    return {
      day: new Date(this.startMs).toISOString().slice(0, 10),
      examples: this.#examples,
      windows: hours.map(([, { changes, examples }]) => this.#windowOf(changes, examples)),
      catalogue: [...this.#catalogue.values()],
    }
  }

  #hourOf(timeMs: number) {
    const hour = Math.max(0, Math.floor((timeMs - this.startMs) / 3_600_000))
    const found = this.#hours.get(hour) ?? { changes: [], examples: [] }
    this.#hours.set(hour, found)
    return found
  }

  #windowOf(changes: CatalogueChange[], examples: Example[]): ComparedWindow {
    const cutOf = (topic: 'items' | 'examples', count: number) => {
      const from = this.#offsets[topic]
      this.#offsets[topic] += count
      return { topic, partition: 0, from, to: from + count }
    }
    const cut = cutOf('examples', examples.length)
    const records = examples.map((record, i) => ({ offset: cut.from + i, record }))
    return {
      catalogue: changes.length === 0 ? [] : [{ cut: cutOf('items', changes.length), changes }],
      examples: examples.length === 0 ? [] : [{ cut, records }],
    }
  }
}

function toExample(page: Impression, click: Click): Example {
  const { requestId, userId, itemId, eventTimeMs, weight } = click
  const { scenario, features, items, eliminated, eventTimeMs: impressionTimeMs } = page
  return {
    ...{ kind: 'example', requestId, userId, itemId, eventTimeMs, impressionTimeMs, weight },
    ...{ position: items.indexOf(itemId), scenario, hardNegatives: eliminated, features },
  }
}

export type Order = 'shuffled' | 'ordered'

export interface DayFigures {
  readonly day: string
  readonly examples: number
  readonly fullOnly: RecallFigures
  readonly both: RecallFigures
  readonly incrementalOnly: RecallFigures
  readonly popularity24h: RecallFigures
  readonly popularity7d: RecallFigures
  readonly loss: number
}

type Figures = Omit<DayFigures, 'day' | 'examples' | 'loss'>

export interface SimulationConfig extends Pick<Config, 'model' | 'full' | 'learner'> {
  readonly order: Order
  /** Leaves out what costs most time. */
  readonly isFullOnly?: boolean
}

/**
 * The daily loop without Kafka, Redis or clock: each day is ranked and learnt hour by hour by the generation of the day before, then makes the next
 * generation, in one pass over the day in random order, or in the order of time to see what that costs.
 */
export async function* simulate(
  days: Iterable<SimulatedDay>,
  config: SimulationConfig,
): AsyncGenerator<DayFigures> {
  const { seed, engine: engineName, ...model } = config.model
  const engine = openEngine(engineName)
  const options = learnerOptions(config.learner)
  let generation = bootstrapGeneration('bootstrap', model, seed, 0)
  let tensors = await engine.open(model, generation.dense)
  const first: LearnerSetup = { model, dense: generation.dense, engine: tensors, options }
  const comparison = new Comparison(first, baseOf(generation))
  let learner = createLearner(first, baseOf(generation))
  let before = takeFigures(comparison, null)
  for (const { day, examples, windows, catalogue } of days) {
    for (const window of windows) {
      await comparison.pass(window)
      if (config.isFullOnly !== true) await learn(learner, window)
    }
    const now = takeFigures(comparison, learner)
    const figures = differenceOf(now, before)
    // A new learner of a new generation counts from 0.
    before = { ...now, both: newFigures() }
    const updated = await fullUpdate(generation, { day, examples, catalogue }, config)
    yield { day, examples: examples.length, ...figures, loss: updated.loss }
    generation = updated.generation
    tensors = await engine.open(model, generation.dense)
    const next = { model, dense: generation.dense, engine: tensors, options }
    comparison.goLive(next, baseOf(generation))
    learner = createLearner(next, baseOf(generation))
    const cut = { topic: 'items', partition: 1, from: 0, to: 0 }
    await learner.applyCatalogue(cut, catalogue)
    await learner.sync()
  }
}

/** The generation of the day, without files. */
export async function fullUpdate(
  parent: TrainableGeneration,
  { day, examples, catalogue }: Omit<SimulatedDay, 'windows'>,
  config: Omit<SimulationConfig, 'isFullOnly'>,
): Promise<{ readonly generation: TrainableGeneration; readonly loss: number }> {
  const { seed, engine } = config.model
  const job = { day, seed, full: config.full, learner: config.learner }
  const options = fullOptions(job, examples.length)
  const setup = { engine: openEngine(engine), parent: fullStateOf(parent), catalogue, options }
  const update = await FullUpdate.open(setup)
  await update.train(config.order === 'ordered' ? examples : shuffled(examples, options.seed))
  const { state, itemVectors, figures } = await update.finish()
  await update.close()
  const facts = { id: day, kind: 'full', parent: parent.id, day, createdAtMs: 0 } as const
  const rest = { seed: null, cuts: null, training: null, gate: null }
  return { generation: generationOf({ ...facts, ...rest }, state, itemVectors), loss: figures.loss }
}

async function learn(learner: Learner, { catalogue, examples }: ComparedWindow): Promise<void> {
  for (const { cut, changes } of catalogue) await learner.applyCatalogue(cut, changes)
  for (const { cut, records } of examples) await learner.applyExamples(cut, records)
  await learner.sync()
}

function shuffled(examples: readonly Example[], seed: number): Example[] {
  const keyOf = ({ requestId, itemId }: Example) => mix32(hash32(requestId, seed) ^ hash32(itemId))
  return [...examples].sort((a, b) => keyOf(a) - keyOf(b))
}

function takeFigures(comparison: Comparison, learner: Learner | null): Figures {
  return structuredClone({
    ...comparison.figures,
    both: learner === null ? newFigures() : learner.figures.all,
  })
}

function differenceOf(now: Figures, before: Figures): Figures {
  const names = Object.keys(now) as (keyof Figures)[]
  return Object.fromEntries(
    names.map((name) => [name, subtract(now[name], before[name])]),
  ) as unknown as Figures
}

function subtract(now: RecallFigures, before: RecallFigures): RecallFigures {
  const names = Object.keys(now) as (keyof RecallFigures)[]
  return Object.fromEntries(
    names.map((name) => [name, now[name] - before[name]]),
  ) as unknown as RecallFigures
}
