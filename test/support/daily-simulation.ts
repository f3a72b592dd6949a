import {
  fullUpdateOf,
  type Order,
  type TrainingConfig,
} from '../../src/cli/evaluate/full-update-of.ts'
import type { JoinedDay } from '../../src/cli/evaluate/joined-days.ts'
import { learn } from '../../src/cli/evaluate/two-tower.ts'
import type { RecallFigures } from '../../src/model/evaluation.ts'
import { newFigures, since } from '../../src/model/evaluation.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'
import { bootstrapGeneration } from '../../src/runtime/generation/generation.ts'
import { baseOf, learnerOptions } from '../../src/runtime/learner-state.ts'
import { Comparison } from '../../src/streams/comparison.ts'
import type { LearnerSetup } from '../../src/streams/learner-types.ts'
import { createLearner, type Learner } from '../../src/streams/learner.ts'

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

export interface SimulationConfig extends TrainingConfig {
  readonly order: Order
  /** Leaves out what costs most time. */
  readonly isFullOnly?: boolean
}

/**
 * The daily loop without Kafka, Redis or clock: each day is ranked and learnt hour by hour by the generation of the day before, then makes the next
 * generation, in one pass over the day in random order, or in the order of time to see what that costs.
 */
export async function* simulate(
  days: AsyncIterable<JoinedDay>,
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
  for await (const joined of days) {
    const { day, examples, catalogue } = joined
    for (const window of joined.windows) {
      await comparison.pass(window)
      if (config.isFullOnly !== true) await learn(learner, window)
    }
    const now = takeFigures(comparison, learner)
    const figures = differenceOf(now, before)
    // A new learner of a new generation counts from 0.
    before = { ...now, both: newFigures() }
    const updated = await fullUpdateOf(generation, joined, config, config.order)
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

function takeFigures(comparison: Comparison, learner: Learner | null): Figures {
  return structuredClone({
    ...comparison.figures,
    both: learner === null ? newFigures() : learner.figures.all,
  })
}

function differenceOf(now: Figures, before: Figures): Figures {
  const names = Object.keys(now) as (keyof Figures)[]
  return Object.fromEntries(
    names.map((name) => [name, since(now[name], before[name])]),
  ) as unknown as Figures
}
