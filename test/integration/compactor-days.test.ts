import { expect, onTestFinished, test, vi } from 'vitest'
import { DayTurns } from '../../src/cli/day-turns.ts'
import { ReportWatch } from '../../src/cli/report-watch.ts'
import { encodeReport } from '../../src/records/codec.ts'
import type { Report } from '../../src/records/types.ts'
import { fullGenerationId } from '../../src/runtime/full-update/job.ts'
import {
  bootstrapGeneration,
  listGenerations,
  loadManifest,
  writeGeneration,
} from '../../src/runtime/generation/generation.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { compactorRig, generation } from '../support/compactor-rig.ts'
import type { CompactorRig } from '../support/compactor-rig.ts'
import { asOpaque } from '../support/opaque.ts'
import { silentLog } from '../support/own-servers.ts'

const within = { timeout: 30_000, interval: 20 }

/** So many clicks of a day. */
function clicks(day: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) =>
    new Date(Date.parse(`${day}T00:00:00Z`) + i * 60_000).toISOString(),
  )
}

function trained(rig: CompactorRig): Report[] {
  return rig.reports.filter(({ kind }) => kind === 'trained')
}

test('each day becomes a generation of the one before, in their order; a day without examples has none', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 2 })
  const days = ['2026-01-01', '2026-01-02', '2026-01-03']
  const empty = days[1]!
  await rig.items(Array.from({ length: 7 }, (_, i) => `i${i}`))
  await rig.send(0, [...clicks(days[0]!, 40), ...clicks(days[2]!, 40), '2026-01-04T00:00Z'])
  await rig.send(1, [...clicks(days[0]!, 20), { heartbeat: '2026-01-04T00:00Z' }])
  await rig.decide()
  const { metrics } = rig.start()
  const first = fullGenerationId(days[0]!, generation)
  const second = fullGenerationId(days[2]!, first)
  await vi.waitFor(() => expect(rig.document().states).toHaveProperty(second), within)
  expect(rig.document().kept).toEqual([generation, first, second])
  expect(Object.keys(rig.document().cuts)).toEqual(days)
  expect((await rig.archive.readSeal(empty))?.examples).toBe(0)
  const store = openDirectoryStore(rig.config.artifacts.dir)
  const manifest = await loadManifest(store, second)
  expect(manifest).toMatchObject({ parent: first, day: days[2], training: { examples: 40 } })
  expect(manifest.cuts).toEqual({
    examples: rig.document().cuts[days[2]!],
    items: rig.document().catalogueCuts[days[2]!],
  })
  expect(trained(rig)[0]).toMatchObject({
    generation: first,
    body: { day: days[0], parent: generation, verdict: 'ungated' },
  })
  expect(rig.complaints).toEqual([])
  const outcomes = (await metrics.fullUpdates.get()).values
  expect(outcomes).toMatchObject([{ labels: { outcome: 'ungated' }, value: 2 }])
})

test('a generation that nobody has been told of is reported, again until the document knows it, not made anew', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  const takeIn = { cuts: { '2026-01-01': [30] }, catalogueCuts: { '2026-01-01': [0] } }
  await rig.send(0, [...clicks('2026-01-01', 30), '2026-01-02T00:00Z'])
  await rig.control(takeIn)
  const first = rig.start()
  await vi.waitFor(() => expect(trained(rig).length).toBeGreaterThan(1), within)
  await first.stop()
  const store = openDirectoryStore(rig.config.artifacts.dir)
  const id = fullGenerationId('2026-01-01', generation)
  const { createdAt } = await loadManifest(store, id)
  const before = trained(rig).length
  rig.start()
  await vi.waitFor(() => expect(trained(rig).length).toBeGreaterThan(before), within)
  expect(trained(rig).at(-1)).toEqual({ ...trained(rig)[0], atMs: expect.any(Number) as number })
  expect((await loadManifest(store, id)).createdAt).toBe(createdAt)
  await rig.decide()
  await vi.waitFor(() => expect(rig.document().states).toHaveProperty(id), within)
  expect(await listGenerations(store)).toEqual([id, generation])
})

test('the parent is the newest generation that is not rejected', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  const states = { [generation]: 'live', 'full-2026-01-01-deadbeef': 'rejected' } as const
  await rig.control({
    states,
    kept: [generation, 'full-2026-01-01-deadbeef'],
    cuts: { '2026-01-01': [0] },
    catalogueCuts: { '2026-01-01': [0] },
  })
  await rig.decide()
  rig.start()
  await rig.send(0, [...clicks('2026-01-02', 30), '2026-01-03T00:00Z'])
  await vi.waitFor(() => expect(trained(rig)).not.toHaveLength(0), within)
  expect(trained(rig)[0]?.generation).toBe(fullGenerationId('2026-01-02', generation))
})

