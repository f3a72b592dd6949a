import { expect, onTestFinished, test, vi } from 'vitest'
import { compactorRig, daysOfArchive, daysOfLog } from '../support/compactor-rig.ts'

const within = { timeout: 20_000, interval: 20 }

test('a day is cut where the last partition has passed its end, and is in the archive as it is in the log', async () => {
  const rig = await compactorRig(onTestFinished)
  await rig.items(['i1', 'i2'])
  rig.start()
  await rig.send(0, ['2026-01-01T10:00Z', '2026-01-01T11:00Z', '2026-01-02T00:00Z'])
  await rig.send(1, ['2026-01-01T12:00Z', { heartbeat: '2026-01-03T00:00Z' }])
  await rig.send(2, ['2026-01-01T13:00Z'])
  await vi.waitFor(() => expect(rig.reports.length).toBeGreaterThan(0), within)
  expect(rig.cuts()).toEqual([])
  await rig.send(2, ['2026-01-02T00:00Z', '2026-01-01T14:00Z'])
  await vi.waitFor(() => expect(rig.cuts()).toHaveLength(1), within)
  const ends = (await rig.kafka.offsets(rig.topics.items)).map(({ high }) => high)
  expect(rig.cuts()).toEqual([{ day: '2026-01-01', examples: [2, 1, 1], items: ends }])
  await rig.decideCuts()
  await vi.waitFor(
    async () => expect(await rig.archive.readSeal('2026-01-01')).not.toBeNull(),
    within,
  )
  const days = await daysOfLog(rig, rig.document().cuts)
  expect(days['2026-01-01']?.examples).toBe(4)
  expect(await daysOfArchive(rig, ['2026-01-01'])).toEqual(days)
  const catalogue = await rig.archive.readCatalogue('2026-01-01')
  expect(catalogue.map(({ itemId }) => itemId)).toEqual(['i1', 'i2'])
})
