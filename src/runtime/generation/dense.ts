import { isEmbedded, tableRows } from '../../model/embedded.ts'
import { runningFeatures } from '../../model/running-statistics.ts'
import type { DenseParameters, ModelSpec, Side } from '../../model/spec.ts'
import type { TowerParameters, TrainedParameters, TrainedTower } from '../../model/spec.ts'
import { featureWidth } from '../../model/spec.ts'
import type { Tensor } from '../../records/safetensors.ts'

const sides: readonly Side[] = ['user', 'item']

interface Named {
  readonly name: string
  readonly shape: readonly number[]
}

/** Names and shapes of every dense tensor of a model, e.g. `user.hidden_weights` or `item.statistics.year`. */
export function denseTensorShapes(model: ModelSpec): Named[] {
  const statistics = sides.flatMap((side) =>
    runningFeatures(model[side]).map(({ name }) => ({
      name: statisticsName(side, name),
      shape: [3],
    })),
  )
  return [...trainedTensorShapes(model), ...statistics]
}

/**
 * Of those that train.
 * @param prefix of the names, for several sets in one file
 */
export function trainedTensorShapes(model: ModelSpec, prefix = ''): Named[] {
  const shapes = sides.flatMap((side) => {
    const tower = model[side]
    const width = featureWidth(tower)
    const tables = tower.features.flatMap((feature) =>
      isEmbedded(feature)
        ? [{ name: embeddingName(side, feature.name), shape: [tableRows(feature), feature.dim] }]
        : [],
    )
    return [
      { name: `${side}.projection`, shape: [width, model.dim] },
      { name: `${side}.hidden_weights`, shape: [model.dim + width, tower.hidden] },
      { name: `${side}.hidden_bias`, shape: [tower.hidden] },
      { name: `${side}.output_weights`, shape: [tower.hidden, model.dim] },
      { name: `${side}.output_bias`, shape: [model.dim] },
      ...tables,
    ]
  })
  return shapes.map(({ name, shape }) => ({ name: prefix + name, shape }))
}

export function denseTensors(model: ModelSpec, dense: DenseParameters): Map<string, Tensor> {
  const tensors = trainedTensors(model, dense)
  for (const side of sides) {
    for (const [name, values] of Object.entries(dense[side].statistics)) {
      tensors.set(statisticsName(side, name), { shape: [3], data: Float32Array.from(values) })
    }
  }
  return tensors
}

export function trainedTensors(
  model: ModelSpec,
  dense: TrainedParameters,
  prefix = '',
): Map<string, Tensor> {
  const arrays = new Map<string, Float32Array>()
  for (const side of sides) {
    const tower = dense[side]
    arrays.set(`${side}.projection`, tower.projection)
    arrays.set(`${side}.hidden_weights`, tower.hiddenWeights)
    arrays.set(`${side}.hidden_bias`, tower.hiddenBias)
    arrays.set(`${side}.output_weights`, tower.outputWeights)
    arrays.set(`${side}.output_bias`, tower.outputBias)
    for (const [name, table] of Object.entries(tower.embeddings)) {
      arrays.set(embeddingName(side, name), table)
    }
  }
  return new Map(
    trainedTensorShapes(model).map(({ name, shape }) => [
      prefix + name,
      { shape, data: arrays.get(name)! },
    ]),
  )
}

/** @param take gives the verified tensor of a name */
export function denseParameters(
  model: ModelSpec,
  take: (name: string) => Float32Array,
): DenseParameters {
  const towerOf = (side: Side, trained: TrainedTower): TowerParameters => {
    const statistics = runningFeatures(model[side]).map(
      ({ name }) => [name, Float64Array.from(take(statisticsName(side, name)))] as const,
    )
    return { ...trained, statistics: Object.fromEntries(statistics) }
  }
  const { user, item } = trainedParameters(model, take)
  return { user: towerOf('user', user), item: towerOf('item', item) }
}

/** The same without statistics: moments, for example. */
export function trainedParameters(
  model: ModelSpec,
  take: (name: string) => Float32Array,
): TrainedParameters {
  const towerOf = (side: Side): TrainedTower => ({
    projection: take(`${side}.projection`),
    hiddenWeights: take(`${side}.hidden_weights`),
    hiddenBias: take(`${side}.hidden_bias`),
    outputWeights: take(`${side}.output_weights`),
    outputBias: take(`${side}.output_bias`),
    embeddings: Object.fromEntries(
      model[side].features
        .filter(isEmbedded)
        .map(({ name }) => [name, take(embeddingName(side, name))]),
    ),
  })
  return { user: towerOf('user'), item: towerOf('item') }
}

function statisticsName(side: Side, feature: string): string {
  return `${side}.statistics.${feature}`
}

function embeddingName(side: Side, feature: string): string {
  return `${side}.embedding.${feature}`
}
