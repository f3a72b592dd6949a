import { encodeFeatures } from '../../model/features.ts'
import { rankOf } from '../../model/evaluation.ts'
import { featureWidth } from '../../model/spec.ts'
import type { Case } from './cases.ts'
import type { ServingView } from './serving-view.ts'

/** Floats of scores at a time. */
const scoresMax = 1 << 22

/**
 * Ranks of the cases' items among the first `count` items, without those that the user has clicked before; of equal scores the middle.
 * Null: the view cannot recall the item.
 */
export async function ranksIn(
  view: ServingView,
  cases: readonly Case[],
  count: number,
): Promise<(number | null)[]> {
  const ranks: (number | null)[] = []
  const perCall = Math.max(1, Math.floor(scoresMax / Math.max(1, count)))
  for (let from = 0; from < cases.length; from += perCall) {
    ranks.push(...(await ranksOfSome(view, cases.slice(from, from + perCall), count)))
  }
  return ranks
}

async function ranksOfSome(
  view: ServingView,
  cases: readonly Case[],
  count: number,
): Promise<(number | null)[]> {
  const { model, dense, engine } = view.setup
  const { dim, outputDim, user } = model
  const width = featureWidth(user)
  const rows = new Float32Array(cases.length * dim)
  const features = new Float32Array(cases.length * width)
  cases.forEach(({ example }, i) => {
    rows.set(view.rowOf(example.userId), i * dim)
    encodeFeatures(user, dense.user, example.features, features, i * width)
  })
  const queries = await engine.vectors('user', rows, features, cases.length)
  const vectors = view.vectors.subarray(0, count * outputDim)
  const scores = await engine.scores(queries, cases.length, vectors, count)
  return cases.map(({ item, history }, i) => {
    if (item >= count || view.isRecallable[item] !== 1) return null
    const excluded = history.filter((clicked) => clicked < count)
    return rankOf(scores, i * count, count, item, view.isRecallable, excluded)
  })
}