test('a full update that fails is said and tried again, and archiving goes on', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  await rig.control({ live: 'g0', kept: ['g0'], states: { g0: 'live' } })
  await rig.decide()
  rig.start()
  await rig.send(0, [...clicks('2026-01-01', 30), '2026-01-02T00:00Z'])
  const isFailing = ({ body }: Report) => String(body['failing']).includes('2026-01-01')
  await vi.waitFor(() => expect(rig.reports.some(isFailing)).toBe(true), within)
  expect(rig.complaints).toContain('the day cannot be trained, trying again')
  await rig.send(0, ['2026-01-03T00:00Z'])
  await vi.waitFor(() => expect(rig.document().cuts).toHaveProperty('2026-01-02'), within)
  const store = openDirectoryStore(rig.config.artifacts.dir)
  const { seed, engine: _, ...model } = rig.config.model
  await writeGeneration(store, bootstrapGeneration('g0', model, seed, 0))
  const ids = [fullGenerationId('2026-01-01', 'g0')]
  ids.push(fullGenerationId('2026-01-02', ids[0]!))
  await vi.waitFor(() => expect(Object.keys(rig.document().states)).toEqual(['g0', ...ids]), within)
})

/** A replay does not wait for the generation of the day, once the learner has come to its end. */
async function replayPasses(rig: CompactorRig, day: string, live: string): Promise<void> {
  const { config, kafka, topics } = rig
  const reports = await ReportWatch.open(kafka, topics.reports, silentLog)
  const turns = await DayTurns.open({ config, kafka, topics, log: silentLog }, reports)
  onTestFinished(() => turns.close())
  onTestFinished(() => reports.close())
  const ended = turns.dayEnded(day, new AbortController().signal)
  const learnedThrough = [{ offset: 30, eventTimeMs: Date.parse(day) + 24 * 3_600_000 }]
  const body = { lineages: [{ generation: live, learnedThrough }] }
  const about = { role: 'learner', instance: 'learner', kind: 'learned', generation: live }
  const value = encodeReport({ ...about, atMs: Date.now(), body })
  await rig.producer.send([
    { topic: topics.reports, key: 'learner', value, timestampMs: Date.now() },
  ])
  expect(await ended).toMatchObject({ day, live, cut: [30] })
}

test('of a generation whose rows are frozen no full update is made, once and without an error; the days wait for another one', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  const store = openDirectoryStore(rig.config.artifacts.dir)
  const { seed, engine: _, ...model } = rig.config.model
  const start = bootstrapGeneration('frozen', model, seed, 0)
  const opaque = asOpaque(start.model, start.dense, { user: 'frozen', item: 'frozen' })
  await writeGeneration(store, { ...start, ...opaque, kind: 'imported' })
  await rig.control({ live: 'frozen', kept: ['frozen'], states: { frozen: 'live' } })
  await rig.decide()
  const { metrics } = rig.start()
  await rig.send(0, [...clicks('2026-01-01', 30), '2026-01-02T00:00Z'])
  const isWaiting = ({ body }: Report) =>
    body['waiting'] === 'for another parent than frozen, which is frozen'
  await vi.waitFor(() => expect(rig.reports.some(isWaiting)).toBe(true), within)
  await replayPasses(rig, '2026-01-01', 'frozen')
  await rig.send(0, ['2026-01-03T00:00Z'])
  const sealed = async () => expect(await rig.archive.readSeal('2026-01-02')).not.toBeNull()
  await vi.waitFor(sealed, within)
  expect(rig.complaints).toEqual(['the days wait for a generation that can be trained'])
  expect((await metrics.fullUpdates.get()).values).toEqual([])
  await rig.control({
    ...{ live: generation, kept: ['frozen', generation] },
    states: { frozen: 'retired', [generation]: 'live' },
  })
  const ids = [fullGenerationId('2026-01-01', generation)]
  ids.push(fullGenerationId('2026-01-02', ids[0]!))
  await vi.waitFor(() => expect(rig.document().states).toHaveProperty(ids[1]!), within)
  expect(rig.complaints).toHaveLength(1)
  const before = rig.reports.length
  await vi.waitFor(() => expect(rig.reports.length).toBeGreaterThan(before), within)
  expect(isWaiting(rig.reports.at(-1)!)).toBe(false)
})
