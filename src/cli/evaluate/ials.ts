import { Random } from '../../model/hash.ts'
import type { ClickedItems } from './clicked-items.ts'
import type { JoinedDay } from './joined-days.ts'

export interface IalsOptions {
  readonly dim: number
  /** Weight of a pair that was not clicked, against 1 of one that was. */
  readonly unobservedWeight: number
  readonly regularisation: number
  /** Over users and items, after the first day that is learnt, and after each later one. */
  readonly firstSweeps: number
  readonly sweeps: number
}

export const ialsOptions: IalsOptions = {
  ...{ dim: 64, unobservedWeight: 0.1, regularisation: 0.003 },
  ...{ firstSweeps: 8, sweeps: 2 },
}

/** Of conjugate gradients for each row: close enough, as the next sweep goes on from there (Takács et al. 2011). */
const gradientSteps = 4

/**
 * Implicit alternating least squares (Hu et al. 2008) with the regularisation of Rendle et al. 2022, "Revisiting the performance of iALS": each row is
 * regularised by how many pairs it explains, clicked or not.
 */
export class Ials {
  readonly #items: ClickedItems
  readonly #options: IalsOptions
  readonly #random = new Random(0x69616c73, 1)
  readonly #userNumbers = new Map<string, number>()
  readonly #users: Side
  readonly #itemSide: Side
  #isFirst = true

  constructor(items: ClickedItems, options: IalsOptions = ialsOptions) {
    this.#items = items
    this.#options = options
    this.#users = new Side(options.dim)
    this.#itemSide = new Side(options.dim)
  }

  /** Takes in a day that is over; `fit` computes with it. */
  learn({ examples }: JoinedDay): void {
    for (const { userId, itemId } of examples) {
      const user = this.#userNumbers.get(userId) ?? this.#userNumbers.size
      this.#userNumbers.set(userId, user)
      const item = this.#items.numberOf(itemId)
      this.#users.cover(user, this.#random)
      this.#itemSide.cover(item, this.#random)
      if (this.#users.pairs[user]!.includes(item)) continue
      this.#users.pairs[user]!.push(item)
      this.#itemSide.pairs[item]!.push(user)
    }
  }

  fit(): void {
    const { firstSweeps, sweeps } = this.#options
    for (let left = this.#isFirst ? firstSweeps : sweeps; left > 0; left--) {
      this.#users.solve(this.#itemSide, this.#options)
      this.#itemSide.solve(this.#users, this.#options)
    }
    this.#isFirst = false
  }

  /** [count] scores of the first so many items; all alike for a user that is not known */
  scores(userId: string, count: number): Float32Array {
    const scores = new Float32Array(count)
    const user = this.#userNumbers.get(userId)
    if (user === undefined) return scores
    const { dim } = this.#options
    const { rows: userRows } = this.#users
    const { rows, pairs } = this.#itemSide
    for (let item = 0; item < Math.min(count, pairs.length); item++) {
      let score = 0
      for (let i = 0; i < dim; i++) score += userRows[user * dim + i]! * rows[item * dim + i]!
      scores[item] = score
    }
    return scores
  }
}

/** Factors of users or of items, and what each was seen with. */
class Side {
  readonly pairs: number[][] = []
  rows = new Float64Array(0)
  readonly #dim: number

  constructor(dim: number) {
    this.#dim = dim
  }

  cover(number: number, random: Random): void {
    const dim = this.#dim
    while (this.pairs.length <= number) this.pairs.push([])
    const filled = this.rows.length
    if (this.pairs.length * dim <= filled) return
    const rows = new Float64Array(Math.max(2 * filled, this.pairs.length * dim))
    rows.set(this.rows)
    for (let i = filled; i < rows.length; i++) rows[i] = random.nextNormal() / dim
    this.rows = rows
  }

  /** Moves each row to where the loss is least, with those of the other side as they are. */
  solve(other: Side, { unobservedWeight, regularisation }: IalsOptions): void {
    const dim = this.#dim
    const gram = gramOf(other.rows, other.pairs.length, dim, unobservedWeight)
    for (let n = 0; n < this.pairs.length; n++) {
      const seen = this.pairs[n]!
      const ridge = regularisation * (seen.length + unobservedWeight * other.pairs.length)
      conjugateGradients(this.rows.subarray(n * dim, (n + 1) * dim), seen, other.rows, gram, ridge)
    }
  }
}

/** weight * rowsᵀ rows */
function gramOf(rows: Float64Array, count: number, dim: number, weight: number): Float64Array {
  const gram = new Float64Array(dim * dim)
  for (let n = 0; n < count; n++) {
    for (let i = 0; i < dim; i++) {
      const value = weight * rows[n * dim + i]!
      for (let j = 0; j < dim; j++) gram[i * dim + j]! += value * rows[n * dim + j]!
    }
  }
  return gram
}

/** Solves (gram + sum of seen rows' outer products + ridge) x = sum of seen rows, from x on, in place. */
function conjugateGradients(
  x: Float64Array,
  seen: readonly number[],
  rows: Float64Array,
  gram: Float64Array,
  ridge: number,
): void {
  const dim = x.length
  const times = (vector: Float64Array): Float64Array => {
    const out = new Float64Array(dim)
    for (let i = 0; i < dim; i++) {
      let sum = ridge * vector[i]!
      for (let j = 0; j < dim; j++) sum += gram[i * dim + j]! * vector[j]!
      out[i] = sum
    }
    for (const row of seen) addScaled(out, rows, row * dim, dotAt(rows, row * dim, vector))
    return out
  }
  const residual = times(x).map((value) => -value)
  for (const row of seen) addScaled(residual, rows, row * dim, 1)
  const direction = residual.slice()
  let squares = dotAt(residual, 0, residual)
  for (let step = 0; step < gradientSteps && squares > 1e-20; step++) {
    const image = times(direction)
    const rate = squares / dotAt(image, 0, direction)
    addScaled(x, direction, 0, rate)
    addScaled(residual, image, 0, -rate)
    const before = squares
    squares = dotAt(residual, 0, residual)
    for (let i = 0; i < dim; i++) direction[i] = residual[i]! + (squares / before) * direction[i]!
  }
}

function dotAt(a: Float64Array, at: number, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < b.length; i++) sum += a[at + i]! * b[i]!
  return sum
}

function addScaled(to: Float64Array, from: Float64Array, at: number, scale: number): void {
  for (let i = 0; i < to.length; i++) to[i]! += scale * from[at + i]!
}
