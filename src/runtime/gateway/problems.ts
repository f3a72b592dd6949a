import type { ZodError } from 'zod'
import { FreshetError, messageOf } from '../../errors.ts'
import type { ProblemBody } from './schemas.ts'

/** Everything that is answered in place of a result: status and title. `type` is made of the name, so none is ever renamed. */
const kinds = {
  'malformed-request': [400, 'The request is not HTTP, or its URL is malformed'],
  'malformed-json': [400, 'The body is not JSON'],
  'invalid-request': [400, 'The body does not fit the schema'],
  'invalid-event': [400, 'An event is invalid, and none was written'],
  'refused-recall': [400, 'The recall pods refuse the request'],
  unauthorized: [401, 'A token is needed'],
  'not-found': [404, 'There is nothing here'],
  'method-not-allowed': [405, 'This path has other methods'],
  'request-timeout': [408, 'The request came too slowly'],
  'body-too-large': [413, 'The body is too large'],
  'unsupported-media-type': [415, 'The body must be application/json'],
  'headers-too-large': [431, 'The headers are too large'],
  internal: [500, 'The gateway failed'],
  'no-generation': [503, 'No generation is live yet'],
  overloaded: [503, 'Too many requests at a time'],
  unavailable: [503, 'Kafka cannot be used, or the gateway is stopping'],
  timeout: [504, 'No answer in time'],
} as const satisfies Record<string, readonly [number, string]>

export type ProblemKind = keyof typeof kinds
export const problemKinds = Object.keys(kinds) as readonly ProblemKind[]

export interface PointedError {
  /** A JSON pointer as a URI fragment, e.g. `#/3/items/2`. */
  readonly pointer: string
  readonly detail: string
}

export interface Problem {
  readonly kind: ProblemKind
  readonly detail: string
  readonly errors?: readonly PointedError[]
}

export function statusOf({ kind }: Problem): number {
  return kinds[kind][0]
}

/** @param id of the answer */
export function bodyOf({ kind, detail, errors }: Problem, id: string): ProblemBody {
  const [status, title] = kinds[kind]
  return {
    ...{ type: `urn:freshet:problem:${kind}`, title, status, detail },
    instance: `urn:uuid:${id}`,
    ...(errors === undefined ? {} : { errors: [...errors] }),
  }
}

export function headersOf(problem: Problem): Readonly<Record<string, string>> {
  const status = statusOf(problem)
  return {
    'content-type': 'application/problem+json',
    ...(status === 503 ? { 'retry-after': '1' } : {}),
    ...(status === 401 ? { 'www-authenticate': 'Bearer realm="freshet"' } : {}),
  }
}

/** What anything thrown on the way to an answer means to the caller. */
export function problemOf(error: unknown): Problem {
  const detail = messageOf(error)
  if (error instanceof FreshetError) return { kind: kindOf(error), detail, ...pointed(error) }
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  switch (status) {
    case 400:
      return { kind: 'malformed-request', detail }
    case 413:
      return { kind: 'body-too-large', detail: `${detail}: send less at a time` }
    case 415:
      return { kind: 'unsupported-media-type', detail: 'send content-type: application/json' }
    default:
      return { kind: 'internal', detail: 'the log says more under the id of this answer' }
  }
}

function kindOf({ code, disposition }: FreshetError): ProblemKind {
  if (code === 'RECORD_UNDECODABLE') return 'malformed-json'
  if (code === 'RECORD_INVALID' || code === 'USAGE_INVALID') return 'invalid-request'
  if (code === 'TIMEOUT') return 'timeout'
  return disposition === 'retry' ? 'unavailable' : 'internal'
}

function pointed({ field, message }: FreshetError): Pick<Problem, 'errors'> {
  return field === undefined ? {} : { errors: [{ pointer: pointerOf(field), detail: message }] }
}

/** @param field as the readers of records name it, e.g. `items[2]` or `features.numeric.age` */
export function pointerOf(field: string, index?: number): string {
  // A feature may have dots in its name: only the first two of a field separate.
  const [, kind, rest = field] = /^features\.(categorical|numeric|dense)\.(.+)$/.exec(field) ?? []
  const bare = rest.replace(/\[\]$/, '')
  const [, name = bare, at] = /^(.*)\[(\d+)\]$/.exec(bare) ?? []
  const names = kind === undefined ? name.split('.') : ['features', kind, name]
  return pointer([index, ...names, at])
}

/** Steps that are undefined are left out. */
export function pointer(steps: readonly (PropertyKey | undefined)[]): string {
  const names = steps.filter((step) => step !== undefined).map(String)
  // By way of bytes: half of a surrogate pair has no place in a URI.
  const escaped = names.map((name) =>
    encodeURIComponent(`${Buffer.from(name)}`.replaceAll('~', '~0').replaceAll('/', '~1')),
  )
  return ['#', ...escaped].join('/')
}

/** A caller that got everything wrong does not need to hear it a thousand times. */
const errorsShownMax = 20

/** @param errors one or more */
export function listed(errors: readonly PointedError[]): Required<Omit<Problem, 'kind'>> {
  const [first] = errors
  const more = errors.length > 1 ? `; and ${errors.length - 1} more` : ''
  const detail = `${first!.pointer}: ${first!.detail}${more}`
  return { detail, errors: errors.slice(0, errorsShownMax) }
}

export function invalidBody({ issues }: ZodError): Problem {
  const errors = issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      const detail = 'unknown; GET /openapi.json says what there is'
      return issue.keys.map((key) => ({ pointer: pointer([...issue.path, key]), detail }))
    }
    const detail = issue.message.replace(/^Invalid input: /, '')
    return [{ pointer: pointer(issue.path), detail }]
  })
  return { kind: 'invalid-request', ...listed(errors) }
}
