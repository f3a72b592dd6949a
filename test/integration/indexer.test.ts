import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { decodeSnapshotRecord } from '../../src/records/snapshot-codec.ts'
import type { Report, SnapshotManifest } from '../../src/records/types.ts'
import { dim, eventually, randomGeneration, recallRig } from '../support/recall-rig.ts'
import type { RecallRig } from '../support/recall-rig.ts'
import { randomFrom, unitVector } from '../support/vectors.ts'

/** Every manifest that is in the topic, also those of revisions that were taken away since. */
async function manifestsIn({ kafka, topics }: RecallRig): Promise<SnapshotManifest[]> {
  const manifests: SnapshotManifest[] = []
  const [end] = await kafka.offsets(topics.snapshots)
  const partition = { topic: topics.snapshots, partition: 0 }
  await kafka.readRange(partition, end!.low, end!.high, ({ records }) => {
    for (const { value } of records) {
      const record = value === null ? null : decodeSnapshotRecord(value)
      if (record?.kind === 'manifest') manifests.push(record)
    }
  })
  return manifests
}

function indexedOf(generation: string): (report: Report) => boolean {
  return (report) => report.kind === 'indexed' && report.generation === generation
}

async function indexed(rig: RecallRig, generation: string): Promise<Report | undefined> {
  const reports = await eventually(rig.reports, (all) => all.some(indexedOf(generation)), 20_000)
  return reports.find(indexedOf(generation))
}

test('the live generation and the candidate are indexed at once, and said to be for as long as it matters', async () => {
  const rig = await recallRig(onTestFinished)
  await rig.write(randomGeneration('g1', 'a-', 300))
  await rig.write(randomGeneration('g2', 'b-', 200))
  const stop = await rig.startIndexer()
  await rig.control({ live: 'g1', states: { g1: 'live' } })
  expect((await indexed(rig, 'g1'))?.body).toEqual({ revision: 1, items: 300, recall: 1 })
  await rig.startPod()
  expect(await rig.client.recall({ userId: 'u', k: 5 })).toMatchObject({ generation: 'g1' })

  await rig.control({ epoch: 2, live: 'g1', candidate: 'g2', states: { g2: 'trained' } })
  expect((await indexed(rig, 'g2'))?.body).toEqual({ revision: 1, items: 200, recall: 1 })
  const repeated = await eventually(rig.reports, (all) => all.filter(indexedOf('g2')).length > 2)
  expect(repeated.filter(indexedOf('g2')).length).toBeGreaterThan(2)

  // A restarted one finds what is there.
  await stop()
  const before = (await rig.reports()).length
  await rig.startIndexer({ instance: 'restarted' })
  await eventually(rig.reports, (all) => all.slice(before).some(indexedOf('g2')))
  expect((await manifestsIn(rig)).map(({ generation }) => generation)).toEqual(['g1', 'g2'])
})

test('a large catalogue is searched through a graph that was measured first', async () => {
  const rig = await recallRig(onTestFinished)
  await rig.write(randomGeneration('g1', 'a-', 3_000))
  await rig.startIndexer({ index: { engine: 'hnswlib', recallMin: 0.9 } })
  await rig.control({ live: 'g1' })
  const recall = (await indexed(rig, 'g1'))?.body['recall'] as number
  expect(recall).toBeGreaterThan(0.9)
  const [manifest] = await manifestsIn(rig)
  expect(manifest).toMatchObject({ engine: 'hnswlib', items: 3_000, recall })
  expect(manifest!.parts.map(({ part }) => part)).toEqual(['model', 'item-ids-0', 'index'])
  await rig.startPod()
  const { items } = await rig.client.recall({ userId: 'u', k: 100 })
  expect(new Set(items.map(({ itemId }) => itemId)).size).toBe(100)
  const excluded = items.slice(0, 50).map(({ itemId }) => itemId)
  const rest = await rig.client.recall({ userId: 'u', k: 50, exclude: excluded })
  expect(
    rest.items.filter(({ itemId }) => items.some((each) => each.itemId === itemId)).length,
  ).toBeGreaterThan(45)
})

test('an index that finds too little is not announced, and the others go on', async () => {
  const rig = await recallRig(onTestFinished)
  await rig.write(randomGeneration('g1', 'a-', 3_000))
  await rig.write(randomGeneration('small', 'b-', 20))
  await rig.startIndexer({
    index: {
      engine: 'auto',
      exactItemsMax: 100,
      m: 2,
      efConstruction: 2,
      efSearch: 1,
      recallMin: 1,
    },
  })
  await rig.control({ live: 'small', candidate: 'g1' })
  await eventually(() => rig.errors.includes('cannot index generation g1'), Boolean, 20_000)
  expect(rig.errors).toEqual(['cannot index generation g1'])
  expect((await manifestsIn(rig)).map(({ generation }) => generation)).toEqual(['small'])
})

