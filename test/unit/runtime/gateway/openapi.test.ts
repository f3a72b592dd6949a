import { readFile } from 'node:fs/promises'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { configSchema } from '../../../../src/config/schema.ts'
import { FreshetError } from '../../../../src/errors.ts'
import { clickOf, impressionOf } from '../../../../src/records/json.ts'
import { openApiDocument } from '../../../../src/runtime/gateway/openapi.ts'
import { problemKinds } from '../../../../src/runtime/gateway/problems.ts'
import { click, gateway, get, impression, post, result } from './support.ts'
import type { Fakes } from './support.ts'

interface Operation {
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly content: Content }>>
}
type Content = Readonly<Record<string, { readonly schema: object }>>

const document = openApiDocument(configSchema.parse({}).gateway)
const paths = document.paths as unknown as Readonly<
  Record<string, Readonly<Record<string, Operation>>>
>

function ajvOf(components: unknown): Ajv2020 {
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true })
  addFormats.default(ajv)
  ajv.addVocabulary(['components'])
  return ajv.addSchema({ $id: 'document', components })
}

/** Schemas allow members that they do not name, for what may come; what is answered today is all named. */
function onlyWhatIsThere(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(onlyWhatIsThere)
  if (typeof node !== 'object' || node === null) return node
  const entries = Object.entries(node).map(([key, value]) => [key, onlyWhatIsThere(value)])
  const isRecord = 'properties' in node && !('additionalProperties' in node)
  return Object.fromEntries([...entries, ...(isRecord ? [['additionalProperties', false]] : [])])
}

const plain = ajvOf(document.components)
const closed = ajvOf(onlyWhatIsThere(document.components))

function validatorOf(schema: object, ajv = closed): ValidateFunction {
  const text = JSON.stringify(schema).replaceAll('"#/', '"document#/')
  return ajv.compile(JSON.parse(text) as object)
}

test('the document is valid OpenAPI 3.1', async () => {
  const validator = new Validator()
  expect(await validator.validate(structuredClone(document))).toEqual({ valid: true })
  expect(validator.version).toBe('3.1')
  const broken = { ...document, paths: { '/x': { post: { responses: 3 } } } }
  expect((await new Validator().validate(broken)).valid).toBe(false)
})

test('it is what the gateway serves, with the limits of the configuration', async () => {
  const { app } = gateway({ settings: { eventsPerRequestMax: 7 } })
  const { status, body } = await get(app, '/openapi.json')
  expect(status).toBe(200)
  expect(body).toEqual(JSON.parse(JSON.stringify(openApiDocument({ eventsPerRequestMax: 7 }))))
  expect(JSON.stringify(body)).toContain('"maxItems":7')
})

test('it names every route, and no other', () => {
  const routes = Object.entries(paths).flatMap(([url, methods]) =>
    Object.keys(methods).map((method) => ({ url, method: method.toUpperCase() })),
  )
  const { app } = gateway()
  for (const route of routes) expect(app.hasRoute(route as never), route.url).toBe(true)
  const printed = app.printRoutes({ commonPrefix: false, includeHooks: false })
  const served = [...printed.matchAll(/\((?:GET, HEAD|GET|POST)\)/g)]
  expect(served).toHaveLength(routes.length)
})

const ask = { user_id: 'u', k: 3 }
const recall = (status: string): Fakes => ({
  recall: () => Promise.resolve({ ...result, status, message: 'why' } as typeof result),
})
const away: Fakes = { waitsFor: () => 'Kafka does not answer' }
const noToken: Fakes = { allows: () => false }
const late: Fakes = {
  settings: { sendTimeoutMs: 5 },
  recall: () => Promise.reject(new FreshetError('TIMEOUT', 'late')),
  send: () => new Promise(() => {}),
}
const failing: Fakes = {
  recall: () => Promise.reject(new Error('bug')),
  send: () => Promise.reject(new Error('bug')),
}

