import { expect, test } from 'vitest'
import { generationsOf } from '../../../src/console/generation-views.ts'
import { WatchModel } from '../../../src/console/watch-model.ts'
import type { StoredGeneration } from '../../../src/runtime/generation/stored.ts'
import { firstDocument } from '../../../src/streams/controller.ts'
import {
  cutReport,
  follow,
  indexedReport,
  knownOf,
  learnedReport,
  loadedReport,
  nowMs,
  options,
  trainedReport,
} from '../../support/control-world.ts'

const day = '2026-01-05'
const g1 = `full-${day}-0123abcd`

function stored(id: string, parent: string | null): StoredGeneration {
  const manifest = {
    ...({ format: 2, id, parent, kind: parent === null ? 'bootstrap' : 'full' } as const),
    ...{ day: parent === null ? null : day, createdAt: '2026-01-06T00:00:00.000Z', seed: null },
    ...{ cuts: null, training: null, lineage: { steps: 1, examples: 2 } },
    gate:
      parent === null
        ? null
        : {
            ...({ verdict: 'passed', why: 'better' } as const),
            ...{ examples: 9, difference: 0.2, interval: [0.1, 0.3] as [number, number] },
          },
    counts: { users: 3, items: 4, recent: 5 },
  }
  return { id, bytes: 1_000, manifest, frozen: [], problem: null }
}

/** Up to a candidate that is indexed, verified by one pod of two, and behind in one partition. */
function onItsWay(): WatchModel {
  const model = new WatchModel(nowMs)
  const first = firstDocument('g0', nowMs - 60_000)
  model.onDocument(first, nowMs - 60_000)
  const reports = [
    cutReport(day),
    trainedReport(g1, day, { parent: 'g0', verdict: 'ungated' }),
    indexedReport(g1),
    loadedReport(['g0', g1], 'pod-a'),
    loadedReport(['g0'], 'pod-b'),
    learnedReport({ g0: [30, 1_040], [g1]: [30, 40] }),
  ]
  const known = knownOf([])
  let document = first
  reports.forEach((one, i) => {
    const atMs = nowMs + i * 1_000
    model.onReport(one, atMs)
    known.apply(one, nowMs)
    for (const next of follow(document, known)) {
      document = next
      model.onDocument(next, atMs)
    }
  })
  return model
}

test('a candidate has its milestones, its pods and its gate; the newest generation comes first', () => {
  const model = onItsWay()
  const atMs = nowMs + 6_000
  const all = generationsOf([stored('g0', null), stored(g1, 'g0')], model, options, atMs)
  expect(all.generations.map(({ id, standing, parent }) => [id, standing, parent])).toEqual([
    [g1, 'candidate', 'g0'],
    ['g0', 'live', null],
  ])
  const [candidate, live] = all.generations
  const reached = candidate!.milestones.filter(({ isReached }) => isReached)
  expect(reached.map(({ name }) => name).slice(0, 3)).toEqual(['cut', 'trained', 'indexed'])
  expect(reached.map(({ name }) => name)).not.toContain('live')
  expect(reached[0]).toMatchObject({ detail: `end of ${day}` })
  expect(reached[1]!.atMs).toBeGreaterThanOrEqual(nowMs)
  expect(candidate!.pods).toEqual([{ instance: 'pod-a', serves: false }])
  expect(candidate!.gate).toMatchObject({ difference: 0.2, interval: [0.1, 0.3] })
  // A first generation was never on its way.
  expect(live!.milestones).toEqual([])
  expect(all.podsHeard).toBe(2)
})

test('what is live and not in the store is shown, with where to look', () => {
  const { generations } = generationsOf([], onItsWay(), options, nowMs)
  expect(generations.map(({ id }) => id)).toEqual(['g0', g1])
  expect(generations[0]).toMatchObject({ standing: 'live', bytes: null })
  expect(generations[0]!.problem).toContain('artifacts.dir')
})

test('without a control document nothing is claimed about what is live', () => {
  const model = new WatchModel(nowMs)
  const { generations, epoch } = generationsOf([stored('g0', null)], model, options, nowMs)
  expect(epoch).toBeNull()
  expect(generations[0]).toMatchObject({ standing: 'unknown', state: null, milestones: [] })
})
