import { GraphBuilder, integer } from './onnx-builder.ts'
import type { Loss } from './loss.ts'
import { TowerBuilder } from './onnx-tower.ts'
import type { DenseParameters, ModelSpec, Side } from './spec.ts'
import { featureWidth } from './spec.ts'

/** Names of the step's inputs and outputs are those of StepInput and StepOutput. */
export const stepOutputs = [
  'losses',
  'positiveScores',
  'userGradients',
  'positiveGradients',
  'negativeGradients',
] as const

/** Tower forward: `rows` [n x d] and, if the side has any, `features` [n x F] -> `vectors` [n x o], of length 1. */
export function towerGraph(model: ModelSpec, dense: DenseParameters, side: Side): Uint8Array {
  const { graphs } = dense[side]
  if (graphs !== undefined) return graphs.forward
  const graph = new GraphBuilder()
  const { vectors } = towerIn(graph, model, dense, side).forward
  graph.output('vectors', vectors, ['n', model.outputDim])
  return graph.encode(`${side}-tower`)
}

/** The inputs of `towerGraph` and `vectors_gradient` [n x o] -> `rows_gradient` [n x d]; null where rows are frozen. */
export function gradientGraph(
  model: ModelSpec,
  dense: DenseParameters,
  side: Side,
): Uint8Array | null {
  const { graphs } = dense[side]
  if (graphs !== undefined) return graphs.gradient
  const graph = new GraphBuilder()
  const { tower, forward } = towerIn(graph, model, dense, side)
  const gradients = graph.input('vectors_gradient', ['n', model.outputDim])
  graph.output('rows_gradient', tower.backward(forward, gradients), ['n', model.dim])
  return graph.encode(`${side}-tower-gradient`)
}

function towerIn(graph: GraphBuilder, model: ModelSpec, dense: DenseParameters, side: Side) {
  const tower = new TowerBuilder(graph, side, model, dense[side])
  const rows = graph.input('rows', ['n', model.dim])
  const width = featureWidth(model[side])
  const features = width > 0 ? graph.input('features', ['n', width]) : null
  return { tower, forward: tower.forward(rows, features) }
}

/** `queries` [q x o], `vectors` [n x o] -> `scores` [q x n] = queries vectorsᵀ. */
export function scoresGraph({ outputDim }: ModelSpec): Uint8Array {
  const graph = new GraphBuilder()
  const queries = graph.input('queries', ['q', outputDim])
  const vectors = graph.input('vectors', ['n', outputDim])
  graph.output('scores', graph.node('Gemm', [queries, vectors], [integer('transB', 1)]), ['q', 'n'])
  return graph.encode('scores')
}

/**
 * The step of engine.ts with its backward pass written out as plain nodes, down to the ID rows; the dense parameters are constants. The gradient by a
 * cosine is weight / temperature times that of the loss by the logit.
 */
export function stepGraph(model: ModelSpec, dense: DenseParameters, loss: Loss): Uint8Array {
  const graph = new GraphBuilder()
  const user = new TowerBuilder(graph, 'user', model, dense.user)
  const item = new TowerBuilder(graph, 'item', model, dense.item)
  const users = user.forward(...towerInputs(graph, model, 'user', 'user', 'B'))
  const positives = item.forward(...towerInputs(graph, model, 'item', 'positive', 'B'))
  const negatives = item.forward(...towerInputs(graph, model, 'item', 'negative', 'M'))
  const by = stepLoss(graph, model, loss, users.vectors, positives.vectors, negatives.vectors)
  graph.output('userGradients', user.backward(users, by.users), ['B', model.dim])
  graph.output('positiveGradients', item.backward(positives, by.positives), ['B', model.dim])
  graph.output('negativeGradients', item.backward(negatives, by.negatives), ['M', model.dim])
  return graph.encode('step')
}

/** The part of the step between the towers: `userVectors` [B x o] and so on -> losses, positiveScores, and the gradients by these vectors, named alike. */
export function vectorStepGraph(model: ModelSpec, loss: Loss): Uint8Array {
  const graph = new GraphBuilder()
  const vectors = (prefix: string, count: string): string =>
    graph.input(`${prefix}Vectors`, [count, model.outputDim])
  const [users, positives, negatives] = [
    vectors('user', 'B'),
    vectors('positive', 'B'),
    vectors('negative', 'M'),
  ]
  const by = stepLoss(graph, model, loss, users, positives, negatives)
  graph.output('userGradients', by.users, ['B', model.outputDim])
  graph.output('positiveGradients', by.positives, ['B', model.outputDim])
  graph.output('negativeGradients', by.negatives, ['M', model.outputDim])
  return graph.encode('vector-step')
}

