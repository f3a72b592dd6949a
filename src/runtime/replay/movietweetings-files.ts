import { join } from 'node:path'
import { FreshetError } from '../../errors.ts'
import { describe } from '../../records/fields.ts'
import { brokenLine, readLines } from './lines.ts'

export interface Film {
  readonly id: string
  readonly title: string
  /** From the title, null where it names none. */
  readonly year: number | null
  readonly genres: readonly string[]
}

/** Ratings in columns, sorted by time; of equal times, by line. */
export interface Ratings {
  readonly count: number
  readonly users: readonly string[]
  /** Index into `films`. */
  readonly films: Uint32Array
  readonly timesMs: Float64Array
  /** Line in ratings.dat, from 1. */
  readonly lines: Uint32Array
}

export const ratingsFile = 'ratings.dat'
export const filmsFile = 'movies.dat'

/** All ratings are held in memory, about 60 bytes each. */
const ratingsMax = 20_000_000
/** The last second that a JavaScript Date can hold. */
const secondsMax = 8.64e12

/** @throws FreshetError FILE_MISSING, FILE_INVALID naming file and line */
export async function readFilms(dir: string): Promise<Film[]> {
  const path = join(dir, filmsFile)
  const films: Film[] = []
  const lineOfId = new Map<string, number>()
  for await (const lines of readLines(path)) {
    for (const { text, number } of lines) {
      const [id, title, genres, ...others] = text.split('::')
      if (!id || !title || genres === undefined || others.length > 0) {
        throw brokenLine(path, number, describe(text), 'film::Title (year)::Genre|Genre')
      }
      const first = lineOfId.get(id)
      if (first !== undefined) {
        const found = `film ${id}, which line ${first} has already`
        throw brokenLine(path, number, found, 'each film once')
      }
      lineOfId.set(id, number)
      const year = / \((\d{4})\)$/.exec(title)?.[1]
      films.push({
        id,
        title,
        year: year === undefined ? null : Number(year),
        genres: genres.split('|').filter((genre) => genre !== ''),
      })
    }
  }
  if (films.length === 0) throw new FreshetError('FILE_INVALID', `${path} holds no film`)
  return films
}

/** @throws FreshetError FILE_MISSING, FILE_INVALID naming file and line */
export async function readRatings(dir: string, films: readonly Film[]): Promise<Ratings> {
  const path = join(dir, ratingsFile)
  const filmIndex = new Map(films.map((film, index) => [film.id, index]))
  const userIds = new Map<string, string>()
  const users: string[] = []
  const filmColumn: number[] = []
  const times: number[] = []
  const lineNumbers: number[] = []
  for await (const lines of readLines(path)) {
    for (const { text, number } of lines) {
      const [user, id, rating, seconds, ...others] = text.split('::')
      if (!user || !id || !isRating(rating) || !isTime(seconds) || others.length > 0) {
        throw brokenLine(path, number, describe(text), 'user::film::rating::unix_seconds')
      }
      const film = filmIndex.get(id)
      if (film === undefined) {
        throw brokenLine(path, number, `film ${id}`, `one of the films in ${filmsFile}`)
      }
      if (users.length === ratingsMax) {
        throw brokenLine(path, number, 'another rating', `at most ${ratingsMax} ratings`)
      }
      // One string a user instead of one a line: the line's text can then be freed.
      if (!userIds.has(user)) userIds.set(user, user)
      users.push(userIds.get(user)!)
      filmColumn.push(film)
      times.push(Number(seconds) * 1_000)
      lineNumbers.push(number)
    }
  }
  if (users.length === 0) throw new FreshetError('FILE_INVALID', `${path} holds no rating`)
  const order = Uint32Array.from(users.keys()).sort((a, b) => times[a]! - times[b]! || a - b)
  return {
    count: order.length,
    users: Array.from(order, (row) => users[row]!),
    films: order.map((row) => filmColumn[row]!),
    timesMs: Float64Array.from(order, (row) => times[row]!),
    lines: order.map((row) => lineNumbers[row]!),
  }
}

function isRating(text: string | undefined): boolean {
  return text !== undefined && /^\d{1,2}(\.\d+)?$/.test(text)
}

function isTime(text: string | undefined): boolean {
  return text !== undefined && /^[1-9]\d{0,12}$/.test(text) && Number(text) <= secondsMax
}
