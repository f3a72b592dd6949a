import fc from 'fast-check'
import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { RecordSorter, type TimedRecord } from '../../../../src/runtime/backfill/record-sorter.ts'
import { temporaryDir } from '../../../support/own-servers.ts'

async function sortedBy(
  records: readonly TimedRecord[],
  options: { readonly dir: string; readonly bytesMax: number; readonly runsMax?: number },
) {
  const sorter = await RecordSorter.open(options)
  for (const record of records) if (!sorter.add(record)) await sorter.spill()
  const found: TimedRecord[] = []
  for await (const batch of sorter.sorted()) found.push(...batch)
  await sorter.close()
  return { found, runs: sorter.runsMade }
}

test('records come in the order of their times, equal ones as they were added, whatever the memory and the runs at once', async () => {
  const dir = path.join(await temporaryDir(onTestFinished), 'runs')
  const record = fc.record({
    timeMs: fc.nat(20),
    tag: fc.nat(0xffff_ffff),
    value: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  })
  const options = fc.record({
    bytesMax: fc.integer({ min: 20, max: 3_000 }),
    runsMax: fc.integer({ min: 2, max: 5 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(record, { maxLength: 60 }), options, async (records, limits) => {
      const { found } = await sortedBy(records, { dir, ...limits })
      expect(found).toEqual([...records].sort((a, b) => a.timeMs - b.timeMs))
    }),
    { numRuns: 60 },
  )
  await expect(fs.stat(dir)).rejects.toThrow('ENOENT')
})

test('records beyond the memory go to disk, also one that is larger than a read', async () => {
  const dir = path.join(await temporaryDir(onTestFinished), 'runs')
  const records = [5, 3, 4, 1, 2].map((timeMs) => ({
    ...{ timeMs, tag: timeMs },
    value: Buffer.alloc(timeMs === 4 ? 700_000 : 40, timeMs),
  }))
  const { found, runs } = await sortedBy(records, { dir, bytesMax: 100 })
  expect(runs).toBe(3)
  expect(found.map(({ timeMs }) => timeMs)).toEqual([1, 2, 3, 4, 5])
  const sorted = [...records].sort((a, b) => a.timeMs - b.timeMs)
  expect(found.every(({ value }, i) => value.equals(sorted[i]!.value))).toBe(true)
  expect((await sortedBy(records, { dir, bytesMax: 2 ** 20 })).runs).toBe(1)
})
