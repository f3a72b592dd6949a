import type { ControlDocument } from '../records/types.ts'
import { nextDocument } from './controller-document.ts'
import type { KnownReports, OperatorRequest } from './controller-known.ts'
import type { ControllerOptions } from './controller-progress.ts'

export interface Answer {
  /** What the request changes; null: nothing, because it is refused or there is nothing left to do. */
  readonly document: ControlDocument | null
  readonly isAccepted: boolean
  /** For the operator. A refusal says what to do instead. */
  readonly message: string
}

/**
 * What an operator asks for, or why not. A request names what it acts on, a rollback also the generation that it leaves; so one that comes
 * again, to a controller that has never seen it, finds its work done.
 */
export function answer(
  document: ControlDocument,
  request: OperatorRequest,
  known: KnownReports,
  nowMs: number,
  options: ControllerOptions,
): Answer {
  switch (request.body.action) {
    case 'offer':
      return offer(document, request.generation, options)
    case 'approve':
      return approve(document, request.generation, nowMs, options)
    case 'reject':
      return reject(document, request.generation, options)
    case 'rollback':
      return rollback(document, request, known, nowMs, options)
  }
}

/** Until when the generation before can be made live again; 0: not at all. */
export function rollbackUntilMs(
  { previous, liveSinceMs }: ControlDocument,
  { rollbackWindowMs }: ControllerOptions,
): number {
  return previous === null ? 0 : liveSinceMs + rollbackWindowMs
}

/** What nobody here has trained comes in like what was. */
function offer(document: ControlDocument, generation: string, options: ControllerOptions): Answer {
  const { states, kept, candidate } = document
  const state = states[generation]
  if (state !== undefined) return nothingToDo(`${generation} is known already, it is ${state}`)
  const changes = {
    states: { ...states, [generation]: 'trained' as const },
    kept: [...kept, generation],
  }
  const waits = candidate === null ? '' : `; the candidate ${candidate} comes first`
  const message = `${generation} goes live once it is indexed, loaded and has caught up${waits}`
  return accepted(nextDocument(document, changes, options.keep), message)
}

function approve(
  document: ControlDocument,
  generation: string,
  nowMs: number,
  options: ControllerOptions,
): Answer {
  const { kept, live, previous, states } = document
  if (!kept.includes(generation)) return refused(notKept(document, generation))
  const state = states[generation]!
  if (state === 'retired') {
    return refused(`${generation} has been live and only a rollback would make it live again`)
  }
  if (state !== 'rejected') return nothingToDo(`${generation} is not rejected, it is ${state}`)
  if (live !== null && kept.indexOf(generation) < kept.indexOf(live)) {
    return refused(
      `${generation} is older than the live generation ${live} and would never go live`,
    )
  }
  const isPrevious = generation === previous
  if (isPrevious && nowMs <= rollbackUntilMs(document, options)) {
    return refused(`${generation} still learns online: freshet rollback makes it live at once`)
  }
  const changes = {
    states: { ...states, [generation]: 'trained' as const },
    previous: isPrevious ? null : previous,
  }
  const waits =
    document.candidate === null ? '' : `; the candidate ${document.candidate} comes first`
  const message = `${generation} is approved and goes live once it has caught up${waits}`
  return accepted(nextDocument(document, changes, options.keep), message)
}

function reject(document: ControlDocument, generation: string, options: ControllerOptions): Answer {
  const { kept, live, previous, states, candidate } = document
  if (!kept.includes(generation)) return refused(notKept(document, generation))
  if (generation === live) {
    const instead =
      previous === null ? 'and there is none before it' : 'go back with freshet rollback'
    return refused(`${generation} is live: ${instead}`)
  }
  const state = states[generation]!
  if (state === 'rejected') return nothingToDo(`${generation} is rejected already`)
  if (state === 'retired') {
    return refused(`${generation} has been live and only a rollback would make it live again`)
  }
  const changes = {
    states: { ...states, [generation]: 'rejected' as const },
    candidate: candidate === generation ? null : candidate,
  }
  const message = `${generation} is rejected; freshet approve ${generation} takes it back`
  return accepted(nextDocument(document, changes, options.keep), message)
}

function rollback(
  document: ControlDocument,
  request: OperatorRequest,
  known: KnownReports,
  nowMs: number,
  options: ControllerOptions,
): Answer {
  const { previous } = document
  const live = document.live ?? ''
  const { generation } = request
  const from = request.body.live
  if (from !== live) {
    if (previous === from && (generation === '' || generation === live)) {
      return nothingToDo(`${live} is live again instead of ${from}`)
    }
    return refused(
      `${live} is live by now instead of ${from}: look at freshet status, and ask again`,
    )
  }
  if (generation !== '' && generation === live) return nothingToDo(`${live} is live already`)
  const problem = rollbackProblem(document, request, known, nowMs, options)
  return problem === null ? rolledBack(document, nowMs, options) : refused(problem)
}

function rollbackProblem(
  document: ControlDocument,
  request: OperatorRequest,
  known: KnownReports,
  nowMs: number,
  options: ControllerOptions,
): string | null {
  const { live, previous, kept, states } = document
  const isNamed = request.generation !== ''
  const target = isNamed ? request.generation : previous
  if (live === null || previous === null || target === null) {
    return `no previous generation is kept trained; kept: ${kept.join(', ')}`
  }
  if (target !== previous) {
    return `only the previous generation ${previous} is kept trained, not ${target}; kept: ${kept.join(', ')}`
  }
  if (!isNamed && states[previous] === 'rejected') {
    return `${previous} is what was rolled back from; freshet rollback --to ${previous} takes that back`
  }
  const untilMs = rollbackUntilMs(document, options)
  if (nowMs > untilMs) {
    const until = new Date(untilMs).toISOString()
    return `${previous} is no longer kept trained: generations.rollbackWindowMs was over at ${until}`
  }
  const learners = known.learners(nowMs).filter(({ isSilent }) => !isSilent)
  // With every learner away, a rollback may be what is needed.
  if (learners.length > 0 && known.lineage(previous, nowMs) === null) {
    return `the learner does not train ${previous} at the moment`
  }
  return null
}

/** What was trained after the generation that is left was trained from it, and is not to follow it. */
function rolledBack(document: ControlDocument, nowMs: number, options: ControllerOptions): Answer {
  const { live, previous, kept, states } = document
  const left = live!
  const target = previous!
  const suspects = kept
    .slice(kept.indexOf(left) + 1)
    .filter((generation) => generation !== target && states[generation] !== 'rejected')
  const rejected = Object.fromEntries(
    [left, ...suspects].map((generation) => [generation, 'rejected' as const]),
  )
  const changes = {
    ...{ live: target, previous: left, candidate: null, liveSinceMs: nowMs },
    states: { ...states, ...rejected, [target]: 'live' as const },
  }
  const also = suspects.length === 0 ? '' : ` with ${suspects.join(', ')}, trained from it`
  const message = `${target} is live again; ${left} is rejected${also}`
  return accepted(nextDocument(document, changes, options.keep), message)
}

function notKept({ kept }: ControlDocument, generation: string): string {
  return `there is no generation ${generation}; kept: ${kept.join(', ')}`
}

function accepted(document: ControlDocument, message: string): Answer {
  return { document, isAccepted: true, message }
}

function nothingToDo(message: string): Answer {
  return { document: null, isAccepted: true, message }
}

function refused(message: string): Answer {
  return { document: null, isAccepted: false, message }
}
