import { invariant } from '../errors.ts'
import type { ControlDocument, GenerationState } from '../records/types.ts'

/** Every way from one state to another; `none`: not in the document yet. */
export const moves: Readonly<Record<GenerationState | 'none', readonly GenerationState[]>> = {
  none: ['trained', 'rejected'],
  // To retired: it was passed over for a newer one.
  trained: ['indexed', 'loaded', 'caught-up', 'rejected', 'retired'],
  indexed: ['loaded', 'caught-up', 'rejected'],
  // Back: a pod that had verified it has gone. To live: without catching up.
  loaded: ['indexed', 'caught-up', 'live', 'rejected'],
  'caught-up': ['indexed', 'loaded', 'live', 'rejected'],
  // To rejected: a rollback.
  live: ['retired', 'rejected'],
  // To live: a rollback.
  retired: ['live'],
  // To trained: an operator has approved it. To live: a rollback is taken back.
  rejected: ['trained', 'live'],
}

/** The document after `before`, with what follows from the changes: who stays, and what becomes of who does not. */
export function nextDocument(
  before: ControlDocument,
  changes: Partial<Omit<ControlDocument, 'epoch'>>,
  keep: number,
): ControlDocument {
  const changed = { ...before, ...changes, epoch: before.epoch + 1 }
  const kept = keptOf(changed, keep)
  const next = { ...changed, kept, states: statesOf(changed, kept) }
  checkMoves(before, next)
  return next
}

/** The newest that is neither rejected nor gone: what the next full update starts from. */
export function newestUsable({ kept, states }: ControlDocument): string | null {
  return kept.findLast((generation) => states[generation] !== 'rejected') ?? null
}

/** Live, candidate, previous and the parent of the next one stay whatever `keep` says; then the newest. */
function keptOf(document: ControlDocument, keep: number): readonly string[] {
  const { live, candidate, previous } = document
  const needed = new Set(
    [live, candidate, previous, newestUsable(document)].filter((id) => id !== null),
  )
  const others = document.kept.filter((generation) => !needed.has(generation))
  for (const generation of others.reverse()) if (needed.size < keep) needed.add(generation)
  return document.kept.filter((generation) => needed.has(generation))
}

/** A generation that was forgotten could be reported as trained, and come back. */
function statesOf({ states }: ControlDocument, kept: readonly string[]): ControlDocument['states'] {
  return Object.fromEntries(
    Object.entries(states).map(([generation, state]): [string, GenerationState] => [
      generation,
      kept.includes(generation) || state === 'rejected' ? state : 'retired',
    ]),
  )
}

function checkMoves(before: ControlDocument, next: ControlDocument): void {
  for (const [generation, state] of Object.entries(next.states)) {
    const from = before.states[generation] ?? 'none'
    invariant(
      from === state || moves[from].includes(state),
      `generation ${generation} cannot go from ${from} to ${state}`,
    )
  }
  for (const generation of [next.live, next.candidate, next.previous]) {
    invariant(
      generation === null || next.kept.includes(generation),
      `generation ${String(generation)} is named by the document and not kept`,
    )
  }
}
