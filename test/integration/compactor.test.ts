import fs from 'node:fs/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import {
  compactorRig,
  daysOfArchive,
  daysOfLog,
  expectContiguous,
} from '../support/compactor-rig.ts'
import type { Report } from '../../src/records/types.ts'
import type { CompactorRig } from '../support/compactor-rig.ts'

const within = { timeout: 20_000, interval: 20 }
const quickly = { settings: { compactor: { idleMs: 300 } } }

async function untilCut(rig: CompactorRig, count: number): Promise<void> {
  await vi.waitFor(() => expect(rig.cuts().length).toBeGreaterThanOrEqual(count), within)
}

async function untilSealed(rig: CompactorRig, day: string): Promise<void> {
  await vi.waitFor(async () => expect(await rig.archive.readSeal(day)).not.toBeNull(), within)
}

async function untilReported(rig: CompactorRig, count = 1): Promise<void> {
  const from = rig.reports.length
  await vi.waitFor(() => expect(rig.reports.length).toBeGreaterThanOrEqual(from + count), within)
}

/** Every day that is cut is in the archive as it is in the log. */
async function expectArchived(rig: CompactorRig): Promise<void> {
  const { cuts } = rig.document()
  const days = Object.keys(cuts)
  expect(days.length).toBeGreaterThan(0)
  for (const day of days) await untilSealed(rig, day)
  expect(await daysOfArchive(rig, days)).toEqual(await daysOfLog(rig, cuts))
  await expectContiguous(rig)
}

test('a day is cut where the last partition has passed its end, and is in the archive as it is in the log', async () => {
  const rig = await compactorRig(onTestFinished)
  await rig.items(['i1', 'i2'])
  rig.start()
  await rig.send(0, ['2026-01-01T10:00Z', '2026-01-01T11:00Z', '2026-01-02T00:00Z'])
  await rig.send(1, ['2026-01-01T12:00Z', { heartbeat: '2026-01-03T00:00Z' }])
  await rig.send(2, ['2026-01-01T13:00Z'])
  await untilReported(rig)
  expect(rig.cuts()).toEqual([])
  await rig.send(2, ['2026-01-02T00:00Z', '2026-01-01T14:00Z'])
  await untilCut(rig, 1)
  const items = (await rig.kafka.offsets(rig.topics.items)).map(({ high }) => high)
  expect(rig.cuts()).toEqual([{ day: '2026-01-01', examples: [2, 1, 1], items }])
  await rig.items(['i3'])
  await rig.decide()
  await expectArchived(rig)
  expect((await rig.archive.readSeal('2026-01-01'))?.examples).toBe(4)
  const catalogue = await rig.archive.readCatalogue('2026-01-01')
  expect(catalogue.map(({ itemId }) => itemId)).toEqual(['i1', 'i2'])
  // The partition that has jumped a day waits for the others.
  await rig.send(0, ['2026-01-03T00:00Z'])
  await rig.send(2, ['2026-01-04T00:00Z'])
  await untilCut(rig, 2)
  await expectArchived(rig)
  expect(rig.document().cuts['2026-01-02']).toEqual([3, 1, 3])
})

test('a report of a cut is repeated each second until the control document has it', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  rig.start()
  await rig.send(0, ['2026-01-01T10:00Z', '2026-01-05T00:00Z'])
  const said = () => rig.reports.filter(({ kind }) => kind === 'cut').map(({ body }) => body['day'])
  await vi.waitFor(() => expect(said().length).toBeGreaterThanOrEqual(3), within)
  expect(new Set(said())).toEqual(new Set(['2026-01-01']))
  await rig.decide()
  // The days between have nothing in them, and are cut one by one.
  await untilCut(rig, 4)
  expect(rig.cuts().map(({ day, examples }) => [day, examples])).toEqual([
    ['2026-01-01', [1]],
    ['2026-01-02', [1]],
    ['2026-01-03', [1]],
    ['2026-01-04', [1]],
  ])
  await untilReported(rig, 3)
  expect(said().slice(-1)).toEqual(['2026-01-04'])
  await expectArchived(rig)
})

test('a partition that is idle is cut at its end, once all others have passed, also one that never had a record', async () => {
  const rig = await compactorRig(onTestFinished, quickly)
  rig.start()
  await rig.send(1, ['2026-01-01T12:00Z', '2026-01-01T13:00Z'])
  // Nobody has passed the end of a day: being silent ends nothing.
  await untilReported(rig, 2)
  expect(rig.cuts()).toEqual([])
  await rig.decide()
  await rig.send(0, ['2026-01-01T10:00Z', '2026-01-02T00:00Z'])
  await untilCut(rig, 1)
  expect(rig.cuts()[0]).toMatchObject({ day: '2026-01-01', examples: [1, 2, 0] })
  await rig.send(1, ['2026-01-01T14:00Z'])
  await rig.send(0, ['2026-01-03T00:00Z'])
  await untilCut(rig, 2)
  expect(rig.cuts()[1]).toMatchObject({ day: '2026-01-02', examples: [2, 3, 0] })
  await expectArchived(rig)
  expect((await rig.archive.readSeal('2026-01-02'))?.examples).toBe(2)
})

