import { readFileSync } from 'node:fs'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { invariant } from '../../src/errors.ts'
import { initialise } from '../../src/model/initialise.ts'
import type { Example, Impression } from '../../src/records/types.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'
import { learnerOptions } from '../../src/runtime/learner-state.ts'
import {
  createGenerator,
  type Generator as WorldGenerator,
} from '../../src/streams/generator/generator.ts'
import type { GeneratorOptions } from '../../src/streams/generator/options.ts'
import type { World } from '../../src/streams/generator/world.ts'
import { createLearner, type Learner } from '../../src/streams/learner.ts'
import type { CatalogueChange } from '../../src/streams/learner-types.ts'
import type { SourceEvent } from '../../src/streams/source-event.ts'

const k = 50

export interface LearningPlan {
  readonly world: Partial<GeneratorOptions>
  readonly fromMs: number
  readonly untilMs: number
  /** Figures are given for each such span of event time. */
  readonly windowMs: number
  /** Event time between two publications; at the same time the longest span of a micro-batch. */
  readonly syncMs: number
  /** Cases that are scored between two publications, the first ones. It changes figures, never what is learnt. */
  readonly casesPerSyncMax: number
  readonly model: Config['model']
  readonly learner: Config['learner']
}

/** Recall@50 of three rankings of the very same cases, each without the clicks of the user that serving leaves out. */
export interface LearningWindow {
  /** Event time from the start of the run to the end of the window. */
  readonly untilMs: number
  readonly examples: number
  readonly cases: number
  readonly optimumAt50: number
  readonly freshetAt50: number
  readonly popularity24hAt50: number
}

/** Model and learner as `npm start` has them: the defaults with config/generator.yaml on top, and `settings` as of --set. */
export function generatorConfig(settings: readonly string[] = []): Config {
  const file = new URL('../../config/generator.yaml', import.meta.url)
  const texts = [{ name: 'config/generator.yaml', text: readFileSync(file, 'utf8') }]
  return loadConfig({ texts, environment: {}, settings })
}

/**
 * A learner beside the truth, without Kafka, Redis or wall clock. The generator's clicks are joined with their pages, learnt in event-time
 * order and published each syncMs, as in production; the progressive evaluation is the learner's own. A case is a click on an item
 * that is not among the last 50 that this user clicked. All three rankings leave out those 50: the learner and the most clicked
 * of 24 hours by its evaluation, the optimum here, from the true probabilities at the time of the page.
 */
export async function* learningRun(plan: LearningPlan): AsyncGenerator<LearningWindow> {
  const generator = createGenerator(plan.world)
  const { engine, learner } = await openLearner(plan)
  const run = new Run(plan, generator.world, learner)
  try {
    let windowEndMs = plan.fromMs + plan.windowMs
    for (const change of exampleChanges(generator, plan)) {
      // The last clicks come after the last page and would make a window of their own.
      if (change.eventTimeMs >= plan.untilMs) break
      for (; change.eventTimeMs >= windowEndMs; windowEndMs += plan.windowMs) {
        yield await run.endWindow(windowEndMs)
      }
      await run.add(change)
    }
    for (; windowEndMs <= plan.untilMs; windowEndMs += plan.windowMs) {
      yield await run.endWindow(windowEndMs)
    }
  } finally {
    await engine.close()
  }
}

async function openLearner({ model, learner: config, fromMs }: LearningPlan) {
  const { dense, userDefaultRow, itemDefaultRow } = initialise(model, model.seed)
  const engine = await openEngine('onnx').open(model, dense)
  const none = new Float32Array(0)
  const base = {
    ...{ userDefaultRow, itemDefaultRow, eventTimeMs: fromMs },
    users: { ids: [], rows: none },
    items: { ids: [], rows: none, vectors: none },
  }
  const setup = { model, dense, engine, options: learnerOptions(config) }
  return { engine, learner: createLearner(setup, base) }
}

type Change = Example | Extract<SourceEvent, { kind: 'item' }>

/** Catalogue changes, and each click joined with its page: one example a click, in event-time order. */
function* exampleChanges(generator: WorldGenerator, plan: LearningPlan): Generator<Change> {
  const pages = new Map<string, Impression>()
  const { clickDelayMaxMs } = generator.world.options
  // One iterator for all: a new one would have to step over every page that was deleted.
  const byAge = pages.values()
  let oldest: Impression | undefined
  for (const event of generator.events(plan)) {
    if (event.kind === 'item') yield event
    else if (event.kind === 'click') yield toExample(pages.get(event.requestId)!, event)
    else {
      pages.set(event.requestId, event)
      oldest ??= byAge.next().value
      while (oldest !== undefined && event.eventTimeMs - oldest.eventTimeMs > clickDelayMaxMs) {
        pages.delete(oldest.requestId)
        oldest = byAge.next().value
      }
    }
  }
}

