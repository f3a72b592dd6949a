import { dotAt } from '../model/dot.ts'
import type { RecallReply } from '../records/types.ts'

/** What a generation has published, as somebody outside its pods knows it. */
export interface PublishedGeneration {
  /**
   * @param offset of the newest example in the row that was used, as the reply says it; null: the default row
   * @returns vector [o] of the user; null where that row is no longer to be had
   */
  userAt(offset: number | null): Promise<Float32Array | null>
  /** Every vector [o] that it has had for an item. */
  vectorsOf(itemId: string): readonly Float32Array[]
}

export type ReplyCheck =
  | { readonly outcome: 'explained' }
  /** The row is gone: nothing can be said. */
  | { readonly outcome: 'unknown row' }
  | { readonly outcome: 'mixed'; readonly items: readonly string[] }

/** Scores are float32 sums in another order than ours. */
const tolerance = 1e-5

/** Whether a reply comes from the one generation that it names: its scores must be those of the row and the vectors of that one. */
export async function checkReply(
  { items, userOffset }: Pick<RecallReply, 'items' | 'userOffset'>,
  { userAt, vectorsOf }: PublishedGeneration,
): Promise<ReplyCheck> {
  const user = await userAt(userOffset)
  if (user === null) return { outcome: 'unknown row' }
  const unexplained = items.filter(({ itemId, score }) => {
    return !vectorsOf(itemId).some(
      (vector) => Math.abs(dotAt(user, 0, vector, 0, user.length) - score) <= tolerance,
    )
  })
  if (unexplained.length === 0) return { outcome: 'explained' }
  return { outcome: 'mixed', items: unexplained.map(({ itemId }) => itemId) }
}