/** Puts out losses and scores. @returns gradients by the vectors */
function stepLoss(
  graph: GraphBuilder,
  model: ModelSpec,
  loss: Loss,
  users: string,
  positives: string,
  negatives: string,
) {
  const positiveBias = graph.input('positiveBias', ['B', 1])
  const negativeBias = graph.input('negativeBias', ['B', 'M'])
  const weights = graph.input('weights', ['B', 1])
  const sharpness = graph.scalar(1 / model.temperature)
  const positiveCosine = graph.rowSum(graph.mul(users, positives), model.outputDim)
  const negativeCosine = graph.node('Gemm', [users, negatives], [integer('transB', 1)])
  const own = graph.add(graph.mul(positiveCosine, sharpness), positiveBias)
  const others = graph.add(graph.mul(negativeCosine, sharpness), negativeBias)
  const { losses, byOwn, byOthers } =
    loss.kind === 'listwise'
      ? listwiseLoss(graph, own, others)
      : weightedLoss(graph, loss, own, others, graph.input('negativeWeights', ['B', 'M']))
  const scale = graph.mul(weights, sharpness)
  const byPositive = graph.mul(scale, byOwn)
  const byNegatives = graph.mul(scale, byOthers)
  graph.output('losses', graph.mul(weights, losses), ['B', 1])
  graph.output('positiveScores', positiveCosine, ['B', 1])
  return {
    users: graph.add(
      graph.mul(byPositive, positives),
      graph.node('MatMul', [byNegatives, negatives]),
    ),
    positives: graph.mul(byPositive, users),
    negatives: graph.product(byNegatives, users),
  }
}

interface LossNodes {
  /** [B x 1] */
  readonly losses: string
  /** [B x 1] gradient by the own logit */
  readonly byOwn: string
  /** [B x M] gradient by the others */
  readonly byOthers: string
}

/** @param own [B x 1], and `others` [B x M]: logits */
function listwiseLoss(graph: GraphBuilder, own: string, others: string): LossNodes {
  const logits = graph.node('Concat', [own, others], [integer('axis', 1)])
  // Row-wise operators, not Exp and Div: those work on the whole buffer in lanes, and then a row's last bit depends on its place.
  const [ownLog] = graph.split(graph.node('LogSoftmax', [logits], [integer('axis', 1)]))
  const [ownShare, shares] = graph.split(graph.node('Softmax', [logits], [integer('axis', 1)]))
  return {
    losses: graph.node('Neg', [ownLog]),
    byOwn: graph.sub(ownShare, graph.scalar(1)),
    byOthers: shares,
  }
}

/** @param weights [B x M] of the others */
function weightedLoss(
  graph: GraphBuilder,
  loss: Exclude<Loss, { kind: 'listwise' }>,
  own: string,
  others: string,
  weights: string,
): LossNodes {
  const weighed = (value: string) => graph.mul(weights, value)
  if (loss.kind === 'pointwise') {
    const byOwn = graph.sub(graph.node('Sigmoid', [own]), graph.scalar(1))
    const ofOwn = graph.node('Softplus', [graph.node('Neg', [own])])
    const ofOthers = graph.rowSum(weighed(graph.node('Softplus', [others])))
    const byOthers = weighed(graph.node('Sigmoid', [others]))
    return { losses: graph.add(ofOwn, ofOthers), byOwn, byOthers }
  }
  const difference = graph.sub(others, own)
  const isHinge = loss.form === 'hinge'
  const above = isHinge ? graph.add(difference, graph.scalar(loss.margin)) : difference
  const each = graph.node(isHinge ? 'Relu' : 'Softplus', [above])
  const byOthers = weighed(isHinge ? graph.node('Sign', [each]) : graph.node('Sigmoid', [above]))
  const byOwn = graph.node('Neg', [graph.rowSum(byOthers)])
  return { losses: graph.rowSum(weighed(each)), byOwn, byOthers }
}

/**
 * The full step of engine.ts with its backward pass down to rows, features and every dense parameter, which are inputs here. What touches all B x N logits
 * is what takes the time, so biases, weights and temperature go in before and behind them: `ownBias` [B x 1] is what the own item's bias is above
 * its `itemBias`.
 */
