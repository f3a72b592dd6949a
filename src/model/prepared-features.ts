import type { Features } from '../records/types.ts'
import { encodePlain } from './features.ts'
import { embeddedFeatures, type EmbeddedFeature } from './embedded.ts'
import { RowSums } from './row-sums.ts'
import type { TowerSpec, TrainedTower } from './spec.ts'
import { featureWidth } from './spec.ts'
import { grown } from './typed-arrays.ts'

/** Features of many users or items with everything done that does not depend on what trains, numbered from 0 as they are added. */
export class PreparedFeatures {
  readonly width: number
  readonly embedded: readonly EmbeddedFeature[]
  /** Rows of each embedded feature: those of feature k of entry n lie from `ends[k + n K - 1]` to `ends[k + n K]`, K features each. */
  rows = new Uint32Array(64)
  ends = new Uint32Array(16)
  readonly #tower: TowerSpec
  #count = 0
  /** [n x F] encoded, with zeros where the embeddings go */
  #floats = new Float32Array(64)

  constructor(tower: TowerSpec) {
    this.#tower = tower
    this.width = featureWidth(tower)
    this.embedded = embeddedFeatures(tower)
  }

  /** Forgets all, keeps the memory. */
  clear(): void {
    this.#count = 0
  }

  /** @returns its number */
  add(features: Features): number {
    const number = this.#count++
    const { width, embedded } = this
    this.#floats = grown(this.#floats, this.#count * width)
    encodePlain(this.#tower, features, this.#floats, number * width)
    this.ends = grown(this.ends, this.#count * embedded.length)
    embedded.forEach(({ rowsIn }, k) => {
      const place = number * embedded.length + k
      let end = this.startOf(place)
      for (const row of rowsIn(features)) {
        this.rows = grown(this.rows, end + 1)
        this.rows[end++] = row
      }
      this.ends[place] = end
    })
    return number
  }

  /** Where the rows of a feature of an entry begin. */
  startOf(place: number): number {
    return place === 0 ? 0 : this.ends[place - 1]!
  }

  /** Writes the F encoded features of an entry to `out`, with the embeddings as they are now; `standardiseNumbers` is left to do. */
  write(parameters: TrainedTower, number: number, out: Float32Array, offset: number): void {
    const { width, embedded, rows } = this
    const from = number * width
    for (let i = 0; i < width; i++) out[offset + i] = this.#floats[from + i]!
    for (let k = 0; k < embedded.length; k++) {
      const { name, at, dim } = embedded[k]!
      const table = parameters.embeddings[name]!
      const place = number * embedded.length + k
      const [start, end] = [this.startOf(place), this.ends[place]!]
      const share = 1 / (end - start)
      for (let b = start; b < end; b++) {
        const row = rows[b]! * dim
        for (let i = 0; i < dim; i++) out[offset + at + i]! += share * table[row + i]!
      }
    }
  }
}

/**
 * Gradients of embedding rows, summed over a batch. The mean passes a gradient on to each of its rows in equal shares.
 * `apply` hands them over row by row, in the order in which they came.
 */
export class EmbeddingGradients {
  readonly #embedded: readonly EmbeddedFeature[]
  readonly #sums: readonly RowSums[]

  constructor(tower: TowerSpec) {
    this.#embedded = embeddedFeatures(tower)
    this.#sums = this.#embedded.map(({ dim }) => new RowSums(dim))
  }

  /** @param gradients by the F encoded features of entry `number`, from `offset` on */
  add(prepared: PreparedFeatures, number: number, gradients: Float32Array, offset: number): void {
    for (let k = 0; k < this.#embedded.length; k++) {
      const place = number * this.#embedded.length + k
      const [start, end] = [prepared.startOf(place), prepared.ends[place]!]
      const share = 1 / (end - start)
      const at = offset + this.#embedded[k]!.at
      for (let b = start; b < end; b++) this.#sums[k]!.add(prepared.rows[b]!, gradients, at, share)
    }
  }

  /** Forgets them as well. @param update of a row by `dim` floats of `gradients` from `at` on */
  apply(
    update: (name: string, row: number, gradients: Float32Array, at: number, dim: number) => void,
  ): void {
    this.#embedded.forEach(({ name, dim }, k) => {
      this.#sums[k]!.take((row, gradients, at) => update(name, row, gradients, at, dim))
    })
  }
}
