import type { ControlDocument, GenerationState } from '../records/types.ts'
import { frozenNote } from '../runtime/generation/files.ts'
import type { StoredGeneration } from '../runtime/generation/stored.ts'
import { progressOf, type ControllerOptions } from '../streams/controller-progress.ts'
import type { Generations, GenerationView, Milestone, Standing } from './api.ts'
import { indexText, type WatchModel } from './watch-model.ts'

/** Newest first: what is stored, and what the control document names without its being there. */
export function generationsOf(
  stored: readonly StoredGeneration[],
  model: WatchModel,
  options: ControllerOptions,
  nowMs: number,
): Generations {
  const { document, controlling, known } = model
  const pods = known.pods(nowMs).filter(({ isSilent }) => !isSilent)
  const named = document === null ? [] : [document.live, document.candidate, document.previous]
  const missing = named
    .filter((id) => id !== null && stored.every((one) => one.id !== id))
    .map((id) => ({
      ...{ id: id!, bytes: 0, manifest: null, frozen: [] },
      problem: 'not in the artifact store that this process sees (artifacts.dir)',
    }))
  const { training } = known
  return {
    atMs: nowMs,
    epoch: document?.epoch ?? null,
    generations: [...missing, ...stored.toReversed()].map((one) => ({
      ...viewOf(one, model),
      pods: pods
        .filter(({ body }) => body.verified.includes(one.id))
        .map(({ instance, body }) => ({ instance, serves: body.serves === one.id })),
      milestones: milestonesOf(one.id, model, options, nowMs),
    })),
    waitsFor: controlling?.waitsFor ?? [],
    rollbackUntilMs:
      controlling === null || controlling.rollbackUntilMs === 0
        ? null
        : controlling.rollbackUntilMs,
    podsHeard: pods.length,
    training:
      training === null || (document !== null && training.generation in document.states)
        ? null
        : training,
  }
}

export function standingOf(id: string, document: ControlDocument | null): Standing {
  if (document === null) return 'unknown'
  if (id === document.live) return 'live'
  if (id === document.candidate) return 'candidate'
  if (document.states[id] === 'rejected') return 'rejected'
  if (id === document.previous) return 'previous'
  return document.kept.includes(id) ? 'kept' : 'unknown'
}

function viewOf(
  { id, bytes, manifest, frozen, problem }: StoredGeneration,
  { document, known }: WatchModel,
): Omit<GenerationView, 'pods' | 'milestones'> {
  return {
    ...{ id, standing: standingOf(id, document), state: document?.states[id] ?? null },
    problem: problem ?? frozenNote(frozen),
    kind: manifest?.kind ?? null,
    parent: manifest?.parent ?? null,
    day: manifest?.day ?? null,
    createdAtMs: manifest === null ? null : Date.parse(manifest.createdAt),
    bytes: bytes === 0 ? null : bytes,
    users: manifest?.counts.users ?? null,
    items: manifest?.counts.items ?? null,
    training: manifest?.training ?? null,
    gate: manifest?.gate ?? null,
    index: known.indexed(id),
  }
}

/** Of the candidate and of what is live; others are not on their way. */
function milestonesOf(
  id: string,
  model: WatchModel,
  options: ControllerOptions,
  nowMs: number,
): Milestone[] {
  const { document, known } = model
  const day = model.dayOf(id)
  if (document === null || day === null) return []
  if (id !== document.live && id !== document.candidate) return []
  const progress =
    id === document.candidate ? progressOf(id, document, known, nowMs, options) : null
  const indexed = known.indexed(id)
  const trained = known.trained.find(({ generation }) => generation === id)
  const isLive = id === document.live
  const milestone = (
    name: Milestone['name'],
    states: readonly GenerationState[],
    isReached: boolean,
    detail: string,
  ): Milestone => {
    const atMs = timeOf(model, id, states)
    return { name, atMs, detail, isReached: isLive || isReached || atMs !== null }
  }
  const verified = progress?.pods.filter((pod) => pod.hasVerified && !pod.isSilent).length ?? 0
  const caughtUp = progress?.partitions.filter((partition) => partition.isCaughtUp).length ?? 0
  return [
    { name: 'cut', atMs: model.cutAtMs(day), isReached: true, detail: `end of ${day}` },
    milestone('trained', ['trained'], true, trained?.verdict ?? ''),
    milestone(
      'indexed',
      ['indexed', 'loaded', 'caught-up', 'live'],
      progress?.isIndexed ?? false,
      indexed === null ? '' : indexText(indexed),
    ),
    milestone(
      'loaded',
      ['loaded', 'caught-up', 'live'],
      progress?.isLoaded ?? false,
      progress === null
        ? ''
        : `verified by ${verified} of ${progress.pods.length} pods, ${options.readyPods} needed`,
    ),
    milestone(
      'caught up',
      ['caught-up', 'live'],
      progress?.isCaughtUp ?? false,
      progress === null
        ? ''
        : `${caughtUp} of ${progress.partitions.length} partitions${progress.hasRows ? '' : '; rows not all in the online store'}`,
    ),
    milestone('live', ['live'], false, ''),
  ]
}

/** A milestone may be passed together with a later one. */
function timeOf(model: WatchModel, id: string, states: readonly GenerationState[]): number | null {
  const reached = model.reached(id)
  const state = states.find((one) => reached.has(one))
  return state === undefined ? null : reached.get(state)!
}
