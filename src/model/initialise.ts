import { isEmbedded, tableRows } from './embedded.ts'
import { Random } from './hash.ts'
import { noStatistics, runningFeatures } from './running-statistics.ts'
import type { DenseParameters, ModelSpec, NamedShape, Side, TowerParameters } from './spec.ts'
import { featureWidth, towerTensors } from './spec.ts'

/** Length that random features give to the projected part of a tower, against an ID row of length 1. */
const projectedLength = 0.5
/** Length that the hidden layers add, likewise. */
const hiddenLength = 0.25

export interface InitialParameters {
  readonly dense: DenseParameters
  /** [d] row 0 of the user table, of length 1 */
  readonly userDefaultRow: Float32Array
  /** [d] row 0 of the item table, of length 1 */
  readonly itemDefaultRow: Float32Array
}

/**
 * A random model: what a bootstrap generation starts from. It never trains its dense layers online, so they are scaled for being
 * used as they are: ID rows lead, features tell new items apart, the hidden layers bend a little. The same seed gives the same bytes.
 */
export function initialise(model: ModelSpec, seed: number): InitialParameters {
  const random = new Random(0x66726573, seed)
  const user = initialiseTower(model, 'user', random)
  const item = initialiseTower(model, 'item', random)
  return {
    dense: { user, item },
    userDefaultRow: unitRow(model.dim, random),
    itemDefaultRow: unitRow(model.dim, random),
  }
}

function initialiseTower(model: ModelSpec, side: Side, random: Random): TowerParameters {
  const tower = model[side]
  const embeddings: Record<string, Float32Array> = {}
  for (const feature of tower.features) {
    if (!isEmbedded(feature)) continue
    embeddings[feature.name] = normals(tableRows(feature) * feature.dim, 1, random)
  }
  const tensors: Record<string, Float32Array> = {}
  for (const tensor of towerTensors(model, side)) {
    const [inputs, outputs] = tensor.shape as [number, number?]
    tensors[tensor.name] =
      outputs === undefined
        ? new Float32Array(inputs)
        : normals(inputs * outputs, deviationOf(tensor, featureWidth(tower)), random)
  }
  const statistics = Object.fromEntries(
    runningFeatures(tower).map(({ name }) => [name, noStatistics()]),
  )
  return { tensors, embeddings, statistics }
}

/** Of the entries of a matrix. */
function deviationOf({ name, shape }: NamedShape, features: number): number {
  const [inputs, outputs] = shape as [number, number]
  switch (name) {
    case 'projection':
      return projectedLength / Math.sqrt(Math.max(1, features) * outputs)
    case 'shortcut':
      return 1 / Math.sqrt(outputs)
    case 'output_weights':
      return hiddenLength / Math.sqrt(inputs * outputs)
    case 'hidden_weights':
      // He: relu keeps half of the variance, and x has about 1 + F of it (an ID row of length 1, features of variance 1).
      return Math.sqrt(2 / (1 + features))
    default:
      // Of a deeper layer: what comes in has a mean square of 1, and so has what goes out.
      return Math.sqrt(2 / inputs)
  }
}

function unitRow(dim: number, random: Random): Float32Array {
  const row = normals(dim, 1, random)
  const length = Math.hypot(...row)
  return row.map((value) => value / length)
}

function normals(count: number, deviation: number, random: Random): Float32Array {
  return Float32Array.from({ length: count }, () => deviation * random.nextNormal())
}
