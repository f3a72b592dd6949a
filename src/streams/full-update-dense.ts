import type { DenseParameters, ModelSpec, Side, TowerParameters } from '../model/spec.ts'
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
  return { user: copyTower(user), item: copyTower(item) }
}

function copyTower(tower: TowerParameters): TowerParameters {
  return {
    projection: tower.projection.slice(),
    hiddenWeights: tower.hiddenWeights.slice(),
    hiddenBias: tower.hiddenBias.slice(),
    outputWeights: tower.outputWeights.slice(),
    outputBias: tower.outputBias.slice(),
    embeddings: Object.fromEntries(
      Object.entries(tower.embeddings).map(([name, table]) => [name, table.slice()]),
    ),
  }
}

/** Moments before the first step. */
export function zerosLike(dense: DenseParameters): DenseParameters {
  const zeros = copyDense(dense)
  for (const { embeddings, ...tensors } of [zeros.user, zeros.item]) {
    for (const tensor of [...Object.values(tensors), ...Object.values(embeddings)]) tensor.fill(0)
  }
  return zeros
}
