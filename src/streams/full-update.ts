import { FreshetError } from '../errors.ts'
import { adam } from '../model/adam.ts'
import type { EmbeddingTable } from '../model/embedding-table.ts'
import type { FullStepOutput, FullTensorModel, TensorEngine } from '../model/engine.ts'
import { Gate } from '../model/gate.ts'
import type { GateFigures, GateOptions } from '../model/gate.ts'
import { hourMs } from '../model/item-activity.ts'
import { EmbeddingGradients } from '../model/prepared-features.ts'
import type { Loss } from '../model/loss.ts'
import { RowGradients } from '../model/sgd.ts'
import type { DenseParameters, ModelSpec, Side, TrainedParameters } from '../model/spec.ts'
import { frozenSides, isOpaque, sides, trainedTensors } from '../model/spec.ts'
import { allFinite } from '../model/typed-arrays.ts'
import type { Example } from '../records/types.ts'
import { FullUpdateBatch } from './full-update-batch.ts'
import { copyDense, copyTrained, roundStatistics } from './full-update-dense.ts'
import { FullUpdateItems, openFrequency } from './full-update-items.ts'
import { openTable, restoreTable, sideState, tableSnapshot } from './full-update-table.ts'
import type { TableSnapshot } from './full-update-table.ts'
import type { FrequencyState, FullState, RecentState } from './full-update-types.ts'
import { FullUpdateParent } from './full-update-parent.ts'
import { FullUpdateRecent } from './full-update-recent.ts'
import { vectorsOf } from './full-update-vectors.ts'
import type { CatalogueChange } from './learner-types.ts'

export interface FullOptions extends GateOptions {
  readonly loss: Loss
  readonly logQ: boolean
  /** Examples a step. */
  readonly batch: number
  /** Items drawn beside those of the batch. */
  readonly negatives: number
  /** Adam, of the dense parameters and feature embeddings. */
  readonly learningRate: number
  /** Row-wise Adagrad, of the ID rows. */
  readonly rowLearningRate: number
  readonly gradientNormMax: number
  readonly rowNormMax: number
  /** Share of examples whose user trains row 0. */
  readonly userDropout: number
  /** Share of candidates that stand in with row 0. */
  readonly itemDropout: number
  readonly frequencyRate: number
  /** Number of the example from which on both generations are compared, */
  readonly gateFrom: number
  /** in every so manieth step. */
  readonly gateEvery: number
  /** Rows without an example for so long are dropped, unless the catalogue has their item. */
  readonly expireAfterMs: number
  readonly seed: number
}

export interface FullFigures {
  readonly steps: number
  /** Mean loss an example, before its update. */
  readonly loss: number
  readonly gate: GateFigures
}

export interface FullResult {
  readonly state: FullState
  /** [n x o] of `state.items.ids`, L2-normalised */
  readonly itemVectors: Float32Array
  readonly figures: FullFigures
}

/** Everything between two batches; goes on, to the bit, with the same parent, catalogue and options. */
export interface FullUpdateSnapshot {
  readonly counters: Counters
  readonly gate: readonly number[]
  readonly dense: DenseParameters
  readonly first: TrainedParameters
  readonly second: TrainedParameters
  readonly users: TableSnapshot
  readonly items: TableSnapshot
  readonly frequency: FrequencyState
  readonly recent: RecentState
}

interface Counters {
  trained: number
  steps: number
  lossSum: number
  lossCount: number
  newestMs: number
}

export interface FullUpdateSetup {
  readonly engine: TensorEngine
  readonly parent: FullState
  readonly catalogue: readonly CatalogueChange[]
  readonly options: FullOptions
}

const dayMs = 24 * hourMs

/**
 * The full update without its surroundings: one pass over the examples of a day in the order given, which trains towers, feature embeddings, ID rows and
 * row 0, from the parameters of the full generation before. With an opaque tower it trains ID rows and row 0, of the sides that are not frozen, and keeps
 * the rest. What it starts from is never changed.
 */
export class FullUpdate {
  readonly #setup: FullUpdateSetup
  readonly #model: ModelSpec
  readonly #dense: DenseParameters
  readonly #first: TrainedParameters
  readonly #second: TrainedParameters
  readonly #users: EmbeddingTable
  readonly #items: FullUpdateItems
  readonly #recent: FullUpdateRecent
  readonly #tensors: FullTensorModel
  readonly #parent: FullUpdateParent
  readonly #batch: FullUpdateBatch
  readonly #userGradients: RowGradients
  readonly #itemGradients: RowGradients
  readonly #embeddings: Record<Side, EmbeddingGradients>
  readonly #gate: Gate
  readonly #counters: Counters
  #waiting: Example[] = []

