import { expect, onTestFinished, test } from 'vitest'
import { eventually, randomGeneration, recallRig } from '../support/recall-rig.ts'

test('a candidate that is trained is served from the topic alone, in a moment', async () => {
  const rig = await recallRig(onTestFinished)
  await rig.write(randomGeneration('g1', 'a-', 5_000))
  await rig.write(randomGeneration('g2', 'b-', 5_000))
  await rig.startIndexer()
  await rig.control({ live: 'g1', states: { g1: 'live' } })
  await rig.startPod()
  const ask = () => rig.client.recall({ userId: 'u', k: 5 })
  const first = await eventually(ask, ({ generation }) => generation === 'g1')
  expect(first.generation).toBe('g1')

  const startedMs = Date.now()
  const candidate = { live: 'g1', candidate: 'g2', states: { g1: 'live', g2: 'trained' } } as const
  await rig.control({ epoch: 2, ...candidate })
  const reports = await eventually(rig.reports, (all) =>
    all.some(({ body }) => (body['verified'] as string[] | undefined)?.includes('g2') === true),
  )
  const indexed = reports.find((report) => report.kind === 'indexed' && report.generation === 'g2')
  expect(indexed?.body).toEqual({ revision: 1, items: 5_000, recall: 1 })
  const loaded = reports.find(
    ({ kind, body }) => kind === 'loaded' && (body['verified'] as string[]).includes('g2'),
  )
  console.log(
    'indexed after',
    indexed!.atMs - startedMs,
    'verified after',
    loaded!.atMs - startedMs,
  )
  expect(loaded?.generation).toBe('g1')
})
