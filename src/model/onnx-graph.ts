import { GraphBuilder, integer } from './onnx-builder.ts'
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

/** Tower forward: `rows` [n x d] and, if the side has any, `features` [n x F] -> `vectors` [n x d], of length 1. */
export function towerGraph(model: ModelSpec, dense: DenseParameters, side: Side): Uint8Array {
  const graph = new GraphBuilder()
  const tower = new TowerBuilder(graph, side, model, dense[side])
  const rows = graph.input('rows', ['n', model.dim])
  const width = featureWidth(model[side])
  const features = width > 0 ? graph.input('features', ['n', width]) : null
  graph.output('vectors', tower.forward(rows, features).vectors, ['n', model.dim])
  return graph.encode(`${side}-tower`)
}

/** `queries` [q x d], `vectors` [n x d] -> `scores` [q x n] = queries vectorsᵀ. */
export function scoresGraph(dim: number): Uint8Array {
  const graph = new GraphBuilder()
  const queries = graph.input('queries', ['q', dim])
  const vectors = graph.input('vectors', ['n', dim])
  graph.output('scores', graph.node('Gemm', [queries, vectors], [integer('transB', 1)]), ['q', 'n'])
  return graph.encode('scores')
}

/**
 * The listwise step of engine.ts with its backward pass written out as plain nodes, down to the ID rows; the dense parameters are
 * constants. With p the softmax over [positive, negatives], the gradient by a cosine is weight / temperature * (p - is positive).
 */
export function stepGraph(model: ModelSpec, dense: DenseParameters): Uint8Array {
  const graph = new GraphBuilder()
  const user = new TowerBuilder(graph, 'user', model, dense.user)
  const item = new TowerBuilder(graph, 'item', model, dense.item)
  const users = user.forward(...towerInputs(graph, model, 'user', 'user', 'B'))
  const positives = item.forward(...towerInputs(graph, model, 'item', 'positive', 'B'))
  const negatives = item.forward(...towerInputs(graph, model, 'item', 'negative', 'M'))
  const positiveBias = graph.input('positiveBias', ['B', 1])
  const negativeBias = graph.input('negativeBias', ['B', 'M'])
  const weights = graph.input('weights', ['B', 1])

  const sharpness = graph.scalar(1 / model.temperature)
  const positiveCosine = graph.rowSum(graph.mul(users.vectors, positives.vectors))
  const negativeCosine = graph.node(
    'Gemm',
    [users.vectors, negatives.vectors],
    [integer('transB', 1)],
  )
  const logits = graph.node(
    'Concat',
    [
      graph.add(graph.mul(positiveCosine, sharpness), positiveBias),
      graph.add(graph.mul(negativeCosine, sharpness), negativeBias),
    ],
    [integer('axis', 1)],
  )
  // Row-wise operators, not Exp and Div: those work on the whole buffer in lanes, and then a row's last bit depends on its place.
  const [positiveLog] = graph.split(graph.node('LogSoftmax', [logits], [integer('axis', 1)]))
  const [positiveShare, negativeShares] = graph.split(
    graph.node('Softmax', [logits], [integer('axis', 1)]),
  )
  const losses = graph.mul(weights, graph.node('Neg', [positiveLog]))
  const scale = graph.mul(weights, sharpness)
  const byPositive = graph.mul(scale, graph.sub(positiveShare, graph.scalar(1)))
  const byNegatives = graph.mul(scale, negativeShares)
  const byUsers = graph.add(
    graph.mul(byPositive, positives.vectors),
    graph.node('MatMul', [byNegatives, negatives.vectors]),
  )
  const byPositives = graph.mul(byPositive, users.vectors)
  const byOthers = graph.node('Gemm', [byNegatives, users.vectors], [integer('transA', 1)])

  graph.output('losses', losses, ['B', 1])
  graph.output('positiveScores', positiveCosine, ['B', 1])
  graph.output('userGradients', user.backward(users, byUsers), ['B', model.dim])
  graph.output('positiveGradients', item.backward(positives, byPositives), ['B', model.dim])
  graph.output('negativeGradients', item.backward(negatives, byOthers), ['M', model.dim])
  return graph.encode('step')
}

/**
 * The full step of engine.ts with its backward pass down to rows, features and every dense parameter, which are inputs here. What touches all B x N logits
 * is what takes the time, so biases, weights and temperature go in before and behind them: `ownBias` [B x 1] is what the own item's bias is above
 * its `itemBias`.
 */
export function fullStepGraph(model: ModelSpec): Uint8Array {
  const graph = new GraphBuilder()
  const user = new TowerBuilder(graph, 'user', model, null)
  const item = new TowerBuilder(graph, 'item', model, null)
  const users = user.forward(...towerInputs(graph, model, 'user', 'user', 'B'))
  const items = item.forward(...towerInputs(graph, model, 'item', 'item', 'N'))
  const targets = graph.input('targets', ['B', 1], 'int32')
  const ownBias = graph.input('ownBias', ['B', 1])
  const itemBias = graph.input('itemBias', [1, 'N'])
  const weights = graph.input('weights', ['B', 1])

  const sharpness = graph.scalar(1 / model.temperature)
  const sharp = graph.mul(users.vectors, sharpness)
  const others = graph.node('Gemm', [sharp, items.vectors, itemBias], [integer('transB', 1)])
  const own = graph.add(graph.pick(others, targets), ownBias)
  const shares = graph.node('Softmax', [graph.replace(others, targets, own)], [integer('axis', 1)])
  const ownShare = graph.pick(shares, targets)
  // Beyond what a float holds a loss is 87 at most, and stays a number.
  const losses = graph.node('Neg', [
    graph.node('Log', [graph.node('Max', [ownShare, graph.scalar(1e-38)])]),
  ])
  const byLogits = graph.replace(shares, targets, graph.sub(ownShare, graph.scalar(1)))
  const scale = graph.mul(weights, sharpness)

  graph.output('losses', graph.mul(weights, losses), ['B', 1])
  graph.output('userVectors', users.vectors, ['B', model.dim])
  graph.output('itemVectors', items.vectors, ['N', model.dim])
  const byUsers = graph.mul(graph.node('MatMul', [byLogits, items.vectors]), scale)
  user.fullBackward(users, byUsers, 'user', 'B')
  item.fullBackward(items, graph.product(byLogits, graph.mul(users.vectors, scale)), 'item', 'N')
  return graph.encode('full-step')
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