  /** @throws FreshetError GENERATION_FROZEN where nothing could be trained */
  static async open(setup: FullUpdateSetup, resume?: FullUpdateSnapshot): Promise<FullUpdate> {
    const { engine, parent } = setup
    expectTrainable(parent.model)
    const dense = copyDense(resume?.dense ?? parent.dense)
    const tensors = await engine.openFull(parent.model, dense)
    return new FullUpdate(setup, dense, tensors, resume)
  }

  private constructor(
    setup: FullUpdateSetup,
    dense: DenseParameters,
    tensors: FullTensorModel,
    resume?: FullUpdateSnapshot,
  ) {
    const { parent, options, catalogue } = setup
    const { model } = parent
    this.#setup = setup
    this.#model = model
    this.#dense = dense
    this.#tensors = tensors
    this.#first = copyTrained(resume?.first ?? parent.adam.first)
    this.#second = copyTrained(resume?.second ?? parent.adam.second)
    this.#users = resume === undefined ? openTable(parent.users) : restoreTable(resume.users)
    const items = resume === undefined ? openTable(parent.items) : restoreTable(resume.items)
    const frequency = openFrequency(resume?.frequency ?? parent.frequency, options.frequencyRate)
    this.#items = new FullUpdateItems(model, items, frequency, parent.activity, catalogue)
    this.#recent = new FullUpdateRecent(resume?.recent ?? parent.recent)
    this.#parent = new FullUpdateParent(parent, setup.engine, options.batch + options.negatives)
    this.#batch = new FullUpdateBatch(model, options)
    this.#userGradients = new RowGradients(model.dim)
    this.#itemGradients = new RowGradients(model.dim)
    this.#embeddings = {
      user: new EmbeddingGradients(model.user),
      item: new EmbeddingGradients(model.item),
    }
    this.#gate = new Gate(resume?.gate)
    const none = { trained: 0, steps: 0, lossSum: 0, lossCount: 0, newestMs: 0 }
    this.#counters = { ...(resume?.counters ?? none) }
  }

  /** Examples that are part of the parameters; those that wait for a whole batch are not. */
  get trained(): number {
    return this.#counters.trained
  }

  get figures(): FullFigures {
    const { steps, lossSum, lossCount } = this.#counters
    const gate = this.#gate.judge(this.#setup.options)
    return { steps, loss: lossSum / Math.max(1, lossCount), gate }
  }

  /** Whether every example of the day has to be shown to `observe` before the first step. */
  get observes(): boolean {
    return !this.#items.activity.isIdle
  }

  observe(examples: readonly Example[]): void {
    this.#items.observe(examples)
  }

  /** In the order of the day; batches are cut at multiples of their size, however the examples are handed over. */
  async train(examples: readonly Example[]): Promise<void> {
    const { batch } = this.#setup.options
    this.#waiting = this.#waiting.concat(examples)
    let from = 0
    for (; from + batch <= this.#waiting.length; from += batch) {
      await this.#step(this.#waiting.slice(from, from + batch))
    }
    this.#waiting = this.#waiting.slice(from)
  }

  /** A copy; `trained` says how many examples it has seen. */
  snapshot(): FullUpdateSnapshot {
    const { frequency, table } = this.#items
    const [userSlots, slots] = [slotsOf(this.#users), slotsOf(table)]
    return {
      counters: { ...this.#counters },
      gate: this.#gate.sums,
      dense: copyDense(this.#dense),
      first: copyTrained(this.#first),
      second: copyTrained(this.#second),
      users: tableSnapshot(this.#users),
      items: tableSnapshot(table),
      frequency: { ...this.#items.frequencyState(slots), examples: frequency.examples },
      recent: this.#recent.state(userSlots, slots),
    }
  }

  /** Trains on what waits, and computes the vector of every item. */
  async finish(): Promise<FullResult> {
    if (this.#waiting.length > 0) await this.#step(this.#waiting)
    this.#waiting = []
    const { parent, options } = this.#setup
    const beforeMs = this.#counters.newestMs - options.expireAfterMs
    const userSlots: number[] = []
    for (let slot = 1; slot < this.#users.slotCount; slot++) {
      if (this.#users.timesMs[slot]! >= beforeMs) userSlots.push(slot)
    }
    const itemSlots = this.#items.finish(beforeMs)
    roundStatistics(this.#dense)
    // Serving begins where the day ends.
    const hour = (Math.floor(this.#counters.newestMs / dayMs) + 1) * (dayMs / hourMs)
    const steps = parent.adam.steps + this.#counters.steps
    return {
      state: {
        model: this.#model,
        dense: this.#dense,
        users: sideState(this.#users, userSlots),
        items: sideState(this.#items.table, itemSlots),
        adam: { steps, first: this.#first, second: this.#second },
        frequency: this.#items.frequencyState(itemSlots),
        recent: this.#recent.state(userSlots, itemSlots),
        activity: this.#items.activity.state(itemSlots),
      },
      itemVectors: await vectorsOf(itemSlots, this.#items, this.#dense, this.#setup, hour),
      figures: this.figures,
    }
  }

  async close(): Promise<void> {
    await this.#tensors.close()
    await this.#parent.close()
  }

  async #step(examples: readonly Example[]): Promise<void> {
    const batch = this.#batch
    const number = this.#counters.trained
    this.#counters.trained += examples.length
    for (const { eventTimeMs } of examples) {
      this.#counters.newestMs = Math.max(this.#counters.newestMs, eventTimeMs)
    }
    if (!batch.gather(number, examples, this.#users, this.#items, this.#dense)) return
    this.#remember()
    const output = await this.#tensors.step(batch)
    if (this.#isCompared(number)) {
      await this.#parent.compare(batch, this.#items, output, this.#gate)
    }
    this.#counters.steps++
    for (let b = 0; b < batch.batch; b++) {
      if (!Number.isFinite(output.losses[b])) continue
      this.#counters.lossSum += output.losses[b]!
      this.#counters.lossCount++
    }
    this.#updateRows(output)
    if (!isOpaque(this.#model)) this.#updateDense(output)
  }

  #isCompared(number: number): boolean {
    const { batch, gateFrom, gateEvery } = this.#setup.options
    return number >= gateFrom && Math.floor(number / batch) % gateEvery === 0
  }

  #remember(): void {
    const { examples, userIdSlots, itemSlots, targets } = this.#batch
    examples.forEach(({ eventTimeMs }, b) =>
      this.#recent.add(userIdSlots[b]!, itemSlots[targets[b]!]!, eventTimeMs),
    )
  }

  #updateRows(output: FullStepOutput): void {
    const batch = this.#batch
    const { dim } = this.#model
    const { rowLearningRate, gradientNormMax, rowNormMax } = this.#setup.options
    const options = {
      ...({ optimizer: 'adagrad', learningRate: rowLearningRate } as const),
      ...{ gradientNormMax, rowNormMax },
    }
    const frozen = frozenSides(this.#model)
    for (let b = 0; b < batch.batch && !frozen.includes('user'); b++) {
      this.#userGradients.add(batch.userSlots[b]!, output.userRowGradients, b * dim)
    }
    for (let n = 0; n < batch.items && !frozen.includes('item'); n++) {
      this.#itemGradients.add(batch.itemRowSlots[n]!, output.itemRowGradients, n * dim)
    }
    this.#userGradients.apply(this.#users, options)
    this.#itemGradients.apply(this.#items.table, options)
    this.#users.takeDirty()
    this.#items.table.takeDirty()
  }

  #updateDense(output: FullStepOutput): void {
    const { learningRate } = this.#setup.options
    const step = this.#setup.parent.adam.steps + this.#counters.steps
    this.#gatherEmbeddings(output)
    for (const side of sides) {
      const [now, first, second] = [this.#dense[side], this.#first[side], this.#second[side]]
      for (const { name } of trainedTensors(this.#model, side)) {
        const gradients = output.dense[side].tensors[name]!
        // One bad example must not end a whole model.
        if (!allFinite(gradients, 0, gradients.length)) continue
        const moments = { first: first.tensors[name]!, second: second.tensors[name]! }
        adam(now.tensors[name]!, gradients, moments, step, { learningRate })
      }
      this.#embeddings[side].apply((name, row, gradients, at, dim) => {
        if (!allFinite(gradients, at, dim)) return
        const moments = { first: first.embeddings[name]!, second: second.embeddings[name]! }
        // Lazily: only rows that were used move, as with sparse Adam elsewhere.
        adam(now.embeddings[name]!, gradients, moments, step, { learningRate }, row * dim, dim, at)
      })
    }
  }

  #gatherEmbeddings(output: FullStepOutput): void {
    const { batch, items, itemSlots, userPrepared } = this.#batch
    const { user, item } = this.#embeddings
    const { prepared } = this.#items
    for (let b = 0; userPrepared.width > 0 && b < batch; b++) {
      user.add(userPrepared, b, output.userFeatureGradients, b * userPrepared.width)
    }
    for (let n = 0; prepared.width > 0 && n < items; n++) {
      const number = this.#items.preparedOf(itemSlots[n]!)
      item.add(prepared, number, output.itemFeatureGradients, n * prepared.width)
    }
  }
}

/**
 * @param parent as an error names it
 * @throws FreshetError GENERATION_FROZEN where there is no gradient at all
 */
export function expectTrainable(model: ModelSpec, parent = 'The parent'): void {
  if (frozenSides(model).length < sides.length) return
  throw new FreshetError(
    'GENERATION_FROZEN',
    `${parent} has towers that are ONNX graphs without gradient graphs, so no full update can go on from it, and what is live stays live: import it with gradient graphs (docs/import.md)`,
  )
}

/** Of a table that has never let go of a row. */
function slotsOf(table: EmbeddingTable): number[] {
  return Array.from({ length: table.slotCount - 1 }, (_, i) => i + 1)
}
