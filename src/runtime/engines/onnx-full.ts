import './no-telemetry.ts'
import { Tensor } from 'onnxruntime-node'
import type { FullStepInput, FullStepOutput, FullTensorModel } from '../../model/engine.ts'
import type { Loss } from '../../model/loss.ts'
import { fullStepGraph, fullVectorStepGraph } from '../../model/onnx-graph.ts'
import { gradientName, parameterName } from '../../model/onnx-tower.ts'
import type { DenseParameters, ModelSpec, Side, TrainedTower } from '../../model/spec.ts'
import { featureWidth, isOpaque, sides, trainedTensors } from '../../model/spec.ts'
import { openOpaqueStep } from './onnx-opaque.ts'
import { floats, matrix } from './onnx-tensors.ts'
import type { GraphResults, GraphSession, OpenGraph } from './onnx-tensors.ts'
import { SessionsByLoss } from './sessions-by-loss.ts'

const none = new Float32Array(0)

/** The step that trains everything; the parameters go in with each call. With an opaque tower it trains ID rows. */
export function openFullModel(
  model: ModelSpec,
  dense: DenseParameters,
  open: OpenGraph,
): FullTensorModel {
  const steps = new SessionsByLoss((loss) => openStep(model, dense, loss, open))
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

function openStep(
  model: ModelSpec,
  dense: DenseParameters,
  loss: Loss,
  open: OpenGraph,
): Promise<GraphSession> {
  if (!isOpaque(model)) return open(fullStepGraph(model, loss))
  const inputs = { user: 'user', item: 'item' } as const
  const between = fullVectorStepGraph(model, loss)
  return openOpaqueStep({ inputs, gradients: 'RowGradients', between }, model, dense, open)
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
  if (isOpaque(model)) return feeds
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
    featureWidth(model[side]) > 0 && !isOpaque(model)
      ? floats(results, `${side}FeatureGradients`)
      : none
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
  const trained = isOpaque(model) ? [] : trainedTensors(model, side)
  const tensors = trained.map(
    ({ name }) => [name, floats(results, gradientName(side, name))] as const,
  )
  return { tensors: Object.fromEntries(tensors), embeddings: {} }
}
