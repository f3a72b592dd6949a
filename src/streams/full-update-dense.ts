import type {
  DenseParameters,
  ModelSpec,
  Side,
  TowerParameters,
  TrainedParameters,
  TrainedTower,
} from '../model/spec.ts'
import { featureWidth } from '../model/spec.ts'

type Tensor = 'projection' | 'hiddenWeights' | 'hiddenBias' | 'outputWeights' | 'outputBias'

/** The tensors that every step gives a gradient of; a tower without features has no projection. */
export function trainedTensors(model: ModelSpec): [Side, Tensor][] {
  const all: Tensor[] = ['hiddenWeights', 'hiddenBias', 'outputWeights', 'outputBias']
  return (['user', 'item'] as const).flatMap((side) => {
    const tensors = featureWidth(model[side]) > 0 ? [...all, 'projection' as const] : all
    return tensors.map((tensor): [Side, Tensor] => [side, tensor])
  })
}

export function copyDense({ user, item }: DenseParameters): DenseParameters {
  const copy = (tower: TowerParameters): TowerParameters => {
    return { ...copyTower(tower), statistics: copyOf(tower.statistics) }
  }
  return { user: copy(user), item: copy(item) }
}

export function copyTrained({ user, item }: TrainedParameters): TrainedParameters {
  return { user: copyTower(user), item: copyTower(item) }
}

function copyTower(tower: TrainedTower): TrainedTower {
  return {
    projection: tower.projection.slice(),
    hiddenWeights: tower.hiddenWeights.slice(),
    hiddenBias: tower.hiddenBias.slice(),
    outputWeights: tower.outputWeights.slice(),
    outputBias: tower.outputBias.slice(),
    embeddings: copyOf(tower.embeddings),
  }
}

function copyOf<T extends Float32Array | Float64Array>(
  arrays: Readonly<Record<string, T>>,
): Record<string, T> {
  return Object.fromEntries(
    Object.entries(arrays).map(([name, array]) => [name, array.slice() as T]),
  )
}

/** Moments before the first step. */
export function zerosLike(dense: TrainedParameters): TrainedParameters {
  const zeros = copyTrained(dense)
  for (const { embeddings, ...tensors } of [zeros.user, zeros.item]) {
    for (const tensor of [...Object.values(tensors), ...Object.values(embeddings)]) tensor.fill(0)
  }
  return zeros
}

/** To what a file holds, in place: vectors are then the same before and after it was written. */
export function roundStatistics({ user, item }: DenseParameters): void {
  for (const { statistics } of [user, item]) {
    for (const values of Object.values(statistics)) {
      values.forEach((value, i) => (values[i] = Math.fround(value)))
    }
  }
}
