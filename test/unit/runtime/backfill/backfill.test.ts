import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../../../src/config/load.ts'
import type { Config } from '../../../../src/config/schema.ts'
import { noFeatures, type Click, type Impression } from '../../../../src/records/types.ts'
import { openArchive } from '../../../../src/runtime/archive/archive.ts'
import { runBackfill, type BackfillOptions } from '../../../../src/runtime/backfill/backfill.ts'
import { openDirectoryStore } from '../../../../src/runtime/generation/artifact-store.ts'
import { createGenerator } from '../../../../src/streams/generator/generator.ts'
import type { SourceEvent } from '../../../../src/streams/source-event.ts'
import { rowOf, writeClicks, writeLake, writePages } from '../../../support/lake-files.ts'
import { throughLivePath } from '../../../support/live-path.ts'
import { temporaryDir } from '../../../support/own-servers.ts'

const dayMs = 86_400_000
const startMs = Date.UTC(2026, 0, 5)
const days = ['2026-01-05', '2026-01-06']

/** Two days of the generated world, with faults in them. */
function events(): SourceEvent[] {
  const generator = createGenerator({
    ...{ users: 150, items: 80, eventsPerSecond: 0.03, slotMs: 600_000 },
  })
  const range = { fromMs: startMs, untilMs: startMs + 2 * dayMs }
  const made = [...generator.events(range)]
  const clicks = made.filter((event) => event.kind === 'click')
  return [...made, ...clicks.slice(0, 60).flatMap(faultsOf)].sort(
    (a, b) => a.eventTimeMs - b.eventTimeMs,
  )
}

function faultsOf(click: Click, i: number): Click[] {
  if (i % 4 === 0) return [click]
  if (i % 4 === 1) return [{ ...click, itemId: 'never shown' }]
  if (i % 4 === 2) return [{ ...click, requestId: `unknown-${i}` }]
  return [{ ...click, eventTimeMs: click.eventTimeMs + 2 * 3_600_000 }]
}

async function rig(partitions = 3) {
  const dir = await temporaryDir(onTestFinished)
  const config = loadConfig({
    texts: [],
    environment: {},
    settings: [
      ...[`stateDir=${dir}/state`, `artifacts.dir=${dir}/artifacts`],
      ...[`kafka.partitions=${partitions}`, 'archive.rollBytes=20000'],
    ],
  })
  const store = openDirectoryStore(config.artifacts.dir)
  const lake = path.join(dir, 'lake')
  const backfill = (changes: Partial<BackfillOptions> = {}) =>
    runBackfill({
      ...{ from: lake, config, store, nowMs: startMs + 3 * dayMs, endMs: startMs + 2 * dayMs },
      ...{ deadLetters: undefined, memoryBytes: 2 ** 24, signal: new AbortController().signal },
      ...{ onProgress: () => {}, ...changes },
    })
  return { dir, lake, config, store, archive: openArchive(store), backfill }
}

function pageAt(timeMs: number, requestId = `r${timeMs}`): Impression {
  return {
    ...{ kind: 'impression', requestId, userId: 'u', eventTimeMs: timeMs, scenario: '' },
    ...{ items: ['a', 'b'], eliminated: [] },
    features: noFeatures,
  }
}

function clickAt(timeMs: number, requestId: string): Click {
  const about = { requestId, userId: 'u', itemId: 'a', eventTimeMs: timeMs }
  return { kind: 'click', ...about, action: 'click', weight: 1 }
}

test('the days are those that the live path makes of the same events, however little memory there is', async () => {
  const all = events()
  const live = await rig()
  const shown = all.filter((event) => event.kind !== 'item')
  const expected = (await throughLivePath(shown, live.config, live.archive)).slice(0, days.length)
  expect(expected.map(({ day }) => day)).toEqual(days)
  expect(Math.min(...expected.map(({ examples }) => examples))).toBeGreaterThan(500)
  const content = expected.map(({ day, examples, hash }) => ({ day, examples, hash }))

  for (const memoryBytes of [2 ** 24, 2 ** 14]) {
    const { lake, archive, backfill } = await rig()
    await writeLake(lake, all)
    const report = await backfill({ memoryBytes })
    const seals = await Promise.all(days.map(async (day) => (await archive.readSeal(day))!))
    expect(seals.map(({ day, examples, hash }) => ({ day, examples, hash }))).toEqual(content)
    expect(report.runs > 20).toBe(memoryBytes === 2 ** 14)
    expect(Object.fromEntries(report.deadLetters)).toEqual({
      ...{ CLICK_NOT_SHOWN: 15, CLICK_UNMATCHED: 30 },
    })
    expect(report.duplicates).toBe(15)
    expect(report.click + report.impression + report.leftOut).toBe(shown.length)
    await expect(fs.readdir(path.join(path.dirname(lake), 'state'))).resolves.toEqual([])
  }
})