function toExample(page: Impression, click: Extract<SourceEvent, { kind: 'click' }>): Example {
  const { requestId, userId, itemId, eventTimeMs, weight } = click
  const { scenario, features, items, eliminated, eventTimeMs: impressionTimeMs } = page
  return {
    ...{ kind: 'example', requestId, userId, itemId, eventTimeMs, impressionTimeMs, weight },
    ...{ position: items.indexOf(itemId), scenario, hardNegatives: eliminated, features },
  }
}

class Run {
  readonly #plan: LearningPlan
  readonly #world: World
  readonly #learner: Learner
  #examples: Example[] = []
  #catalogue: CatalogueChange[] = []
  #nextSyncMs: number
  #casesLeft = 0
  #offsets = { examples: 0, items: 0 }
  #optimalHits = 0
  #atWindowStart = { examples: 0, cases: 0, optimum: 0, freshet: 0, popularity24h: 0 }

  constructor(plan: LearningPlan, world: World, learner: Learner) {
    this.#plan = plan
    this.#world = world
    this.#learner = learner
    this.#nextSyncMs = plan.fromMs
  }

  async add(change: Change): Promise<void> {
    if (change.eventTimeMs >= this.#nextSyncMs) await this.#publish()
    while (change.eventTimeMs >= this.#nextSyncMs) this.#nextSyncMs += this.#plan.syncMs
    if (change.kind === 'item') {
      await this.#applyExamples()
      this.#catalogue.push(change)
    } else {
      await this.#applyCatalogue()
      this.#examples.push(change)
      if (this.#examples.length === this.#plan.learner.batchMax) await this.#applyExamples()
    }
  }

  async endWindow(endMs: number): Promise<LearningWindow> {
    await this.#publish()
    const { all, popularity24h } = this.#learner.figures
    const before = this.#atWindowStart
    this.#atWindowStart = {
      ...{ examples: this.#offsets.examples, cases: all.cases, optimum: this.#optimalHits },
      ...{ freshet: all.hitsAt50, popularity24h: popularity24h.hitsAt50 },
    }
    const cases = all.cases - before.cases
    return {
      ...{ untilMs: endMs - this.#plan.fromMs, cases },
      examples: this.#offsets.examples - before.examples,
      optimumAt50: (this.#optimalHits - before.optimum) / cases,
      freshetAt50: (all.hitsAt50 - before.freshet) / cases,
      popularity24hAt50: (popularity24h.hitsAt50 - before.popularity24h) / cases,
    }
  }

  async #publish(): Promise<void> {
    await this.#applyExamples()
    await this.#applyCatalogue()
    await this.#learner.sync()
    this.#casesLeft = this.#plan.casesPerSyncMax
  }

  /** One micro-batch: within it the learner sees every user's recent clicks as they are now. */
  async #applyExamples(): Promise<void> {
    const examples = this.#examples
    if (examples.length === 0) return
    this.#examples = []
    const cases = this.#countOptimum(examples)
    const from = this.#offsets.examples
    const to = (this.#offsets.examples += examples.length)
    const records = examples.map((record, i) => ({ offset: from + i, record }))
    const cut = { topic: 'examples', partition: 0, from, to }
    const evaluated = await this.#learner.applyExamples(cut, records, this.#casesLeft)
    invariant(evaluated === cases, `${evaluated} cases were scored, the optimum has ${cases}`)
    this.#casesLeft -= cases
  }

  /** @returns the number of cases among the examples, of which the learner must find as many */
  #countOptimum(examples: readonly Example[]): number {
    const { users } = this.#learner
    let cases = 0
    for (const { userId, itemId, impressionTimeMs } of examples) {
      if (cases === this.#casesLeft) break
      const recent = users.recentItems(users.table.find(userId))
      if (recent.includes(itemId)) continue
      cases++
      const best = this.#world.optimalRanking(userId, impressionTimeMs, k + recent.length)
      const shown = best.filter((id) => !recent.includes(id)).slice(0, k)
      if (shown.includes(itemId)) this.#optimalHits++
    }
    return cases
  }

  async #applyCatalogue(): Promise<void> {
    const changes = this.#catalogue
    if (changes.length === 0) return
    this.#catalogue = []
    const from = this.#offsets.items
    const to = (this.#offsets.items += changes.length)
    await this.#learner.applyCatalogue({ topic: 'items', partition: 0, from, to }, changes)
  }
}
