import { setImmediate as nextTurn } from 'node:timers/promises'
import type { TensorModel } from '../model/engine.ts'
import { encodeFeatures } from '../model/features.ts'
import { featureWidth } from '../model/spec.ts'
import type { DenseParameters, ModelSpec } from '../model/spec.ts'
import type { Features } from '../records/types.ts'

interface Waiting {
  readonly row: Float32Array
  readonly features: Features
  readonly resolve: (vector: Float32Array) => void
  readonly reject: (error: unknown) => void
}

const batchMax = 64

/** User vectors of one generation, of concurrent requests in one forward. */
export class UserTower {
  readonly #tensors: TensorModel
  readonly #model: ModelSpec
  readonly #dense: DenseParameters
  readonly #waiting: Waiting[] = []
  #isRunning = false

  constructor(tensors: TensorModel, model: ModelSpec, dense: DenseParameters) {
    this.#tensors = tensors
    this.#model = model
    this.#dense = dense
  }

  /**
   * @param row ID row [d]
   * @returns the L2-normalised user vector [o]
   */
  vector(row: Float32Array, features: Features): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ row, features, resolve, reject })
      if (!this.#isRunning) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    // Requests of one fetch get their rows within one turn of the event loop: wait for the others.
    await nextTurn()
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, batchMax)
      try {
        await this.#forward(batch)
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#isRunning = false
  }

  async #forward(batch: readonly Waiting[]): Promise<void> {
    const { dim, outputDim, user } = this.#model
    const width = featureWidth(user)
    const rows = new Float32Array(batch.length * dim)
    const encoded = new Float32Array(batch.length * width)
    batch.forEach(({ row, features }, i) => {
      rows.set(row, i * dim)
      encodeFeatures(user, this.#dense.user, features, encoded, i * width)
    })
    const vectors = await this.#tensors.vectors('user', rows, encoded, batch.length)
    for (const [i, { resolve }] of batch.entries()) {
      resolve(vectors.subarray(i * outputDim, (i + 1) * outputDim))
      // Whoever waits for the vector searches now, for milliseconds: heartbeats and Redis come in between.
      await nextTurn()
    }
  }
}
