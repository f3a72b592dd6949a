import { isEmbedded, tableRows } from '../../model/embedded.ts'
import type { DenseParameters, ModelSpec, Side, TowerParameters } from '../../model/spec.ts'
import { featureWidth } from '../../model/spec.ts'
import type { Tensor } from '../../records/safetensors.ts'

const sides: readonly Side[] = ['user', 'item']

interface Named {
  readonly name: string
  readonly shape: readonly number[]
}

/**
 * Names and shapes of every dense tensor of a model, e.g. `user.hidden_weights` or `item.embedding.genre`.
 * @param prefix of the names, for several sets in one file
 */
export function denseTensorShapes(model: ModelSpec, prefix = ''): Named[] {
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

export function denseTensors(
  model: ModelSpec,
  dense: DenseParameters,
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
    denseTensorShapes(model).map(({ name, shape }) => [
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
  const towerOf = (side: Side): TowerParameters => ({
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

function embeddingName(side: Side, feature: string): string {
  return `${side}.embedding.${feature}`
}
