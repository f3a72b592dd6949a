import type { Click, DeadLetter, Example, Impression } from '../records/types.ts'

/** A record, and where it lies. */
export interface Located<T> {
  readonly partition: number
  readonly offset: number
  /** The record's timestamp: the arrival of what it comes from. */
  readonly arrivedMs: number
  readonly record: T
}

/** A click or an impression that the joiner refused. */
export interface RefusedEvent {
  readonly letter: Pick<DeadLetter, 'code' | 'message'>
  readonly event: Click | Impression
}

/** What is known of a user's events, oldest first. */
export interface UserEvents {
  readonly impressions: readonly Located<Impression>[]
  readonly clicks: readonly Located<Click>[]
  readonly examples: readonly Located<Example>[]
  readonly refused: readonly RefusedEvent[]
}

/** How far the row of a user has come in one generation. */
export interface RowReach {
  /** Offset of the newest example that it has learnt online; -1: none; null: there is no row. */
  readonly rowOffset: number | null
  /** First offset of the partition that the full update behind the generation has not learnt; 0 without one. */
  readonly trainedOffset: number
}

/** Where a click has got to. */
export type ClickFate =
  | { readonly kind: 'learnt'; readonly offset: number }
  /** Not part of the row yet. */
  | { readonly kind: 'joined'; readonly offset: number }
  /** Of an item of a page that counts once. */
  | { readonly kind: 'repeated' }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  /** Its impression is there, what became of the two is not. */
  | { readonly kind: 'undecided' }
  | { readonly kind: 'waiting for its impression' }

export interface ExplainedClick {
  readonly click: Click
  readonly fate: ClickFate
}

/** What became of each click, newest first. */
export function explainClicks(
  { impressions, clicks, examples, refused }: UserEvents,
  { rowOffset, trainedOffset }: RowReach,
): ExplainedClick[] {
  const keyOf = ({ requestId, itemId }: { requestId: string; itemId: string }): string =>
    JSON.stringify([requestId, itemId])
  const offsets = new Map(examples.map(({ offset, record }) => [keyOf(record), offset]))
  const pages = new Set(impressions.map(({ record }) => record.requestId))
  const letters = new Map(
    refused.flatMap(({ event, letter }) =>
      event.kind === 'click' ? [[keyOf(event), letter] as const] : [],
    ),
  )
  const seen = new Set<string>()
  const explained = clicks.map(({ record: click }): ExplainedClick => {
    const key = keyOf(click)
    const isFirst = !seen.has(key)
    seen.add(key)
    const offset = offsets.get(key)
    if (offset !== undefined) {
      if (!isFirst) return { click, fate: { kind: 'repeated' } }
      const isLearnt = rowOffset !== null && (offset <= rowOffset || offset < trainedOffset)
      return { click, fate: { kind: isLearnt ? 'learnt' : 'joined', offset } }
    }
    const letter = letters.get(key)
    if (letter !== undefined) return { click, fate: { kind: 'refused', ...letter } }
    const hasPage = pages.has(click.requestId)
    return { click, fate: { kind: hasPage ? 'undecided' : 'waiting for its impression' } }
  })
  return explained.reverse()
}

/** What is known of an item in the generation that answers. */
export interface ItemFacts {
  readonly isInCatalogue: boolean
  readonly isWithdrawn: boolean
  /** Whether the user clicked it among the last ones, which recall leaves out. */
  readonly isRecentClick: boolean
  /** Place in the reply, from 1; null: it is not there. */
  readonly place: number | null
  /** Length of the reply. */
  readonly asked: number
  /** Score and exact rank among all items that can be recalled; null: it has no vector. `unknown`: the generation's files are not here. */
  readonly standing: { readonly score: number; readonly rank: number } | 'unknown' | null
}

/** Why an item is where it is, in one sentence. */
export function explainItem(facts: ItemFacts): string {
  const { isInCatalogue, isWithdrawn, isRecentClick, place, asked, standing } = facts
  if (place !== null) return `it is at place ${place} of the reply`
  if (isWithdrawn) return 'the catalogue has withdrawn it'
  if (isRecentClick) {
    return 'it is left out because the user clicked it recently (recall.excludeRecentClicks)'
  }
  if (standing === 'unknown') {
    return `it is not among the first ${asked}; the generation's files are not in artifacts.dir, so its rank cannot be computed here`
  }
  if (standing === null) {
    return isInCatalogue
      ? 'it has no vector yet: the learner publishes one within moments of reading it from the items topic. Is the learner running? freshet status'
      : 'nobody knows it: it is not in the catalogue, and has not been clicked often enough to be admitted (learner.admitAfterItems)'
  }
  const { rank } = standing
  return rank <= asked
    ? `its exact rank is ${rank}, but the index did not find it: raise index.efSearch if that happens often (freshet_ann_recall_ratio)`
    : `${rank - 1} items are closer to the user; the reply has the first ${asked}`
}
