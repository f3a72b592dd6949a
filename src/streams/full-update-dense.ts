import type {
  DenseParameters,
  TowerParameters,
  TrainedParameters,
  TrainedTower,
} from '../model/spec.ts'

export function copyDense({ user, item }: DenseParameters): DenseParameters {
  const copy = (tower: TowerParameters): TowerParameters => {
    const { statistics, graphs } = tower
    const own = graphs === undefined ? {} : { graphs }
    return { ...copyTower(tower), statistics: copyEach(statistics), ...own }
  }
  return { user: copy(user), item: copy(item) }
}

export function copyTrained({ user, item }: TrainedParameters): TrainedParameters {
  return { user: copyTower(user), item: copyTower(item) }
}

function copyTower(tower: TrainedTower): TrainedTower {
  return {
    tensors: copyEach(tower.tensors),
    embeddings: copyEach(tower.embeddings),
  }
}

function copyEach<T extends Float32Array | Float64Array>(
  arrays: Readonly<Record<string, T>>,
): Record<string, T> {
  return Object.fromEntries(
    Object.entries(arrays).map(([name, array]) => [name, array.slice() as T]),
  )
}

/** Moments before the first step. */
export function zerosLike(dense: TrainedParameters): TrainedParameters {
  const zeros = copyTrained(dense)
  for (const { tensors, embeddings } of [zeros.user, zeros.item]) {
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