/** A page and a click on it at each time, the click a second later. */
async function writePairs(lake: string, name: string, times: readonly number[]): Promise<void> {
  const pages = times.map((timeMs) => rowOf(pageAt(timeMs)))
  await writePages(path.join(lake, `impressions-${name}.parquet`), pages)
  const clicks = times.map((timeMs) => rowOf(clickAt(timeMs + 1_000, `r${timeMs}`)))
  await writeClicks(path.join(lake, `clicks-${name}.avro`), clicks)
}

test('what is refused is in the file of dead letters with its place, and counted by reason', async () => {
  const { lake, archive, backfill, dir } = await rig()
  const good = pageAt(startMs, 'r1')
  const future = pageAt(startMs + 4 * dayMs)
  await writePages(path.join(lake, 'impressions/a.parquet'), [
    ...[rowOf(good), { ...rowOf(good), user_id: undefined }, { ...rowOf(good), items: [] }],
    rowOf(future),
  ])
  const clicks = [clickAt(startMs + 1_000, 'r1'), clickAt(startMs + 2_000, 'nobody saw it')]
  await writeClicks(path.join(lake, 'clicks/b.avro'), clicks.map(rowOf))
  const deadLetters = path.join(dir, 'refused.jsonl')
  const report = await backfill({ deadLetters })
  expect(report).toMatchObject({ rows: 6, impression: 1, click: 2, leftOut: 0 })
  expect(report.days).toEqual([{ day: days[0], examples: 1, wasThere: false }])
  expect(Object.fromEntries(report.deadLetters)).toEqual({
    ...{ RECORD_INVALID: 2, EVENT_TIME_IN_FUTURE: 1, CLICK_UNMATCHED: 1 },
  })
  const lines = (await fs.readFile(deadLetters, 'utf8')).trim().split('\n')
  const refused = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  const file = path.join(lake, 'impressions/a.parquet')
  expect(refused).toMatchObject([
    { code: 'RECORD_INVALID', file, row: 1, record: { request_id: 'r1' } },
    { code: 'RECORD_INVALID', file, row: 2 },
    { code: 'EVENT_TIME_IN_FUTURE', file, row: 3 },
    { code: 'CLICK_UNMATCHED', record: { record: 'click', request_id: 'nobody saw it' } },
  ])
  expect(refused[0]!['message']).toContain('user_id: found null')
  expect((await archive.readSeal(days[0]!))?.examples).toBe(1)
})

test('a run that was stopped is repeated: what it has sealed stays, what it has begun is made again', async () => {
  const { lake, archive, backfill, config } = await rig(1)
  const times = [0, 1, 2].flatMap((day) =>
    Array.from({ length: 1_200 }, (_, i) => startMs + day * dayMs + i * 10_000),
  )
  await writePairs(lake, 'all', times)
  const whole = { endMs: startMs + 3 * dayMs, nowMs: startMs + 4 * dayMs }
  const ending = new AbortController()
  const stopped = backfill({
    ...{ ...whole, signal: ending.signal },
    // More than a day is joined: one is sealed, and files of the next one are there.
    onProgress: ({ days: done }) => done.length > 0 && ending.abort(),
  })
  await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' })
  const first = await archive.readSeal(days[0]!)
  expect(first?.examples).toBe(1_200)
  expect(await archive.readSeal(days[1]!)).toBeNull()
  const begun = path.join(config.artifacts.dir, `archive/day=${days[1]!}`)
  await fs.mkdir(begun, { recursive: true })
  await fs.writeFile(path.join(begun, 'examples-backfill-0-0-7.avro'), 'of the run before')

  const report = await backfill(whole)
  expect(report.days.map(({ examples, wasThere }) => [examples, wasThere])).toEqual([
    ...[[1_200, true], [1_200, false], [1_200, false]], // prettier-ignore
  ])
  expect(await fs.readdir(begun)).not.toContain('examples-backfill-0-0-7.avro')
  expect(await archive.readSeal(days[0]!)).toEqual(first)
  expect((await backfill(whole)).days.every(({ wasThere }) => wasThere)).toBe(true)
})