test('what was proposed is proposed again by the next compactor, whatever has come meanwhile', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 2, ...quickly })
  const first = rig.start()
  await rig.send(1, ['2026-01-01T12:00Z'])
  await rig.send(0, ['2026-01-01T10:00Z', '2026-01-02T00:00Z'])
  await untilCut(rig, 1)
  await first.stop()
  await rig.send(1, ['2026-01-01T13:00Z'])
  rig.start({ instance: 'next' })
  const isOfNext = ({ kind, instance }: Report) => kind === 'cut' && instance === 'next'
  await vi.waitFor(() => expect(rig.reports.some(isOfNext)).toBe(true), within)
  expect(rig.cuts()).toMatchObject([{ day: '2026-01-01', examples: [1, 1] }])
  await rig.decide()
  await rig.send(0, ['2026-01-03T00:00Z'])
  await untilCut(rig, 2)
  await expectArchived(rig)
  expect(rig.document().cuts['2026-01-02']).toEqual([2, 2])
})

test('a cut that the control document holds already is kept to, whatever the records say', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  const days = ['01', '01', '02', '02', '03'].map((day) => `2026-01-${day}T12:00Z`)
  await rig.send(0, days)
  const itemsEnd = [0]
  await rig.control({ cuts: { '2026-01-01': [3] }, catalogueCuts: { '2026-01-01': itemsEnd } })
  rig.start()
  await rig.decide()
  await untilCut(rig, 1)
  expect(rig.cuts()).toMatchObject([{ day: '2026-01-02', examples: [4] }])
  await expectArchived(rig)
  expect((await rig.archive.readSeal('2026-01-01'))?.examples).toBe(3)
})

test('a decided cut may lie between records, where the log has the end of a transaction', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1, isTransactional: true })
  for (const time of ['2026-01-01T10:00Z', '2026-01-01T11:00Z', '2026-01-03T00:00Z']) {
    await rig.send(0, [time])
  }
  await rig.control({ cuts: { '2026-01-01': [3] }, catalogueCuts: { '2026-01-01': [0] } })
  rig.start()
  await rig.decide()
  await untilCut(rig, 1)
  expect(rig.cuts()).toMatchObject([{ day: '2026-01-02', examples: [4] }])
  await expectArchived(rig)
  expect((await rig.archive.readSeal('2026-01-01'))?.examples).toBe(2)
})

test('a cut that turns out to be decided elsewhere makes the compactor begin anew behind the archive', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  rig.start()
  await rig.send(0, ['2026-01-01T10:00Z', '2026-01-01T11:00Z', '2026-01-01T12:00Z'])
  const hasRead = ({ body }: Report) => body['day'] === '2026-01-01' && body['lag'] === 0
  await vi.waitFor(() => expect(rig.reports.some(hasRead)).toBe(true), within)
  await rig.control({ cuts: { '2026-01-01': [2] }, catalogueCuts: { '2026-01-01': [0] } })
  await rig.decide()
  await rig.send(0, ['2026-01-03T00:00Z'])
  await untilCut(rig, 1)
  expect(rig.cuts()).toMatchObject([{ day: '2026-01-02', examples: [3] }])
  await expectArchived(rig)
  expect(rig.complaints).toContain('the compactor begins anew where the archive ends')
})

test('what cannot be read is passed over and counted, and moves no day', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  const poison = Buffer.from('no record')
  const { metrics } = rig.start()
  await rig.decide()
  await rig.send(0, [poison, '2026-01-01T10:00Z', poison, '2026-01-01T11:00Z', '2026-01-02T00:00Z'])
  await untilCut(rig, 1)
  expect(rig.cuts()).toMatchObject([{ day: '2026-01-01', examples: [4] }])
  await expectArchived(rig)
  expect((await rig.archive.readSeal('2026-01-01'))?.examples).toBe(2)
  expect((await metrics.archiveUnreadable.get()).values[0]?.value).toBe(2)
})

