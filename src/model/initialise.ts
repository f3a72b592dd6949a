import { isEmbedded, tableRows } from './embedded.ts'
import { Random } from './hash.ts'
import { noStatistics, runningFeatures } from './running-statistics.ts'
import type { DenseParameters, ModelSpec, TowerParameters, TowerSpec } from './spec.ts'
import { featureWidth } from './spec.ts'

/** Length that random features give to the projected part of a tower, against an ID row of length 1. */
const projectedLength = 0.5
/** Length that the hidden layer adds, likewise. */
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
 * used as they are: ID rows lead, features tell new items apart, the hidden layer bends a little. The same seed gives the same bytes.
 */
export function initialise(model: ModelSpec, seed: number): InitialParameters {
  const random = new Random(0x66726573, seed)
  const user = initialiseTower(model.user, model.dim, random)
  const item = initialiseTower(model.item, model.dim, random)
  return {
    dense: { user, item },
    userDefaultRow: unitRow(model.dim, random),
    itemDefaultRow: unitRow(model.dim, random),
  }
}

function initialiseTower(tower: TowerSpec, dim: number, random: Random): TowerParameters {
  const features = featureWidth(tower)
  const embeddings: Record<string, Float32Array> = {}
  for (const feature of tower.features) {
    if (!isEmbedded(feature)) continue
    embeddings[feature.name] = normals(tableRows(feature) * feature.dim, 1, random)
  }
  return {
    projection: normals(
      features * dim,
      projectedLength / Math.sqrt(Math.max(1, features) * dim),
      random,
    ),
    // He: relu keeps half of the variance, and x has about 1 + F of it (an ID row of length 1, features of variance 1).
    hiddenWeights: normals((dim + features) * tower.hidden, Math.sqrt(2 / (1 + features)), random),
    hiddenBias: new Float32Array(tower.hidden),
    outputWeights: normals(
      tower.hidden * dim,
      hiddenLength / Math.sqrt(tower.hidden * dim),
      random,
    ),
    outputBias: new Float32Array(dim),
    embeddings,
    statistics: Object.fromEntries(
      runningFeatures(tower).map(({ name }) => [name, noStatistics()]),
    ),
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
