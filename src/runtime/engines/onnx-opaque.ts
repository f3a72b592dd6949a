import type { Tensor } from 'onnxruntime-node'
import { gradientGraph, towerGraph } from '../../model/onnx-graph.ts'
import type { DenseParameters, ModelSpec, Side } from '../../model/spec.ts'
import { sides } from '../../model/spec.ts'
import { floats, matrix } from './onnx-tensors.ts'
import type { GraphResults, GraphSession, OpenGraph } from './onnx-tensors.ts'

type Feeds = Readonly<Record<string, Tensor>>

export interface OpaqueStep {
  /** Beginning of the names of what goes into a tower, e.g. `positive` -> its side. */
  readonly inputs: Readonly<Record<string, Side>>
  /** End of the names that the gradients by rows get. */
  readonly gradients: 'Gradients' | 'RowGradients'
  /** From vectors to the loss, and gradients by them. */
  readonly between: Uint8Array
}

/**
 * A step where a tower is opaque: through the towers forward, what is between them, and back, each a session of its own. It takes the feeds of the
 * one graph that a step is otherwise; of its results, vectors and gradients by rows.
 */
export async function openOpaqueStep(
  { inputs, gradients, between }: OpaqueStep,
  model: ModelSpec,
  dense: DenseParameters,
  open: OpenGraph,
): Promise<GraphSession> {
  const [user, item] = await Promise.all(
    sides.map((side) => TowerPass.open(model, dense, side, open)),
  )
  const towers = { user: user!, item: item! }
  const middle = await open(between)
  const passes = Object.entries(inputs).map(([prefix, side]) => ({ prefix, tower: towers[side] }))
  return {
    async run(feeds) {
      const vectors: Record<string, Tensor> = {}
      for (const { prefix, tower } of passes) {
        vectors[`${prefix}Vectors`] = await tower.forward(feeds, prefix)
      }
      const results = await middle.run({ ...betweenOf(feeds), ...vectors })
      const byRows: Record<string, GraphResults[string]> = {}
      for (const { prefix, tower } of passes) {
        const byVectors = floats(results, `${prefix}Gradients`)
        byRows[prefix + gradients] = { data: await tower.backward(feeds, prefix, byVectors) }
      }
      return { ...results, ...vectors, ...byRows }
    },
    async release() {
      for (const each of [towers.user, towers.item, middle]) await each.release()
    },
  }
}

function betweenOf(feeds: Feeds): Feeds {
  return Object.fromEntries(Object.entries(feeds).filter(([name]) => !/Rows|Features/.test(name)))
}

/** One tower in both directions. */
class TowerPass {
  readonly #model: ModelSpec
  readonly #forward: GraphSession
  readonly #gradient: GraphSession | null

  static async open(
    model: ModelSpec,
    dense: DenseParameters,
    side: Side,
    open: OpenGraph,
  ): Promise<TowerPass> {
    const gradient = gradientGraph(model, dense, side)
    const forward = await open(towerGraph(model, dense, side))
    return new TowerPass(model, forward, gradient === null ? null : await open(gradient))
  }

  private constructor(model: ModelSpec, forward: GraphSession, gradient: GraphSession | null) {
    this.#model = model
    this.#forward = forward
    this.#gradient = gradient
  }

  async forward(feeds: Feeds, prefix: string): Promise<Tensor> {
    const inputs = inputsOf(feeds, prefix)
    return this.#vectors(floats(await this.#forward.run(inputs), 'vectors'), inputs)
  }

  /** Zeros where rows are frozen. */
  async backward(feeds: Feeds, prefix: string, byVectors: Float32Array): Promise<Float32Array> {
    const inputs = inputsOf(feeds, prefix)
    if (this.#gradient === null) return new Float32Array(inputs['rows']!.size)
    const vectors_gradient = this.#vectors(byVectors, inputs)
    return floats(await this.#gradient.run({ ...inputs, vectors_gradient }), 'rows_gradient')
  }

  async release(): Promise<void> {
    await this.#forward.release()
    await this.#gradient?.release()
  }

  #vectors(values: Float32Array, { rows }: Feeds): Tensor {
    return matrix(values, rows!.dims[0]!, this.#model.outputDim)
  }
}

function inputsOf(feeds: Feeds, prefix: string): Feeds {
  const rows = feeds[`${prefix}Rows`]!
  const features = feeds[`${prefix}Features`]
  return features === undefined ? { rows } : { rows, features }
}
