import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { ask } from '../../src/cli/operate.ts'
import { decodeReport, encodeControlDocument } from '../../src/records/codec.ts'
import type { ControlDocument, Report } from '../../src/records/types.ts'
import { watchControl } from '../../src/runtime/control.ts'
import {
  cutReport,
  indexedReport,
  learnedReport,
  loadedReport,
  trainedReport,
} from '../support/control-world.ts'
import { controllerRig, within } from '../support/controller-rig.ts'
import { silentLog } from '../support/own-servers.ts'

const days = ['2026-01-05', '2026-01-06', '2026-01-07', '2026-01-08'] as const

/** A controller, its documents as they come, and folders for the generations that the reports speak of. */
async function world(settings: Record<string, unknown> = {}) {
  const rig = await controllerRig(settings)
  const documents: ControlDocument[] = []
  const controller = await rig.start('a')
  const watch = await watchControl(rig.kafka, rig.topics.control, silentLog, (document) => {
    documents.push(document)
  })
  onTestFinished(() => watch.close())
  // The coordinator answers a commit before it writes the marker that readers wait for.
  await vi.waitFor(() => expect(documents).not.toHaveLength(0), within)
  const newest = () => documents.at(-1)!
  const bootstrap = newest().live!
  /** The new documents once one of them is as wanted. */
  const until = async (isWanted: (document: ControlDocument) => boolean) => {
    await vi.waitFor(() => expect(isWanted(newest())).toBe(true), within)
    return newest()
  }
  const make = (id: string) =>
    rig.artifacts.put(`generations/${id}/manifest.json`, [Buffer.from('{}')])
  /** From the end of a day to its generation being live. */
  const turn = async (i: number, parent: string): Promise<string> => {
    const generation = `g${i}`
    await make(generation)
    await rig.send(cutReport(days[i]!, [10 * i, 10 * i]))
    await rig.send(trainedReport(generation, days[i]!, { parent }), indexedReport(generation))
    await rig.send(loadedReport([parent, generation]))
    await rig.send(learnedReport({ [parent]: [99, 99], [generation]: [99, 99] }))
    await until(({ live }) => live === generation)
    return generation
  }
  const operate = (action: 'approve' | 'reject' | 'rollback', generation = '') =>
    ask({ ...rig, log: silentLog }, action, generation, 10_000)
  return { ...rig, controller, documents, newest, bootstrap, until, make, turn, operate }
}

test('a day goes from its cut to the switch, a document for each report', async () => {
  const { send, until, bootstrap, topics, documents, kafka } = await world()
  const reports: Report[] = []
  const tail = await kafka.tail({
    topics: [topics.reports],
    from: 'latest',
    onBatch: ({ records }) => {
      for (const { value } of records) reports.push(decodeReport(value!))
    },
  })
  onTestFinished(() => tail.close())

  await send(cutReport(days[0], [10, 20], [3, 4]))
  const cut = await until(({ cuts }) => days[0] in cuts)
  expect(cut).toMatchObject({ epoch: 2, cuts: { [days[0]]: [10, 20] } })
  expect(cut.catalogueCuts).toEqual({ [days[0]]: [3, 4] })

  await send(trainedReport('g1', days[0], { parent: bootstrap }))
  expect(await until(({ candidate }) => candidate === 'g1')).toMatchObject({
    ...{ live: bootstrap, kept: [bootstrap, 'g1'], states: { g1: 'trained' } },
  })
  await send(indexedReport('g1'))
  await until(({ states }) => states['g1'] === 'indexed')
  await send(loadedReport([bootstrap, 'g1']))
  await until(({ states }) => states['g1'] === 'loaded')
  await vi.waitFor(() => {
    const said = reports.findLast(({ kind }) => kind === 'controlling')
    expect(said?.body['waitsFor']).toEqual(['no learner has been heard of'])
  }, within)
  await send(learnedReport({ [bootstrap]: [10, 20], g1: [10, 19] }))
  await send(learnedReport({ [bootstrap]: [10, 20], g1: [10, 20] }))
  const last = await until(({ live }) => live === 'g1')
  expect(last).toMatchObject({
    ...{ previous: bootstrap, candidate: null, epoch: documents.length },
    states: { g1: 'live', [bootstrap]: 'retired' },
  })
  expect(documents.map(({ epoch }) => epoch)).toEqual(documents.map((_, i) => i + 1))
  expect(documents.map(({ states }) => states['g1'])).toEqual([
    ...[undefined, undefined, 'trained', 'trained', 'indexed', 'loaded', 'caught-up', 'live'],
  ])
})