export function fullStepGraph(model: ModelSpec, loss: Loss): Uint8Array {
  const graph = new GraphBuilder()
  const user = new TowerBuilder(graph, 'user', model, null)
  const item = new TowerBuilder(graph, 'item', model, null)
  const users = user.forward(...towerInputs(graph, model, 'user', 'user', 'B'))
  const items = item.forward(...towerInputs(graph, model, 'item', 'item', 'N'))
  const by = fullStepLoss(graph, model, loss, users.vectors, items.vectors)
  graph.output('userVectors', users.vectors, ['B', model.outputDim])
  graph.output('itemVectors', items.vectors, ['N', model.outputDim])
  user.fullBackward(users, by.users, 'user', 'B')
  item.fullBackward(items, by.items, 'item', 'N')
  return graph.encode('full-step')
}

/** The part of the full step between the towers: `userVectors` [B x o] and `itemVectors` [N x o] -> losses, and the gradients by these vectors. */
export function fullVectorStepGraph(model: ModelSpec, loss: Loss): Uint8Array {
  const graph = new GraphBuilder()
  const users = graph.input('userVectors', ['B', model.outputDim])
  const items = graph.input('itemVectors', ['N', model.outputDim])
  const by = fullStepLoss(graph, model, loss, users, items)
  graph.output('userGradients', by.users, ['B', model.outputDim])
  graph.output('itemGradients', by.items, ['N', model.outputDim])
  return graph.encode('full-vector-step')
}

/** Puts out losses. @returns gradients by the vectors */
function fullStepLoss(
  graph: GraphBuilder,
  model: ModelSpec,
  loss: Loss,
  users: string,
  items: string,
) {
  const targets = graph.input('targets', ['B', 1], 'int32')
  const ownBias = graph.input('ownBias', ['B', 1])
  const itemBias = graph.input('itemBias', [1, 'N'])
  const weights = graph.input('weights', ['B', 1])
  const sharpness = graph.scalar(1 / model.temperature)
  const sharp = graph.mul(users, sharpness)
  const logits = graph.node('Gemm', [sharp, items, itemBias], [integer('transB', 1)])
  const own = graph.add(graph.pick(logits, targets), ownBias)
  const { losses, byLogits } =
    loss.kind === 'listwise'
      ? fullListwiseLoss(graph, logits, targets, own)
      : fullWeightedLoss(graph, loss, logits, targets, own)
  const scale = graph.mul(weights, sharpness)

  graph.output('losses', graph.mul(weights, losses), ['B', 1])
  return {
    users: graph.mul(graph.node('MatMul', [byLogits, items]), scale),
    items: graph.product(byLogits, graph.mul(users, scale)),
  }
}

interface FullLossNodes {
  /** [B x 1] */
  readonly losses: string
  /** [B x N] */
  readonly byLogits: string
}

function fullListwiseLoss(
  graph: GraphBuilder,
  logits: string,
  targets: string,
  own: string,
): FullLossNodes {
  const shares = graph.node('Softmax', [graph.replace(logits, targets, own)], [integer('axis', 1)])
  const ownShare = graph.pick(shares, targets)
  // Beyond what a float holds a loss is 87 at most, and stays a number.
  const losses = graph.node('Neg', [
    graph.node('Log', [graph.node('Max', [ownShare, graph.scalar(1e-38)])]),
  ])
  const byLogits = graph.replace(shares, targets, graph.sub(ownShare, graph.scalar(1)))
  return { losses, byLogits }
}

function fullWeightedLoss(
  graph: GraphBuilder,
  loss: Exclude<Loss, { kind: 'listwise' }>,
  logits: string,
  targets: string,
  own: string,
): FullLossNodes {
  const itemWeights = graph.input('itemWeights', [1, 'N'])
  const weights = graph.mul(graph.input('rowWeights', ['B', 1]), itemWeights)
  // The own item is none of the others.
  const none = graph.mul(own, graph.scalar(0))
  const others = graph.replace(weights, targets, none)
  const { losses, byOwn, byOthers } = weightedLoss(graph, loss, own, logits, others)
  return { losses, byLogits: graph.replace(byOthers, targets, byOwn) }
}

function towerInputs(
  graph: GraphBuilder,
  model: ModelSpec,
  side: Side,
  prefix: string,
  count: string,
): [string, string | null] {
  const width = featureWidth(model[side])
  const rows = graph.input(`${prefix}Rows`, [count, model.dim])
  return [rows, width > 0 ? graph.input(`${prefix}Features`, [count, width]) : null]
}
