import type { ClickedItems } from './clicked-items.ts'

/** What a reply says of an item. */
interface Listed {
  readonly itemId: string
  readonly score: number
}

/** Items of a reply that are not among the first `count`: the protocol does not rank them, while pods recall all they know. */
export function unrankedIn(list: readonly Listed[], items: ClickedItems, count: number): string[] {
  const isRanked = (number: number) => number >= 0 && number < count
  return list.flatMap(({ itemId }) => (isRanked(items.numberOf(itemId)) ? [] : [itemId]))
}

/**
 * Rank of an item in a reply, best = 1; of equal scores it gets the middle, as far as the reply shows them. Null: it is not there.
 * @param list best first, nothing in it but what is ranked
 */
export function rankInList(list: readonly Listed[], itemId: string): number | null {
  const own = list.find((each) => each.itemId === itemId)
  if (own === undefined) return null
  const above = list.filter(({ score }) => score > own.score).length
  const equal = list.filter(({ score }) => score === own.score).length
  return 1 + above + (equal - 1) / 2
}
