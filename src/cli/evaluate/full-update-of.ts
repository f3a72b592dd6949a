import os from 'node:os'
import path from 'node:path'
import type { Config } from '../../config/schema.ts'
import { shuffleDay } from '../../runtime/archive/shuffle.ts'
import { openEngine } from '../../runtime/engines/index.ts'
import { fullOptions, seedOf } from '../../runtime/full-update/plan.ts'
import {
  fullStateOf,
  generationOf,
  type TrainableGeneration,
} from '../../runtime/generation/generation.ts'
import { FullUpdate } from '../../streams/full-update.ts'
import type { JoinedDay } from './joined-days.ts'

export type TrainingConfig = Pick<Config, 'model' | 'full' | 'learner'>

export type Order = 'shuffled' | 'ordered'

export interface UpdatedGeneration {
  readonly generation: TrainableGeneration
  /** Mean loss an example, before its update. */
  readonly loss: number
}

/**
 * The full update of a day as the compactor makes it, in memory.
 * @param order `ordered` leaves the day as it came, to see what shuffling is worth
 */
export async function fullUpdateOf(
  parent: TrainableGeneration,
  { day, examples, bodies, catalogue }: Omit<JoinedDay, 'windows' | 'startMs'>,
  { model: { seed, engine }, full, learner }: TrainingConfig,
  order: Order = 'shuffled',
): Promise<UpdatedGeneration> {
  const job = { day, seed, full, learner }
  const options = fullOptions(job, examples.length)
  const setup = { engine: openEngine(engine), parent: fullStateOf(parent), catalogue, options }
  const update = await FullUpdate.open(setup)
  try {
    if (update.observes) update.observe(examples)
    if (order === 'ordered') await update.train(examples)
    else for await (const some of await shuffled(bodies, seedOf(job))) await update.train(some)
    const { state, itemVectors, figures } = await update.finish()
    const facts = { id: day, kind: 'full', parent: parent.id, day, createdAtMs: 0 } as const
    const rest = { seed: null, cuts: null, training: null, gate: null }
    const generation = generationOf({ ...facts, ...rest }, state, itemVectors)
    return { generation, loss: figures.loss }
  } finally {
    await update.close()
  }
}

async function shuffled(bodies: readonly Buffer[], seed: number) {
  const inMemory = { bytesMax: Number.MAX_SAFE_INTEGER, spillDir: path.join(os.tmpdir(), 'unused') }
  const one = async function* () {
    yield await Promise.resolve(bodies)
  }
  return (await shuffleDay(one(), { ...inMemory, seed })).examples(0)
}