test('files are rolled by size and by time, and a restart goes on behind them', async () => {
  const rig = await compactorRig(onTestFinished, {
    partitions: 1,
    settings: { archive: { rollBytes: 1_000, rollMs: 500 } },
  })
  const first = rig.start()
  const hour = (i: number) => `2026-01-01T${String(i % 24).padStart(2, '0')}:00Z`
  await rig.send(
    0,
    Array.from({ length: 100 }, (_, i) => hour(i)),
  )
  await vi.waitFor(async () => expect((await rig.archive.through()).get(0)).toBe(100), within)
  expect((await rig.archive.ranges('2026-01-01')).length).toBeGreaterThan(3)
  await first.stop()
  const { metrics } = rig.start()
  await rig.decide()
  await rig.send(0, [hour(3), '2026-01-02T00:00Z'])
  await untilCut(rig, 1)
  await expectArchived(rig)
  // The record of the open day is rolled by time; nothing is archived twice.
  await vi.waitFor(async () => expect((await rig.archive.through()).get(0)).toBe(102), within)
  await vi.waitFor(
    async () => expect((await metrics.archived.get()).values[0]?.value).toBe(2),
    within,
  )
  expect((await rig.archive.readSeal('2026-01-01'))?.examples).toBe(101)
})

test('of two compactors one works, and when it goes the other one takes over', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 2 })
  const first = rig.start({ instance: 'first' })
  await rig.send(0, ['2026-01-01T10:00Z'])
  await untilReported(rig)
  rig.start({ instance: 'second' })
  await rig.decide()
  await rig.send(1, ['2026-01-01T11:00Z', '2026-01-02T10:00Z'])
  await rig.send(0, ['2026-01-02T11:00Z'])
  await untilCut(rig, 1)
  await first.stop()
  for (const partition of [0, 1])
    await rig.send(partition, ['2026-01-02T12:00Z', '2026-01-03T00:00Z'])
  await untilCut(rig, 2)
  expect(rig.reports.at(-1)?.instance).toBe('second')
  await expectArchived(rig)
})

test('a file of a compactor that did not know that it was replaced is taken away', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  const files = async (day: string) =>
    (await rig.archive.files(day)).map(({ from, to }) => [from, to])
  await rig.send(0, ['2026-01-01T10:00Z', '2026-01-01T11:00Z', '2026-01-01T12:00Z'])
  // Before the start: one that joins what is there, and one that does not.
  await rig.archive.write('2026-01-01', { partition: 0, from: 0, to: 2 }, [])
  await rig.archive.write('2026-01-01', { partition: 0, from: 1, to: 3 }, [])
  rig.start()
  await untilReported(rig)
  expect(await files('2026-01-01')).toEqual([[0, 2]])
  // And one that comes when the next one is at work.
  await rig.archive.write('2026-01-01', { partition: 0, from: 1, to: 3 }, [])
  await rig.decide()
  await rig.send(0, ['2026-01-02T00:00Z'])
  await untilCut(rig, 1)
  await untilSealed(rig, '2026-01-01')
  expect(await files('2026-01-01')).toEqual([
    [0, 2],
    [2, 3],
  ])
})

test('an archive of another topic ends the role with what to do about it', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  await rig.archive.write('2026-01-01', { partition: 0, from: 0, to: 5 }, [])
  rig.start()
  await vi.waitFor(() => expect(rig.complaints.join()).toContain('Move the folder archive'), within)
})

test('examples that retention has deleted before they were archived are named, and the rest is archived', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  const first = rig.start()
  await rig.send(0, ['2026-01-01T10:00Z', '2026-01-02T10:00Z', '2026-01-02T11:00Z'])
  await vi.waitFor(async () => expect((await rig.archive.through()).get(0)).toBe(1), within)
  await first.stop()
  await rig.forget(0, 2)
  rig.start()
  await rig.decide()
  await rig.send(0, ['2026-01-03T00:00Z'])
  await vi.waitFor(() => expect(rig.document().cuts).toHaveProperty('2026-01-02'), within)
  await untilSealed(rig, '2026-01-02')
  expect((await rig.archive.readSeal('2026-01-02'))?.examples).toBe(1)
  expect(rig.complaints).toEqual([
    'examples were deleted before they were archived: give the topic a longer retention.ms',
  ])
})

test('an archive that cannot be written is said, and written when it can be', async () => {
  const rig = await compactorRig(onTestFinished, { partitions: 1 })
  rig.start()
  await untilReported(rig)
  const place = `${rig.config.artifacts.dir}/archive/day=2026-01-01`
  await fs.mkdir(`${rig.config.artifacts.dir}/archive`)
  await fs.writeFile(place, 'no folder')
  await rig.send(0, ['2026-01-01T10:00Z', '2026-01-02T00:00Z'])
  const complaint = 'the archive cannot be written: trying again'
  await vi.waitFor(() => expect(rig.complaints).toContain(complaint), within)
  expect(rig.cuts()).toEqual([])
  await fs.rm(place)
  await rig.decide()
  await untilCut(rig, 1)
  await expectArchived(rig)
})
