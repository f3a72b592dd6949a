import { isEmbedded, tableRows } from '../../model/embedded.ts'
import { runningFeatures } from '../../model/running-statistics.ts'
import type { DenseParameters, ModelSpec, NamedShape, Side, TowerSpec } from '../../model/spec.ts'
import type {
  TowerGraphs,
  TowerParameters,
  TrainedParameters,
  TrainedTower,
} from '../../model/spec.ts'
import { sides, towerTensors } from '../../model/spec.ts'
import type { Tensor } from '../../records/safetensors.ts'

/** Names and shapes of the dense tensors that encode features, which no graph of a tower holds. */
export function encodingShapes(model: Record<Side, TowerSpec>): NamedShape[] {
  return sides.flatMap((side) => [
    ...embeddingShapes(model[side], side),
    ...statisticsShapes(model[side], side),
  ])
}

function embeddingShapes({ features }: TowerSpec, side: Side): NamedShape[] {
  return features.filter(isEmbedded).map((feature) => ({
    name: embeddingName(side, feature.name),
    shape: [tableRows(feature), feature.dim],
  }))
}

function statisticsShapes(tower: TowerSpec, side: Side): NamedShape[] {
  return runningFeatures(tower).map(({ name }) => ({
    name: statisticsName(side, name),
    shape: [3],
  }))
}

/** Names and shapes of every dense tensor of a model, e.g. `user.hidden_weights` or `item.statistics.year`. */
export function denseTensorShapes(model: ModelSpec): NamedShape[] {
  const statistics = sides.flatMap((side) => statisticsShapes(model[side], side))
  return [...trainedTensorShapes(model), ...statistics]
}

/**
 * Of those that train.
 * @param prefix of the names, for several sets in one file
 */
export function trainedTensorShapes(model: ModelSpec, prefix = ''): NamedShape[] {
  const shapes = sides.flatMap((side) => {
    const tensors = towerTensors(model, side).map(({ name, shape }) => ({
      name: `${side}.${name}`,
      shape,
    }))
    return [...tensors, ...embeddingShapes(model[side], side)]
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
    const { tensors, embeddings } = dense[side]
    for (const [name, tensor] of Object.entries(tensors)) arrays.set(`${side}.${name}`, tensor)
    for (const [name, table] of Object.entries(embeddings)) {
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

/**
 * @param take gives the verified tensor of a name
 * @param graphs of the sides that are opaque
 */
export function denseParameters(
  model: ModelSpec,
  take: (name: string) => Float32Array,
  graphs: Partial<Record<Side, TowerGraphs>>,
): DenseParameters {
  const towerOf = (side: Side, trained: TrainedTower): TowerParameters => {
    const statistics = runningFeatures(model[side]).map(
      ({ name }) => [name, Float64Array.from(take(statisticsName(side, name)))] as const,
    )
    const own = graphs[side] === undefined ? {} : { graphs: graphs[side] }
    return { ...trained, statistics: Object.fromEntries(statistics), ...own }
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
    tensors: Object.fromEntries(
      towerTensors(model, side).map(({ name }) => [name, take(`${side}.${name}`)]),
    ),
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