test.each<[string, string, unknown, Fakes, number]>([
  ['/v1/recall', 'post', ask, {}, 200],
  ['/v1/recall', 'post', ask, recall('COLD_USER'), 200],
  ['/v1/recall', 'post', ask, recall('DEGRADED'), 200],
  ['/v1/recall', 'post', ask, recall('INVALID'), 400],
  ['/v1/recall', 'post', { k: 'x' }, {}, 400],
  ['/v1/recall', 'post', ask, noToken, 401],
  ['/v1/recall', 'post', ask, { settings: { bodyBytesMax: 1 } }, 413],
  ['/v1/recall', 'post', ask, recall('NO_GENERATION'), 503],
  ['/v1/recall', 'post', ask, recall('OVERLOADED'), 503],
  ['/v1/recall', 'post', ask, away, 503],
  ['/v1/recall', 'post', ask, late, 504],
  ['/v1/recall', 'post', ask, failing, 500],
  ...(
    [
      ['/v1/impressions', impression],
      ['/v1/clicks', click],
    ] as const
  ).flatMap<[string, string, unknown, Fakes, number]>(([path, event]) => [
    [path, 'post', event, {}, 202],
    [path, 'post', [event, event], {}, 202],
    [path, 'post', [event, {}], {}, 400],
    [path, 'post', event, noToken, 401],
    [path, 'post', event, { settings: { bodyBytesMax: 1 } }, 413],
    [path, 'post', event, away, 503],
    [path, 'post', event, late, 504],
    [path, 'post', event, failing, 500],
  ]),
  ['/openapi.json', 'get', null, {}, 200],
  ['/livez', 'get', null, {}, 200],
  ['/readyz', 'get', null, {}, 200],
  ['/readyz', 'get', null, away, 503],
])('%s: a reply is as described, %#', async (path, method, body, fakes, expected) => {
  const { app } = gateway(fakes)
  const reply = method === 'post' ? await post(app, path, body) : await get(app, path)
  expect(reply.status).toBe(expected)
  const { responses, requestBody } = paths[path]![method]!
  const described = responses[expected] ?? responses['default']!
  const [type, { schema }] = Object.entries(described.content)[0]!
  expect(reply.type).toMatch(new RegExp(`^${type.replace('+', '\\+')}(;|$)`))
  const isDescribed = validatorOf(schema)
  expect(isDescribed(reply.body), JSON.stringify(isDescribed.errors)).toBe(true)
  if (expected === 200 && requestBody !== undefined) {
    expect(validatorOf(requestBody.content['application/json']!.schema)(body)).toBe(true)
  }
})

test('a reply with a member that is not described would be noticed', () => {
  const isAccepted = validatorOf({ $ref: '#/components/schemas/Accepted' })
  expect(isAccepted({ accepted: 1 })).toBe(true)
  expect(isAccepted({ accepted: 1, more: 2 })).toBe(false)
})

const value = fc.oneof(
  fc.constantFrom<unknown>(null, undefined, '', 'x', 0, -1, 3, 2.5, true, [], {}, 'y'.repeat(300)),
  fc.constantFrom<unknown>('2026-01-31T12:00Z', '2026-01-31T12:00:00', ['a', 1], [null], ['']),
  fc.constantFrom<unknown>({ numeric: { a: 1 } }, { dense: { a: [null] } }, { other: {} }),
  fc.constantFrom<unknown>({ categorical: { a: ['x', 1, true], b: null } }, { numeric: [] }),
)

test.each([
  ['Impression', impression, impressionOf],
  ['Click', click, clickOf],
] as const)('the schema of %s takes what ingest takes', (name, event, read) => {
  const isDescribed = validatorOf({ $ref: `#/components/schemas/${name}` }, plain)
  const changes = fc.dictionary(fc.constantFrom(...Object.keys(event), 'more', 'eliminated'), value)
  fc.assert(
    fc.property(changes, (changed) => {
      const record = JSON.parse(JSON.stringify({ ...event, ...changed })) as typeof event
      let isTaken = true
      try {
        read(record)
      } catch {
        isTaken = false
      }
      // What only ingest can measure (bytes, float32, dates that do not exist) is not among the values.
      expect(isDescribed(record), JSON.stringify(record)).toBe(isTaken)
    }),
    { numRuns: 2_000 },
  )
})

test('the how-to lists every kind of problem', async () => {
  const page = await readFile('docs/gateway.md', 'utf8')
  const listed = [...page.matchAll(/^\| `([a-z-]+)` +\| \d{3} /gm)].map(([, kind]) => kind)
  expect(listed.toSorted()).toEqual([...problemKinds].toSorted())
})