test('a generation that is not in the store is said to be so, and indexed when it comes', async () => {
  const rig = await recallRig(onTestFinished)
  await rig.startIndexer()
  await rig.control({ live: 'g1' })
  await eventually(() => rig.errors.includes('cannot index generation g1'), Boolean)
  await rig.write(randomGeneration('g1', 'a-', 20))
  expect((await indexed(rig, 'g1'))?.body).toMatchObject({ items: 20 })
})

test('of two indexers one is active; the other stands by and takes over', async () => {
  const rig = await recallRig(onTestFinished)
  await rig.write(randomGeneration('g1', 'a-', 20))
  await rig.write(randomGeneration('g2', 'b-', 20))
  await rig.control({ live: 'g1' })
  await rig.startIndexer({ instance: 'first', silentMs: 5_000 })
  await indexed(rig, 'g1')
  const stopSecond = await rig.startIndexer({ instance: 'second', silentMs: 5_000 })
  const instances = async () =>
    (await rig.reports()).filter(({ role }) => role === 'indexer').map(({ instance }) => instance)
  const isSecond = (instance: string) => instance === 'second'
  const all = await eventually(instances, (found) => found.filter(isSecond).length >= 3)
  expect(all.slice(all.findIndex(isSecond)).every(isSecond)).toBe(true)
  await stopSecond()
  await rig.control({ epoch: 2, live: 'g1', candidate: 'g2' })
  expect((await indexed(rig, 'g2'))?.instance).toBe('first')
  expect((await manifestsIn(rig)).map(({ generation }) => generation)).toEqual(['g1', 'g2'])
})

test('too many overrides go into the next revision, which pods take without a break', async () => {
  const rig = await recallRig(onTestFinished)
  await rig.write(randomGeneration('g1', 'a-', 50))
  await rig.startIndexer({ index: { overridesMax: 3 } })
  await rig.control({ live: 'g1', kept: ['g1'] })
  await indexed(rig, 'g1')
  await rig.startPod()
  const random = randomFrom(3)
  const some = (...ids: string[]) =>
    Object.fromEntries(ids.map((id) => [id, unitVector(dim, random)]))
  const ask = () => rig.client.recall({ userId: 'u', k: 100 })
  await rig.overrides({ generation: 'g1', sequence: 1, vectors: some('a-0', 'a-1', 'new') })
  await eventually(ask, ({ overrideSequence }) => overrideSequence === 1)
  expect(await manifestsIn(rig)).toHaveLength(1)
  await rig.overrides({ generation: 'g1', sequence: 2, vectors: { ...some('a-0'), 'a-2': null } })
  const before = await eventually(ask, ({ overrideSequence }) => overrideSequence === 2)
  await eventually(rig.reports, (all) =>
    all.some(({ kind, body }) => kind === 'loaded' && body['revision'] === 2),
  )
  expect(await ask()).toMatchObject({ overrideSequence: 2, items: before.items })
  const manifests = await manifestsIn(rig)
  expect(manifests.at(-1)).toMatchObject({ revision: 2, items: 50, overrideSequence: 2 })

  // Both pods, the one that starts from the revision and the one that swapped it in, say the same.
  await rig.overrides({ generation: 'g1', sequence: 3, vectors: some('a-3') })
  await eventually(ask, ({ overrideSequence }) => overrideSequence === 3)
  const old = await ask()
  await rig.startPod()
  for (let i = 0; i < 20; i++) expect((await ask()).items).toEqual(old.items)
})

test('snapshots of generations that are no longer kept leave the topic', async () => {
  const rig = await recallRig(onTestFinished)
  await rig.write(randomGeneration('g1', 'a-', 20))
  await rig.write(randomGeneration('g2', 'b-', 20))
  await rig.startIndexer({ index: { inlineBytesMax: 1_000 } })
  await rig.control({ live: 'g1', candidate: 'g2', kept: ['g1', 'g2'] })
  await indexed(rig, 'g2')
  const folders = () => fs.readdir(path.join(rig.artifactsDir, 'snapshots'))
  expect(await folders()).toEqual(['g1', 'g2'])
  // Not too large for a pod.
  await rig.startPod()
  expect((await rig.client.recall({ userId: 'u', k: 30 })).items).toHaveLength(20)
  expect((await manifestsIn(rig))[0]).toMatchObject({ reference: 'snapshots/g1/1' })

  await rig.control({ epoch: 2, live: 'g2', kept: ['g2'] })
  expect(await eventually(folders, (names) => names.length === 1)).toEqual(['g2'])
  const tombstones = async () => {
    const keys: string[] = []
    const [end] = await rig.kafka.offsets(rig.topics.snapshots)
    const partition = { topic: rig.topics.snapshots, partition: 0 }
    await rig.kafka.readRange(partition, end!.low, end!.high, ({ records }) => {
      for (const { key, value } of records) if (value === null) keys.push(String(key))
    })
    return keys
  }
  expect(await eventually(tombstones, (keys) => keys.length > 0)).toEqual(['g1/1/manifest'])
})
