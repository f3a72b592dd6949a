import type { TensorEngine } from '../model/engine.ts'
import { standardiseNumbers } from '../model/running-statistics.ts'
import type { DenseParameters } from '../model/spec.ts'
import type { FullUpdateItems } from './full-update-items.ts'
import type { FullState } from './full-update-types.ts'

const vectorsPerCall = 1_024

/**
 * Vectors of items as of the beginning of an hour.
 * @param slots n of them
 * @returns [n x o], L2-normalised
 */
export async function vectorsOf(
  slots: readonly number[],
  items: FullUpdateItems,
  dense: DenseParameters,
  { engine, parent }: { readonly engine: TensorEngine; readonly parent: FullState },
  hour: number,
): Promise<Float32Array> {
  const { dim, outputDim, item } = parent.model
  const { width } = items.prepared
  const vectors = new Float32Array(slots.length * outputDim)
  const model = await engine.open(parent.model, dense)
  try {
    for (let from = 0; from < slots.length; from += vectorsPerCall) {
      const some = slots.slice(from, from + vectorsPerCall)
      const rows = new Float32Array(some.length * dim)
      const features = new Float32Array(some.length * width)
      some.forEach((slot, i) => {
        items.table.copyRow(slot, rows, i * dim)
        items.writeFeatures(dense.item, slot, hour, features, i * width)
      })
      standardiseNumbers(item, dense.item, features, 0, some.length, width)
      vectors.set(await model.vectors('item', rows, features, some.length), from * outputDim)
    }
    return vectors
  } finally {
    await model.close()
  }
}
