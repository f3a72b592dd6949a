import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { backfillSources, selectFiles } from '../../../../src/runtime/backfill/input-files.ts'
import { temporaryDir } from '../../../support/own-servers.ts'

const play = { topic: 'a.plays', record: 'click', format: 'auto', fields: {} } as const
const sources = backfillSources(
  { plays: play, plays_old: { ...play, topic: 'b.plays' } },
  { impressions: 'freshet.impressions.v1', clicks: 'freshet.clicks.v1' },
)

async function lakeOf(...files: readonly string[]): Promise<string> {
  const dir = path.join(await temporaryDir(onTestFinished), 'lake')
  for (const file of files) {
    await fs.mkdir(path.dirname(path.join(dir, file)), { recursive: true })
    await fs.writeFile(path.join(dir, file), '')
  }
  return dir
}

test('the name of a file says what it holds, or else the nearest folder, in the order of the topics', async () => {
  const dir = await lakeOf(
    ...['impressions/day=2026-01-02/part-1.parquet', 'impressions/day=2026-01-02/part-0.avro'],
    ...['clicks-2026.parquet', 'impressions/clicks_late.avro', 'plays_old/x.avro', 'plays/x.avro'],
    ...['items/all.snappy.parquet', 'clicks/_temporary/a.parquet', 'clicks/.part.parquet.crc'],
    ...['impressions/_SUCCESS', 'notes/a.parquet', 'clickstream/b.avro', 'items.csv'],
  )
  const { files, passedOver } = await selectFiles(dir, sources)
  const found = files.map((file) => [file.source, path.relative(dir, file.path), file.format])
  expect(found).toEqual([
    ['plays', 'plays/x.avro', 'avro'],
    ['plays_old', 'plays_old/x.avro', 'avro'],
    ['clicks', 'clicks-2026.parquet', 'parquet'],
    ['clicks', 'impressions/clicks_late.avro', 'avro'],
    ['impressions', 'impressions/day=2026-01-02/part-0.avro', 'avro'],
    ['impressions', 'impressions/day=2026-01-02/part-1.parquet', 'parquet'],
    ['items', 'items/all.snappy.parquet', 'parquet'],
  ])
  expect(passedOver.map((file) => path.relative(dir, file)).sort()).toEqual([
    ...['clickstream/b.avro', 'notes/a.parquet'],
  ])
})

test('where impressions or clicks are missing, what was found is listed', async () => {
  const nothing = await lakeOf('readme.txt')
  await expect(selectFiles(nothing, sources)).rejects.toThrow(
    'has no file of impressions: found no .parquet or .avro file',
  )
  const many = Array.from({ length: 11 }, (_, i) => `impressions/${i}.avro`)
  const error: unknown = await selectFiles(await lakeOf(...many), sources).catch((e: unknown) => e)
  expect(error).toMatchObject({ code: 'USAGE_INVALID' })
  expect((error as Error).message).toMatch(
    /no file of clicks: found impressions\/0\.avro, .* and 3 more.*one of impressions, clicks, plays, plays_old, items/,
  )
  await expect(selectFiles('/not/there', sources)).rejects.toMatchObject({ code: 'FILE_MISSING' })
})
