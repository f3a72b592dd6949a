/** Whether a reply of recall comes from one generation, seen from outside: from its scores and from what that generation has published. */

export interface CheckedReply {
  readonly items: readonly { readonly itemId: string; readonly score: number }[]
}

/** Scores are float32 sums in another order than ours. */
const tolerance = 1e-5

/**
 * @param users [d] each: vectors that the user may have had in this generation when it was asked
 * @param vectorsOf every vector [d] that the generation has had for an item
 * @returns null where one user vector explains every score; else the items whose score the best one does not explain
 */
export function unexplained(
  { items }: CheckedReply,
  users: readonly Float32Array[],
  vectorsOf: (itemId: string) => readonly Float32Array[],
): readonly string[] | null {
  let fewest: readonly string[] | null = items.map(({ itemId }) => itemId)
  for (const user of users) {
    const missing = items.filter(({ itemId, score }) => {
      return !vectorsOf(itemId).some((vector) => Math.abs(dot(user, vector) - score) <= tolerance)
    })
    if (missing.length === 0) return null
    if (missing.length < fewest.length) fewest = missing.map(({ itemId }) => itemId)
  }
  return fewest
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}
