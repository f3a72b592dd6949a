import { FreshetError, messageOf, type ErrorCode } from '../errors.ts'
import type { ApiProblem } from './api.ts'

/** What was asked, with the checks that every question needs. */
export class Query {
  readonly #parameters: URLSearchParams

  constructor(parameters: URLSearchParams) {
    this.#parameters = parameters
  }

  text(name: string): string | null {
    return this.#parameters.get(name)
  }

  /** @throws FreshetError USAGE_INVALID */
  id(name: string): string {
    const id = this.optionalId(name)
    if (id !== null) return id
    throw new FreshetError('USAGE_INVALID', `${name} is missing: give ?${name}=ID`)
  }

  /** @throws FreshetError USAGE_INVALID */
  optionalId(name: string): string | null {
    const id = this.text(name)
    if (id === null || id === '') return null
    if (id.length > idMax) {
      throw new FreshetError('USAGE_INVALID', `${name} is longer than ${idMax} characters`)
    }
    return id
  }
}

export interface Answer {
  readonly status: number
  readonly body: string
}

type Handler = (query: Query) => Promise<unknown>

const idMax = 512
const cacheMs = 1_000
const answersMax = 64
const inFlightMax = 8
const deadlineMs = 15_000

const statusOf: Partial<Record<ErrorCode, number>> = {
  USAGE_INVALID: 400,
  FILE_MISSING: 404,
  GENERATION_INVALID: 409,
  OVERLOADED: 503,
  BROKER_UNAVAILABLE: 503,
  REDIS_UNAVAILABLE: 503,
  TIMEOUT: 504,
}

/** Answers in JSON: the same question within a second is worked on once, and only so many at the same time. */
export class ApiRoutes {
  readonly #handlers: Readonly<Record<string, Handler>>
  readonly #answers = new Map<string, { readonly atMs: number; readonly answer: Promise<Answer> }>()
  #inFlight = 0

  constructor(handlers: Readonly<Record<string, Handler>>) {
    this.#handlers = handlers
  }

  /** @param name what follows /console/api/ */
  answer(name: string, parameters: URLSearchParams): Promise<Answer> {
    const handler = Object.hasOwn(this.#handlers, name) ? this.#handlers[name] : undefined
    if (handler === undefined) {
      const known = Object.keys(this.#handlers).join(', ')
      return Promise.resolve(problem(404, 'USAGE_INVALID', `there is no ${name}; try ${known}`))
    }
    const key = `${name}?${parameters.toString()}`
    const nowMs = performance.now()
    const before = this.#answers.get(key)
    if (before !== undefined && nowMs - before.atMs < cacheMs) return before.answer
    const answer = this.#work(handler, new Query(parameters))
    this.#answers.delete(key)
    this.#answers.set(key, { atMs: nowMs, answer })
    if (this.#answers.size > answersMax) this.#answers.delete(this.#answers.keys().next().value!)
    return answer
  }

  async #work(handler: Handler, query: Query): Promise<Answer> {
    if (this.#inFlight >= inFlightMax) {
      return problem(503, 'OVERLOADED', 'the console is busy with other questions: ask again')
    }
    this.#inFlight++
    const work = handler(query).finally(() => this.#inFlight--)
    try {
      return { status: 200, body: JSON.stringify(await withinDeadline(work)) }
    } catch (error) {
      const code = error instanceof FreshetError ? error.code : 'INVARIANT_VIOLATED'
      return problem(statusOf[code] ?? 500, code, messageOf(error))
    }
  }
}

function problem(status: number, code: ErrorCode, message: string): Answer {
  const body: ApiProblem = { error: { code, message } }
  return { status, body: JSON.stringify(body) }
}

async function withinDeadline<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new FreshetError('TIMEOUT', `no answer within ${deadlineMs / 1_000} s: ask again`)
    timer = setTimeout(() => reject(error), deadlineMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
    work.catch(() => undefined)
  }
}
