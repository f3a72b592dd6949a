import type { Lineage } from '../records/reports.ts'
import type { ControlDocument } from '../records/types.ts'

export type LineageRole = 'live' | 'candidate' | 'previous'

export interface WantedLineages {
  readonly roles: ReadonlyMap<string, LineageRole>
  /** When, by the clock, less is wanted although the document is the same; null: never. */
  readonly untilMs: number | null
}

/** The generations that are trained online at this moment. */
export function wantedLineages(
  { live, candidate, previous, liveSinceMs }: ControlDocument,
  nowMs: number,
  rollbackWindowMs: number,
): WantedLineages {
  const roles = new Map<string, LineageRole>()
  const untilMs = liveSinceMs + rollbackWindowMs
  const isPreviousWanted = previous !== null && nowMs < untilMs
  if (isPreviousWanted) roles.set(previous, 'previous')
  if (candidate !== null) roles.set(candidate, 'candidate')
  if (live !== null) roles.set(live, 'live')
  return { roles, untilMs: isPreviousWanted ? untilMs : null }
}

/** Whether `one` has learnt, in every partition, at least as far as `other`. */
export function isAsFarAs(
  one: Pick<Lineage, 'learnedThrough'>,
  other: Pick<Lineage, 'learnedThrough'>,
): boolean {
  const offsets = new Map(one.learnedThrough.map(({ partition, offset }) => [partition, offset]))
  return other.learnedThrough.every(
    ({ partition, offset }) => (offsets.get(partition) ?? 0) >= offset,
  )
}

/** Where online training of a generation begins in the examples topic; null: at the start. */
export function startOf(
  generation: {
    readonly day: string | null
    readonly cuts: { examples: readonly number[] } | null
  },
  { cuts }: Pick<ControlDocument, 'cuts'>,
): readonly number[] | null {
  const ofDay = generation.day === null ? undefined : cuts[generation.day]
  return ofDay ?? generation.cuts?.examples ?? null
}
