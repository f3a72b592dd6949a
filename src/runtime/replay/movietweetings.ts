import { Random } from '../../model/hash.ts'
import { noFeatures, type Click, type Impression } from '../../records/types.ts'
import type { ItemChange, SourceEvent } from '../../streams/source-event.ts'
import { readFilms, readRatings, type Film, type Ratings } from './movietweetings-files.ts'
import { eventsIn, type ReplayPosition, type ReplaySource } from './source.ts'

/** The file knows no pages, so every page is made up, and says so. */
const scenario = 'synthetic-page'
const pageSize = 10
/** From page to click. */
const clickDelayMs = 1_000
/** Draws of a filler, before the page stays shorter: early pages have few films to choose from. */
const drawsMax = 40

/**
 * A MovieTweetings folder (`ratings.dat`, `movies.dat`). Every rating is one click, whatever its value, on one page of its own,
 * shown a second earlier; the page's other films are drawn, seeded, from earlier ratings, and the clicked one stands at a random
 * place. A film enters the catalogue just before its first page; films without ratings are there from the start.
 * @throws FreshetError FILE_MISSING, FILE_INVALID naming file and line
 */
export async function openMovieTweetings(dir: string, seed: number): Promise<ReplaySource> {
  const films = await readFilms(dir)
  const ratings = await readRatings(dir, films)
  const total = films.length + 2 * ratings.count
  let done = 0
  function* counted(after: ReplayPosition | null): Generator<SourceEvent> {
    const skipped = after === null ? 0 : eventsIn(after)
    done = 0
    for (const event of eventsOf(films, ratings, seed)) {
      if (done++ >= skipped) yield event
    }
  }
  return {
    identity: `movietweetings ${dir} ${films.length} films ${ratings.count} ratings seed ${seed}`,
    description: `${ratings.count} ratings of ${films.length} films`,
    events: counted,
    shareDone: () => done / total,
  }
}

function* eventsOf(films: readonly Film[], ratings: Ratings, seed: number): Generator<SourceEvent> {
  const startMs = ratings.timesMs[0]! - clickDelayMs
  const isRated = new Uint8Array(films.length)
  for (const film of ratings.films) isRated[film] = 1
  for (const [index, film] of films.entries()) {
    if (isRated[index] === 0) yield itemOf(film, createdAtOf(film, startMs), startMs)
  }
  const isAnnounced = new Uint8Array(films.length)
  let shown = 0
  let clicked = 0
  while (clicked < ratings.count) {
    const pageMs = shown < ratings.count ? ratings.timesMs[shown]! - clickDelayMs : Infinity
    if (pageMs > ratings.timesMs[clicked]!) {
      yield clickOf(films, ratings, clicked++)
      continue
    }
    const film = ratings.films[shown]!
    if (isAnnounced[film] === 0) yield itemOf(films[film]!, pageMs, pageMs)
    isAnnounced[film] = 1
    yield pageOf(films, ratings, shown++, pageMs, seed)
  }
}

function pageOf(
  films: readonly Film[],
  ratings: Ratings,
  row: number,
  pageMs: number,
  seed: number,
): Impression {
  const random = new Random(seed, ratings.lines[row]!)
  const clicked = ratings.films[row]!
  const page: number[] = []
  for (let i = 0; i < drawsMax && row > 0 && page.length < pageSize - 1; i++) {
    // A film out of an earlier rating: by popularity so far, and never one that nobody knows yet.
    const filler = ratings.films[Math.floor(random.nextFloat() * row)]!
    if (filler !== clicked && !page.includes(filler)) page.push(filler)
  }
  page.splice(Math.floor(random.nextFloat() * (page.length + 1)), 0, clicked)
  return {
    kind: 'impression',
    requestId: `mt-${ratings.lines[row]}`,
    userId: ratings.users[row]!,
    eventTimeMs: pageMs,
    scenario,
    items: page.map((film) => films[film]!.id),
    eliminated: [],
    features: noFeatures,
  }
}

function clickOf(films: readonly Film[], ratings: Ratings, row: number): Click {
  return {
    kind: 'click',
    requestId: `mt-${ratings.lines[row]}`,
    userId: ratings.users[row]!,
    itemId: films[ratings.films[row]!]!.id,
    eventTimeMs: ratings.timesMs[row]!,
    action: 'rating',
    weight: 1,
  }
}

function itemOf(film: Film, createdAtMs: number, eventTimeMs: number): ItemChange {
  const features = {
    categorical: new Map([['genres', film.genres]]),
    numeric: new Map(film.year === null ? [] : [['year', film.year]]),
    dense: new Map(),
  }
  const item = { itemId: film.id, title: film.title, createdAtMs, features }
  return { kind: 'item', itemId: film.id, item, eventTimeMs }
}

function createdAtOf(film: Film, startMs: number): number {
  return film.year === null ? startMs : Math.max(0, Math.min(startMs, Date.UTC(film.year, 0, 1)))
}
