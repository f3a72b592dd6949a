import type { ControlDocument, GenerationState } from '../records/types.ts'

/** What one document changes, for people. */
export interface Change {
  readonly kind: 'cut' | 'state' | 'candidate' | 'switch' | 'rollback' | 'let go'
  /** Empty for a cut. */
  readonly generation: string
  readonly message: string
}

export function changesBetween(before: ControlDocument | null, after: ControlDocument): Change[] {
  return [
    ...cuts(before, after),
    ...stateMoves(before, after),
    ...candidate(before, after),
    ...liveChange(before, after),
    ...lettings(before, after),
  ]
}

function cuts(before: ControlDocument | null, after: ControlDocument): Change[] {
  const fixed = Object.keys(before?.cuts ?? {})
    .sort()
    .at(-1)
  const days = Object.keys(after.cuts).sort()
  return days
    .filter((day) => before === null || !(day in before.cuts))
    .map((day) => {
      const earlier = after.cuts[fixed ?? ''] ?? []
      const examples = after.cuts[day]!.reduce((sum, end, i) => sum + end - (earlier[i] ?? 0), 0)
      const message = `day ${day} is over: ${examples} records of examples in it`
      return { kind: 'cut', generation: '', message }
    })
}

/** Live and retired are told by the switch. */
const told = {
  trained: 'is trained',
  indexed: 'is indexed: its snapshot is on the topic',
  loaded: 'is loaded: enough pods have verified it',
  'caught-up': 'has caught up with the live generation',
  rejected: 'is rejected',
  live: null,
  retired: null,
} as const satisfies Record<GenerationState, string | null>

function stateMoves(before: ControlDocument | null, after: ControlDocument): Change[] {
  return Object.entries(after.states).flatMap(([generation, state]): Change[] => {
    const from = before?.states[generation]
    const text = from === 'rejected' && state === 'trained' ? 'is approved' : told[state]
    if (from === state || text === null) return []
    return [{ kind: 'state', generation, message: `${generation} ${text}` }]
  })
}

function candidate(before: ControlDocument | null, after: ControlDocument): Change[] {
  const generation = after.candidate
  if (generation === null || generation === before?.candidate) return []
  return [{ kind: 'candidate', generation, message: `${generation} is the candidate` }]
}

function liveChange(before: ControlDocument | null, after: ControlDocument): Change[] {
  const generation = after.live
  if (generation === null || generation === before?.live) return []
  const isRollback = generation === before?.previous && generation !== before.candidate
  const from = before?.live
  const instead = from === null || from === undefined ? '' : ` instead of ${from}`
  const message = `${generation} is live${instead}${isRollback ? ' (rollback)' : ''}`
  return [{ kind: isRollback ? 'rollback' : 'switch', generation, message }]
}

function lettings(before: ControlDocument | null, after: ControlDocument): Change[] {
  return (before?.kept ?? [])
    .filter((generation) => !after.kept.includes(generation))
    .map((generation) => ({
      ...{ kind: 'let go', generation, message: `${generation} is no longer kept` },
    }))
}
