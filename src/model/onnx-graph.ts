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

/** Outputs of the full step besides the gradients of the parameters, by `gradientName`. */
export const fullStepOutputs = [
  'losses',
  'scores',
  'userRowGradients',
  'userFeatureGradients',
  'itemRowGradients',
  'itemFeatureGradients',
] as const

/**
 * The full step of engine.ts with its backward pass down to rows, features and every dense parameter, which are inputs here. `targets` [B x 1] and
 * `places` [1 x N] (0, 1, 2 ...) are floats, exact up to 2^24.
 */
export function fullStepGraph(model: ModelSpec): Uint8Array {
  const graph = new GraphBuilder()
  const user = new TowerBuilder(graph, 'user', model, null)
  const item = new TowerBuilder(graph, 'item', model, null)
  const users = user.forward(...towerInputs(graph, model, 'user', 'user', 'B'))
  const items = item.forward(...towerInputs(graph, model, 'item', 'item', 'N'))
  const targets = graph.input('targets', ['B', 1])
  const places = graph.input('places', [1, 'N'])
  const positiveBias = graph.input('positiveBias', ['B', 1])
  const itemBias = graph.input('itemBias', [1, 'N'])
  const weights = graph.input('weights', ['B', 1])

  const sharpness = graph.scalar(1 / model.temperature)
  const isTarget = graph.node('Equal', [targets, places])
  const cosines = graph.node('Gemm', [users.vectors, items.vectors], [integer('transB', 1)])
  const bias = graph.node('Where', [isTarget, positiveBias, itemBias])
  const logits = graph.add(graph.mul(cosines, sharpness), bias)
  const logShares = graph.node('LogSoftmax', [logits], [integer('axis', 1)])
  const shares = graph.node('Softmax', [logits], [integer('axis', 1)])
  const own = graph.rowSum(graph.node('Where', [isTarget, logShares, graph.scalar(0)]))
  const byLogits = graph.node('Where', [isTarget, graph.sub(shares, graph.scalar(1)), shares])
  const byCosines = graph.mul(byLogits, graph.mul(weights, sharpness))

  graph.output('losses', graph.mul(weights, graph.node('Neg', [own])), ['B', 1])
  graph.output('scores', cosines, ['B', 'N'])
  user.fullBackward(users, graph.node('MatMul', [byCosines, items.vectors]), 'user', 'B')
  const byItems = graph.node('Gemm', [byCosines, users.vectors], [integer('transA', 1)])
  item.fullBackward(items, byItems, 'item', 'N')
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
