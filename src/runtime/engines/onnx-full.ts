import './no-telemetry.ts'
import { Tensor } from 'onnxruntime-node'
import type { FullStepInput, FullStepOutput, FullTensorModel } from '../../model/engine.ts'
import { fullStepGraph } from '../../model/onnx-graph.ts'
import { gradientName, parameterName } from '../../model/onnx-tower.ts'
import type { DenseParameters, ModelSpec, Side, TrainedTower } from '../../model/spec.ts'
import { featureWidth, trainedTensors } from '../../model/spec.ts'
import { floats, matrix } from './onnx-tensors.ts'
import type { GraphResults, OpenGraph } from './onnx-tensors.ts'
import { SessionsByLoss } from './sessions-by-loss.ts'

const sides: readonly Side[] = ['user', 'item']
const none = new Float32Array(0)

/** The step that trains everything; the parameters go in with each call. */
export function openFullModel(
  model: ModelSpec,
  dense: DenseParameters,
  open: OpenGraph,
): FullTensorModel {
  const steps = new SessionsByLoss((loss) => open(fullStepGraph(model, loss)))
  let ownBias = new Float32Array(0)
  return {
    async step(input) {
      if (ownBias.length < input.batch) ownBias = new Float32Array(input.batch)
      for (let b = 0; b < input.batch; b++) {
        ownBias[b] = input.positiveBias[b]! - input.itemBias[input.targets[b]!]!
      }
      const feeds = { ...inputsOf(model, input, ownBias), ...parametersOf(model, dense) }
      // All outputs are fetched: asking for some of them has returned values under the wrong name (onnxruntime #26865).
      return outputOf(model, await (await steps.of(input.loss)).run(feeds))
    },
    close: () => steps.release(),
  }
}

function inputsOf(
  model: ModelSpec,
  input: FullStepInput,
  ownBias: Float32Array,
): Record<string, Tensor> {
  const { batch, items } = input
  const [userWidth, itemWidth] = [featureWidth(model.user), featureWidth(model.item)]
  const feeds: Record<string, Tensor> = {
    userRows: matrix(input.userRows, batch, model.dim),
    itemRows: matrix(input.itemRows, items, model.dim),
    targets: new Tensor('int32', input.targets.subarray(0, batch), [batch, 1]),
    ownBias: matrix(ownBias, batch, 1),
    itemBias: matrix(input.itemBias, 1, items),
    weights: matrix(input.weights, batch, 1),
  }
  if (input.loss.kind !== 'listwise') {
    feeds['itemWeights'] = matrix(input.itemWeights, 1, items)
    feeds['rowWeights'] = matrix(input.rowWeights, batch, 1)
  }
  if (userWidth > 0) feeds['userFeatures'] = matrix(input.userFeatures, batch, userWidth)
  if (itemWidth > 0) feeds['itemFeatures'] = matrix(input.itemFeatures, items, itemWidth)
  return feeds
}

function parametersOf(model: ModelSpec, dense: DenseParameters): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {}
  for (const side of sides) {
    for (const { name, shape } of trainedTensors(model, side)) {
      const [rows, columns] = shape as [number, number?]
      feeds[parameterName(side, name)] = matrix(dense[side].tensors[name]!, rows, columns)
    }
  }
  return feeds
}

function outputOf(model: ModelSpec, results: GraphResults): FullStepOutput {
  const featuresOf = (side: Side) =>
    featureWidth(model[side]) > 0 ? floats(results, `${side}FeatureGradients`) : none
  return {
    losses: floats(results, 'losses'),
    userVectors: floats(results, 'userVectors'),
    itemVectors: floats(results, 'itemVectors'),
    userRowGradients: floats(results, 'userRowGradients'),
    userFeatureGradients: featuresOf('user'),
    itemRowGradients: floats(results, 'itemRowGradients'),
    itemFeatureGradients: featuresOf('item'),
    dense: { user: gradientsOf(model, results, 'user'), item: gradientsOf(model, results, 'item') },
  }
}

function gradientsOf(model: ModelSpec, results: GraphResults, side: Side): TrainedTower {
  const tensors = trainedTensors(model, side).map(
    ({ name }) => [name, floats(results, gradientName(side, name))] as const,
  )
  return { tensors: Object.fromEntries(tensors), embeddings: {} }
}
