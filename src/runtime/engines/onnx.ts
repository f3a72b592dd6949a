import './no-telemetry.ts'
import { InferenceSession } from 'onnxruntime-node'
import type { Tensor } from 'onnxruntime-node'
import type { StepInput, StepOutput, TensorEngine, TensorModel } from '../../model/engine.ts'
import {
  scoresGraph,
  stepGraph,
  stepOutputs,
  towerGraph,
  vectorStepGraph,
} from '../../model/onnx-graph.ts'
import type { Loss } from '../../model/loss.ts'
import type { DenseParameters, ModelSpec, Side } from '../../model/spec.ts'
import { featureWidth, isOpaque } from '../../model/spec.ts'
import { openFullModel } from './onnx-full.ts'
import { openOpaqueStep } from './onnx-opaque.ts'
import { floats, matrix, sessionOptions } from './onnx-tensors.ts'
import type { GraphResults, GraphSession, OnnxOptions, OpenGraph } from './onnx-tensors.ts'
import { SessionsByLoss } from './sessions-by-loss.ts'

/** onnxruntime on the CPU, running the graphs of model/onnx-graph.ts. */
export function onnxEngine(options: OnnxOptions): TensorEngine {
  return steppedBy('onnx', openIn(options), options)
}

/** Vectors and scores by onnxruntime, and steps by whatever opens their graphs; through opaque towers by onnxruntime too. */
export function steppedBy(name: string, openStep: OpenGraph, options: OnnxOptions): TensorEngine {
  const open = openIn(options)
  const stepOf = (model: ModelSpec): OpenGraph => (isOpaque(model) ? open : openStep)
  return {
    name,
    open: (model, dense) => openModel(model, dense, open, stepOf(model)),
    openFull: (model, dense) => Promise.resolve(openFullModel(model, dense, stepOf(model))),
  }
}

function openIn(options: OnnxOptions): OpenGraph {
  return (graph) => InferenceSession.create(graph, sessionOptions(options))
}

async function openModel(
  model: ModelSpec,
  dense: DenseParameters,
  open: OpenGraph,
  openStep: OpenGraph,
): Promise<TensorModel> {
  const towers: Record<Side, GraphSession> = {
    user: await open(towerGraph(model, dense, 'user')),
    item: await open(towerGraph(model, dense, 'item')),
  }
  const scores = await open(scoresGraph(model))
  const steps = new SessionsByLoss((loss) => openStepOf(model, dense, loss, openStep))
  return {
    async vectors(side, rows, features, count) {
      const width = featureWidth(model[side])
      const feeds: Record<string, Tensor> = { rows: matrix(rows, count, model.dim) }
      if (width > 0) feeds['features'] = matrix(features, count, width)
      return floats(await towers[side].run(feeds), 'vectors')
    },
    async scores(queries, queryCount, vectors, count) {
      const feeds = {
        queries: matrix(queries, queryCount, model.outputDim),
        vectors: matrix(vectors, count, model.outputDim),
      }
      return floats(await scores.run(feeds), 'scores')
    },
    async step(input) {
      // All outputs are fetched: asking for some of them has returned values under the wrong name (onnxruntime #26865).
      return stepOutput(await (await steps.of(input.loss)).run(stepFeeds(model, input)))
    },
    async close() {
      for (const session of [towers.user, towers.item, scores]) await session.release()
      await steps.release()
    },
  }
}

function openStepOf(
  model: ModelSpec,
  dense: DenseParameters,
  loss: Loss,
  open: OpenGraph,
): Promise<GraphSession> {
  if (!isOpaque(model)) return open(stepGraph(model, dense, loss))
  const inputs = { user: 'user', positive: 'item', negative: 'item' } as const
  const between = vectorStepGraph(model, loss)
  return openOpaqueStep({ inputs, gradients: 'Gradients', between }, model, dense, open)
}

function stepFeeds(model: ModelSpec, input: StepInput): Record<string, Tensor> {
  const { batch, negatives } = input
  const { dim } = model
  const userWidth = featureWidth(model.user)
  const itemWidth = featureWidth(model.item)
  const feeds: Record<string, Tensor> = {
    userRows: matrix(input.userRows, batch, dim),
    positiveRows: matrix(input.positiveRows, batch, dim),
    negativeRows: matrix(input.negativeRows, negatives, dim),
    positiveBias: matrix(input.positiveBias, batch, 1),
    negativeBias: matrix(input.negativeBias, batch, negatives),
    weights: matrix(input.weights, batch, 1),
  }
  if (input.loss.kind !== 'listwise') {
    feeds['negativeWeights'] = matrix(input.negativeWeights, batch, negatives)
  }
  if (userWidth > 0) feeds['userFeatures'] = matrix(input.userFeatures, batch, userWidth)
  if (itemWidth > 0) {
    feeds['positiveFeatures'] = matrix(input.positiveFeatures, batch, itemWidth)
    feeds['negativeFeatures'] = matrix(input.negativeFeatures, negatives, itemWidth)
  }
  return feeds
}

function stepOutput(results: GraphResults): StepOutput {
  const [losses, positiveScores, userGradients, positiveGradients, negativeGradients] =
    stepOutputs.map((name) => floats(results, name)) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ]
  return { losses, positiveScores, userGradients, positiveGradients, negativeGradients }
}
