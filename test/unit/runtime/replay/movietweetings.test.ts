import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openFiles } from '../../../../src/runtime/replay/open-files.ts'
import { openMovieTweetings } from '../../../../src/runtime/replay/movietweetings.ts'
import { chiSquareLimit } from '../../streams/generator/support.ts'
import { eventsOf, fixtures, folderOf, outline, positionAfter } from './support.ts'

const tiny = join(fixtures, 'movietweetings')
const real = join(import.meta.dirname, '../../../../../shared/data/movietweetings-80k')
const films = '101::Some Film (1999)::Drama\n'

test('every rating is one page and one click, in order of time, films just before their first page', async () => {
  const events = await eventsOf(await openMovieTweetings(tiny, 1))
  expect(outline(events)).toEqual([
    'item 104 999',
    'item 101 999',
    'impression mt-1 999',
    'click mt-1 1000',
    'item 102 1001',
    'impression mt-3 1001',
    'click mt-3 1002',
    'impression mt-2 1004',
    'impression mt-4 1004',
    'click mt-2 1005',
    'click mt-4 1005',
    'item 103 1099',
    'impression mt-5 1099',
    'click mt-5 1100',
  ])
})

test('films keep title, genres and year; what the file does not know is missing', async () => {
  const events = await eventsOf(await openMovieTweetings(tiny, 1))
  const items = new Map(events.flatMap((e) => (e.kind === 'item' ? [[e.itemId, e.item!]] : [])))
  expect(items.get('101')).toMatchObject({ title: 'Déjà Vu au Café (1999)', createdAtMs: 999_000 })
  expect(items.get('101')!.features.categorical.get('genres')).toEqual(['Drama', 'Sci-Fi'])
  expect(items.get('101')!.features.numeric.get('year')).toBe(1999)
  expect(items.get('103')!.features.categorical.get('genres')).toEqual([])
  expect(items.get('103')!.features.numeric.has('year')).toBe(false)
  expect(items.get('104')!.createdAtMs).toBe(0)
})

test('a page is labelled synthetic, shows the clicked film once, and only films shown before beside it', async () => {
  const events = await eventsOf(await openMovieTweetings(tiny, 1))
  const pages = events.filter((event) => event.kind === 'impression')
  const clicked = new Map(
    events.flatMap((e) => (e.kind === 'click' ? [[e.requestId, e.itemId]] : [])),
  )
  const known = new Set<string>()
  for (const page of pages) {
    const film = clicked.get(page.requestId)!
    expect(page.scenario).toBe('synthetic-page')
    expect(page.eliminated).toEqual([])
    expect(page.items.filter((id) => id === film)).toEqual([film])
    expect(page.items.filter((id) => id !== film && !known.has(id))).toEqual([])
    known.add(film)
  }
  expect(pages.some((page) => page.items.length > 1)).toBe(true)
})

test('the same seed gives the same pages, and a position goes on exactly behind it', async () => {
  const source = await openMovieTweetings(tiny, 1)
  const all = await eventsOf(source)
  expect(await eventsOf(await openMovieTweetings(tiny, 1))).toEqual(all)
  for (let count = 0; count <= all.length; count++) {
    const rest = await eventsOf(source, positionAfter(source, all.slice(0, count)))
    expect(rest).toEqual(all.slice(count))
  }
  expect(source.shareDone()).toBe(1)
})

test.each([
  [
    'movies.dat',
    { 'movies.dat': '101::Film\n', 'ratings.dat': '' },
    'movies.dat:1: found "101::Film", expected film::Title (year)::Genre|Genre',
  ],
  [
    'a film twice',
    { 'movies.dat': films + films, 'ratings.dat': '' },
    'movies.dat:2: found film 101, which line 1 has already',
  ],
  [
    'too few fields',
    { 'movies.dat': films, 'ratings.dat': '1::101::8::5\n1::101::8\n' },
    'ratings.dat:2: found "1::101::8", expected user::film::rating::unix_seconds',
  ],
  [
    'a time in words',
    { 'movies.dat': films, 'ratings.dat': '1::101::8::noon\n' },
    'ratings.dat:1: found "1::101::8::noon"',
  ],
  [
    'a time of 2^60',
    { 'movies.dat': films, 'ratings.dat': '1::101::8::1152921504606846976\n' },
    'ratings.dat:1: found',
  ],
  [
    'a rating in words',
    { 'movies.dat': films, 'ratings.dat': '1::101::good::5\n' },
    'ratings.dat:1: found',
  ],
  [
    'an unknown film',
    { 'movies.dat': films, 'ratings.dat': '\n1::102::8::5\n' },
    'ratings.dat:2: found film 102, expected one of the films in movies.dat',
  ],
  ['no rating', { 'movies.dat': films, 'ratings.dat': '' }, 'ratings.dat holds no rating'],
  [
    'Latin-1',
    { 'movies.dat': Buffer.from('101::Fant\xf4mas (1913)::Crime\n', 'latin1'), 'ratings.dat': '' },
    'movies.dat:1: found bytes that are not UTF-8',
  ],
])('a broken file is refused with its line: %s', async (_, files, message) => {
  const dir = await folderOf(files)
  await expect(openFiles(dir, 1)).rejects.toMatchObject({
    code: 'FILE_INVALID',
    message: expect.stringContaining(message) as string,
  })
})

test('half a copy is refused with the file that is missing', async () => {
  const dir = await folderOf({ 'movies.dat': films })
  await expect(openFiles(dir, 1)).rejects.toMatchObject({
    code: 'FILE_MISSING',
    message: expect.stringContaining('ratings.dat does not exist') as string,
  })
})

test('the real copy: 80,000 clicks on 9,419 films, position on the page uniform', async (context) => {
  if (!existsSync(real)) {
    context.skip(`${real} is not here: this test needs a copy of MovieTweetings`)
  }
  const source = await openFiles(real, 1)
  const counts = { impression: 0, click: 0, item: 0 }
  const clicked = new Map<string, string>()
  const pages = new Map<string, readonly string[]>()
  let lastMs = 0
  for await (const event of source.events(null)) {
    counts[event.kind]++
    if (event.eventTimeMs < lastMs) throw new Error(`disorder at ${event.eventTimeMs}`)
    lastMs = event.eventTimeMs
    if (event.kind === 'impression') pages.set(event.requestId, event.items)
    if (event.kind === 'click') clicked.set(event.requestId, event.itemId)
  }
  expect(counts).toEqual({ impression: 80_000, click: 80_000, item: 9_419 })
  const places = Array.from({ length: 10 }, () => 0)
  for (const [requestId, items] of pages) {
    if (items.length === 10) places[items.indexOf(clicked.get(requestId)!)]!++
  }
  const expected = places.reduce((a, b) => a + b) / 10
  expect(expected).toBeGreaterThan(7_900)
  const statistic = places.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
  expect(statistic).toBeLessThan(chiSquareLimit(9))
})
