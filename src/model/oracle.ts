import type {
  FullStepInput,
  FullStepOutput,
  StepInput,
  StepOutput,
  TensorEngine,
  TensorModel,
} from './engine.ts'
import { lossOf } from './loss.ts'
import { dotAt } from './dot.ts'
import { addScaled, dot, OracleTower } from './oracle-tower.ts'
import type { DenseParameters, ModelSpec, Side } from './spec.ts'

/** The tensor engine written out in plain loops and double precision: slow, and what the others are held against. */
export const oracleEngine: TensorEngine = {
  name: 'typescript',
  open: (model, dense) => Promise.resolve(oracleModel(model, dense)),
  openFull: (model, dense) =>
    Promise.resolve({
      step: (input) => Promise.resolve(fullStep(model, dense, input)),
      close: () => Promise.resolve(),
    }),
}

function oracleModel(model: ModelSpec, dense: DenseParameters): TensorModel {
  const towers = towersOf(model, dense)
  const { user, item } = towers
  return {
    vectors: (side, rows, features, count) =>
      Promise.resolve(Float32Array.from(towers[side].forward(rows, features, count).vectors)),
    scores: (queries, queryCount, vectors, count) =>
      Promise.resolve(Float32Array.from(dot(queries, queryCount, vectors, count, model.outputDim))),
    step: (input) => Promise.resolve(step(model, user, item, input)),
    close: () => Promise.resolve(),
  }
}

function step(
  model: ModelSpec,
  user: OracleTower,
  item: OracleTower,
  input: StepInput,
): StepOutput {
  const { batch, negatives } = input
  const { outputDim: dim, temperature } = model
  const users = user.forward(input.userRows, input.userFeatures, batch)
  const positives = item.forward(input.positiveRows, input.positiveFeatures, batch)
  const others = item.forward(input.negativeRows, input.negativeFeatures, negatives)
  const cosines = dot(users.vectors, batch, others.vectors, negatives, dim)
  const logits = new Float64Array(negatives + 1)
  const weights = new Float64Array(negatives + 1)
  const losses = new Float32Array(batch)
  const positiveScores = new Float32Array(batch)
  const userGradients = new Float64Array(batch * dim)
  const positiveGradients = new Float64Array(batch * dim)
  const negativeGradients = new Float64Array(negatives * dim)

  for (let b = 0; b < batch; b++) {
    const cosine = dotAt(users.vectors, b * dim, positives.vectors, b * dim, dim)
    logits[0] = cosine / temperature + input.positiveBias[b]!
    for (let m = 0; m < negatives; m++) {
      logits[m + 1] =
        cosines[b * negatives + m]! / temperature + input.negativeBias[b * negatives + m]!
      weights[m + 1] = input.negativeWeights[b * negatives + m]!
    }
    const weight = input.weights[b]!
    losses[b] = weight * lossOf(input.loss, logits, weights, negatives + 1)
    positiveScores[b] = cosine
    const scale = weight / temperature
    addScaled(userGradients, b * dim, positives.vectors, b * dim, dim, scale * logits[0])
    addScaled(positiveGradients, b * dim, users.vectors, b * dim, dim, scale * logits[0])
    for (let m = 0; m < negatives; m++) {
      addScaled(userGradients, b * dim, others.vectors, m * dim, dim, scale * logits[m + 1]!)
      addScaled(negativeGradients, m * dim, users.vectors, b * dim, dim, scale * logits[m + 1]!)
    }
  }
  return {
    losses,
    positiveScores,
    userGradients: user.backward(users, userGradients, batch),
    positiveGradients: item.backward(positives, positiveGradients, batch),
    negativeGradients: item.backward(others, negativeGradients, negatives),
  }
}

function fullStep(model: ModelSpec, dense: DenseParameters, input: FullStepInput): FullStepOutput {
  const { batch, items: count, targets } = input
  const { outputDim: dim, temperature } = model
  const { user, item } = towersOf(model, dense)
  const users = user.forward(input.userRows, input.userFeatures, batch)
  const items = item.forward(input.itemRows, input.itemFeatures, count)
  const scores = dot(users.vectors, batch, items.vectors, count, dim)
  // The own item first, as the loss wants it.
  const logits = new Float64Array(count)
  const weights = new Float64Array(count)
  const losses = new Float32Array(batch)
  const byUsers = new Float64Array(batch * dim)
  const byItems = new Float64Array(count * dim)
  for (let b = 0; b < batch; b++) {
    const target = targets[b]!
    const itemAt = (place: number) => (place === 0 ? target : place <= target ? place - 1 : place)
    for (let place = 0; place < count; place++) {
      const n = itemAt(place)
      const bias = place === 0 ? input.positiveBias[b]! : input.itemBias[n]!
      logits[place] = scores[b * count + n]! / temperature + bias
      weights[place] = input.rowWeights[b]! * input.itemWeights[n]!
    }
    const weight = input.weights[b]!
    losses[b] = weight * lossOf(input.loss, logits, weights, count)
    const scale = weight / temperature
    for (let place = 0; place < count; place++) {
      const n = itemAt(place)
      addScaled(byUsers, b * dim, items.vectors, n * dim, dim, scale * logits[place]!)
      addScaled(byItems, n * dim, users.vectors, b * dim, dim, scale * logits[place]!)
    }
  }
  const ofUsers = user.fullBackward(users, byUsers, batch)
  const ofItems = item.fullBackward(items, byItems, count)
  return {
    losses,
    userVectors: Float32Array.from(users.vectors),
    itemVectors: Float32Array.from(items.vectors),
    ...{ userRowGradients: ofUsers.rows, userFeatureGradients: ofUsers.features },
    ...{ itemRowGradients: ofItems.rows, itemFeatureGradients: ofItems.features },
    dense: { user: ofUsers.parameters, item: ofItems.parameters },
  }
}

function towersOf(model: ModelSpec, dense: DenseParameters): Record<Side, OracleTower> {
  return {
    user: new OracleTower(model, 'user', dense.user),
    item: new OracleTower(model, 'item', dense.item),
  }
}