test('days that the archive has from elsewhere are refused before anything is written', async () => {
  const { lake, archive, backfill } = await rig(1)
  await writePairs(lake, 'one', [startMs, startMs + dayMs])
  await archive.write(days[1]!, { partition: 0, from: 10, to: 12 }, [])
  await expect(backfill()).rejects.toMatchObject({
    code: 'USAGE_INVALID',
    message: expect.stringContaining('leave these days out with --until 2026-01-05') as string,
  })
  expect(await archive.readSeal(days[0]!)).toBeNull()
  const report = await backfill({ endMs: startMs + dayMs })
  expect(report.leftOut).toBe(2)
  expect(report.days).toEqual([{ day: days[0], examples: 1, wasThere: false }])

  await writePairs(lake, 'two', [startMs + 60_000])
  await expect(backfill({ endMs: startMs + dayMs })).rejects.toMatchObject({
    code: 'USAGE_INVALID',
    message: expect.stringContaining('move archive/day=2026-01-05 out') as string,
  })
})

test('the catalogue of a day is what the items were at its end', async () => {
  const { lake, archive, backfill } = await rig(1)
  const item = (title: string, at: number): SourceEvent => {
    const about = { itemId: 'a', title, createdAtMs: startMs - dayMs, features: noFeatures }
    return { kind: 'item', itemId: 'a', item: about, eventTimeMs: at }
  }
  const withdrawn = { kind: 'item', itemId: 'b', item: null, eventTimeMs: startMs } as const
  await writeLake(lake, [
    ...[item('first', startMs - dayMs), item('second', startMs + dayMs), withdrawn],
    ...[pageAt(startMs, 'r0'), clickAt(startMs + 1, 'r0')],
    ...[pageAt(startMs + dayMs + 5, 'r1'), clickAt(startMs + dayMs + 6, 'r1')],
  ])
  await backfill()
  const titles = async (day: string) =>
    (await archive.readCatalogue(day)).map(({ itemId, item: is }) => [itemId, is?.title])
  expect(await titles(days[0]!)).toEqual([['a', 'first'], ['b', undefined]]) // prettier-ignore
  expect(await titles(days[1]!)).toEqual([['a', 'second'], ['b', undefined]]) // prettier-ignore
})

test('a mapping that fits nothing, and files that hold no clicks, are said before days are sealed', async () => {
  const { lake, archive, backfill } = await rig()
  await writePages(path.join(lake, 'impressions.parquet'), [rowOf(pageAt(startMs))])
  await expect(backfill()).rejects.toMatchObject({
    code: 'USAGE_INVALID',
    message: expect.stringContaining('has no file of clicks: found impressions.parquet') as string,
  })
  const row = rowOf(clickAt(startMs, ''))
  await writeClicks(path.join(lake, 'clicks.avro'), [row])
  await expect(backfill()).rejects.toMatchObject({
    code: 'FILE_INVALID',
    message: expect.stringMatching(/no click could be taken.* refused: 1 RECORD_INVALID/) as string,
  })
  expect(await archive.days()).toEqual([])
})

const timeInSeconds = { path: 'event_time', unit: 's' } as const

test('columns are mapped as the source of that name says', async () => {
  const { lake, config, archive, backfill } = await rig(1)
  await writePages(path.join(lake, 'impressions.parquet'), [rowOf(pageAt(startMs, 'r'))])
  const row = { ...rowOf(clickAt(startMs + 5, '')), action: 'r' }
  await writeClicks(path.join(lake, 'plays/part-0.avro'), [row])
  const plays: Config['sources'][string] = {
    ...{ topic: 'media.plays', record: 'click', format: 'auto' },
    // A timestamp needs no unit, so one that was meant for numbers does not matter.
    fields: { request_id: 'action', action: { constant: 'play' }, event_time: timeInSeconds },
  }
  const report = await backfill({ config: { ...config, sources: { plays } } })
  expect(report.click).toBe(1)
  expect((await archive.readSeal(days[0]!))?.examples).toBe(1)
})