test('a rollback is answered with its document, and what cannot be done with the reason', async () => {
  const { turn, operate, bootstrap, documents, newest, make, send, until } = await world()
  const none = await operate('rollback')
  expect(none.isAccepted).toBe(false)
  expect(none.message).toContain(`no previous generation is kept trained; kept: ${bootstrap}`)

  const live = await turn(0, bootstrap)
  const before = documents.length
  expect(await operate('rollback')).toEqual({
    isAccepted: true,
    message: `${bootstrap} is live again; ${live} is rejected`,
  })
  await until((document) => document.live === bootstrap)
  expect(documents.slice(before)).toEqual([
    expect.objectContaining({ live: bootstrap, previous: live, candidate: null }),
  ])
  expect(newest().states[live]).toBe('rejected')

  const forward = await operate('approve', live)
  expect(forward).toMatchObject({ isAccepted: false })
  expect(await operate('reject', bootstrap)).toMatchObject({ isAccepted: false })
  await make('bad')
  await send(cutReport(days[1], [10, 10]))
  await send(trainedReport('bad', days[1], { verdict: 'failed' }))
  await until(({ states }) => states['bad'] === 'rejected')
  expect(await operate('approve', 'bad')).toMatchObject({ isAccepted: true })
  await until(({ candidate }) => candidate === 'bad')
  expect(await operate('reject', 'bad')).toMatchObject({ isAccepted: true })
  await until(({ candidate, states }) => candidate === null && states['bad'] === 'rejected')
})

test('a controller that takes over goes on where the one before was, and only one writes', async () => {
  const { turn, start, send, bootstrap, documents, operate, until, controller } = await world()
  const live = await turn(0, bootstrap)
  await send(cutReport(days[1], [20, 20]))
  await send(trainedReport('g1', days[1], { parent: live }))
  await until(({ candidate }) => candidate === 'g1')
  const candidateAge = async () => (await controller.metrics.candidateAge.get()).values[0]!.value
  await vi.waitFor(async () => expect(await candidateAge()).toBeGreaterThan(0), within)
  const second = await start('b', { silentMs: 2_500 })
  await vi.waitFor(() => {
    expect(controller.messages).toContain('another controller has taken over: standing by')
  }, within)
  expect(await candidateAge()).toBe(0)
  // Reports that both hear; the one that stands by must not act on them.
  await send(indexedReport('g1'), loadedReport([live, 'g1']))
  await send(learnedReport({ [live]: [30, 30], g1: [30, 30] }))
  await until((document) => document.live === 'g1')
  expect(await operate('rollback')).toMatchObject({ isAccepted: true })
  await vi.waitFor(async () => {
    const [liveSince] = (await second.metrics.liveSince.get()).values
    expect(liveSince!.value).toBe(documents.at(-1)!.liveSinceMs / 1_000)
  }, within)
  expect(second.messages.filter((message) => message.startsWith('accepted'))).toHaveLength(1)
  expect(controller.messages.filter((message) => message.startsWith('accepted'))).toHaveLength(0)
  expect(documents.map(({ epoch }) => epoch)).toEqual(documents.map((_, i) => i + 1))
})

test('generations beyond keep leave the store after the document, and nothing else does', async () => {
  const { turn, bootstrap, artifacts, until, make } = await world({ generations: { keep: 2 } })
  await make('of-somebody-else')
  const first = await turn(0, bootstrap)
  const second = await turn(1, first)
  await until(({ kept }) => !kept.includes(bootstrap))
  const third = await turn(2, second)
  await until(({ kept }) => !kept.includes(first))
  await vi.waitFor(async () => {
    const left = await artifacts.list('generations')
    expect([...left].sort()).toEqual([second, third, 'of-somebody-else'].sort())
  }, within)
})

test('what a controller could not remove before it ended, the next one does', async () => {
  const rig = await controllerRig({ generations: { keep: 1 } })
  const { artifacts, dir, kafka, topics } = rig
  const broken = {
    ...artifacts,
    // Between the manifest and the rest, as a kill would leave it.
    remove: async (name: string) => {
      if (!name.endsWith('manifest.json')) throw new Error('killed')
      await artifacts.remove(name)
    },
  }
  for (const id of ['old', 'g0', 'g1', 'stranger']) {
    for (const file of ['manifest.json', 'dense.safetensors']) {
      await artifacts.put(`generations/${id}/${file}`, [Buffer.from('{}')])
    }
  }
  const document: ControlDocument = {
    ...{ epoch: 5, live: 'g1', candidate: null, previous: 'g0', kept: ['g0', 'g1'] },
    ...{ cuts: {}, catalogueCuts: {}, liveSinceMs: 1 },
    states: { old: 'retired', g0: 'retired', g1: 'live' },
  }
  const producer = await kafka.producer()
  onTestFinished(() => producer.close())
  const value = encodeControlDocument(document)
  await producer.send([{ topic: topics.control, key: 'control', value, timestampMs: 1 }])

  const first = await rig.start('a', { artifacts: broken })
  await vi.waitFor(() => {
    expect(first.messages).toContainEqual(expect.stringContaining('cannot be removed'))
  }, within)
  await first.stop()
  expect(await fs.readdir(path.join(dir, 'generations', 'old'))).toEqual(['dense.safetensors'])
  await rig.start('b')
  await vi.waitFor(async () => {
    expect(await artifacts.list('generations')).toEqual(['g0', 'g1', 'stranger'])
  }, within)
})

test('a report that does not hold what it should is passed over, and said once', async () => {
  const { send, controller, until } = await world()
  const bad = { ...cutReport(days[0]), body: { day: 'yesterday' } }
  await send(bad, bad, cutReport(days[0]))
  await until(({ cuts }) => days[0] in cuts)
  expect(controller.messages.filter((message) => message.includes('passed over'))).toHaveLength(1)
})
