import type { ModelSpec } from '../../model/spec.ts'
import type { LearnerBase, LearnerSetup, LearnerSync } from '../../streams/learner-types.ts'
import type { ClickedItems } from './clicked-items.ts'

type ViewSetup = Pick<LearnerSetup, 'model' | 'dense' | 'engine'>

/** What the serving side has: user rows and item vectors of a generation, as of some sync. */
export class ServingView {
  /** [n x o] of the clicked items, by number */
  readonly vectors: Float32Array
  /** [n] 1 where there is a vector */
  readonly isRecallable: Uint8Array
  readonly #dim: number
  readonly #outputDim: number
  readonly #items: ClickedItems
  readonly #users = new Map<string, Float32Array>()
  #setup: ViewSetup | null = null
  #defaultRow = new Float32Array(0)

  constructor({ dim, outputDim }: ModelSpec, items: ClickedItems) {
    this.#dim = dim
    this.#outputDim = outputDim
    this.#items = items
    this.vectors = new Float32Array(items.size * outputDim)
    this.isRecallable = new Uint8Array(items.size)
  }

  /** Of the generation. */
  get setup(): ViewSetup {
    return this.#setup!
  }

  /** A generation goes live. */
  load(base: LearnerBase, setup: ViewSetup): void {
    this.#setup = setup
    this.#defaultRow = base.userDefaultRow.slice()
    this.#users.clear()
    this.isRecallable.fill(0)
    const { users, items } = base
    const [dim, outputDim] = [this.#dim, this.#outputDim]
    users.ids.forEach((id, i) => this.#users.set(id, users.rows.subarray(i * dim, (i + 1) * dim)))
    items.ids.forEach((id, i) =>
      this.#setVector(id, items.vectors.subarray(i * outputDim, (i + 1) * outputDim)),
    )
  }

  apply({ partitions, removedUsers, overrides }: LearnerSync): void {
    for (const userId of removedUsers) this.#users.delete(userId)
    for (const { rows } of partitions) {
      for (const { userId, row } of rows) this.#users.set(userId, row)
    }
    for (const { itemId, vector } of overrides) this.#setVector(itemId, vector)
  }

  /** [d]; of a user that it does not know: row 0. */
  rowOf(userId: string): Float32Array {
    return this.#users.get(userId) ?? this.#defaultRow
  }

  #setVector(itemId: string, vector: Float32Array | null): void {
    const number = this.#items.numberOf(itemId)
    if (number < 0) return
    this.isRecallable[number] = vector === null ? 0 : 1
    if (vector !== null) this.vectors.set(vector, number * this.#outputDim)
  }
}
