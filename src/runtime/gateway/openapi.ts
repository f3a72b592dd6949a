import { z } from 'zod'
import type { Config } from '../../config/schema.ts'
import {
  accepted,
  click,
  features,
  impression,
  probe,
  problem,
  recallReply,
  recallRequest,
} from './schemas.ts'

const named = {
  Accepted: accepted,
  Click: click,
  Features: features,
  Impression: impression,
  Probe: probe,
  Problem: problem,
  RecallReply: recallReply,
  RecallRequest: recallRequest,
}

/** The OpenAPI 3.1 document of the gateway, at `GET /openapi.json` and in docs/reference/. */
export function openApiDocument(config: Pick<Config['gateway'], 'eventsPerRequestMax'>) {
  return {
    openapi: '3.1.1',
    info: {
      title: 'freshet gateway',
      version: '1.0.0',
      description: 'Recall and events over HTTP. Every error is an RFC 9457 problem.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths: {
      '/v1/recall': {
        post: {
          operationId: 'recall',
          summary: 'The items nearest to a user',
          ...behindToken,
          requestBody: body(ref('RecallRequest')),
          responses: responses(200, 'RecallReply', ...bodyErrors, 504),
        },
      },
      '/v1/impressions': { post: events('Impression', 'sendImpressions', config) },
      '/v1/clicks': { post: events('Click', 'sendClicks', config) },
      '/openapi.json': {
        get: {
          operationId: 'openApi',
          summary: 'This document',
          security: [],
          responses: {
            200: { description: 'OpenAPI 3.1', content: json({ type: 'object' }) },
            default: problemResponse('Anything else.'),
          },
        },
      },
      '/livez': { get: probeOf('livez', 'Whether the process runs') },
      '/readyz': { get: probeOf('readyz', 'Whether requests can be served', 503) },
    },
    components: {
      schemas: componentSchemas(),
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
    },
  }
}

const bodyErrors = [400, 401, 413, 415, 503]
/** A token, or none where gateway.tokenFile names no file. */
const behindToken = { security: [{ bearer: [] }, {}] }

function events(
  name: 'Impression' | 'Click',
  operationId: string,
  { eventsPerRequestMax: maxItems }: Pick<Config['gateway'], 'eventsPerRequestMax'>,
) {
  const list = { type: 'array', items: ref(name), minItems: 1, maxItems }
  return {
    operationId,
    summary: `Writes one ${name.toLowerCase()} or several, all or none`,
    ...behindToken,
    requestBody: body({ oneOf: [ref(name), list] }),
    responses: responses(202, 'Accepted', ...bodyErrors, 504),
  }
}

function probeOf(operationId: string, summary: string, ...errors: number[]) {
  return { operationId, summary, security: [], responses: responses(200, 'Probe', ...errors) }
}

function responses(status: number, name: keyof typeof named, ...errors: readonly number[]) {
  return {
    [status]: { description: named[name].description ?? name, content: json(ref(name)) },
    ...Object.fromEntries(errors.map((error) => [error, problemResponse(why[error]!)])),
    default: problemResponse('Anything else.'),
  }
}

const why: Readonly<Record<number, string>> = {
  400: 'The body is not JSON, or not what is expected; `errors` points at what is wrong.',
  401: 'No token, or one that is not in gateway.tokenFile.',
  413: 'More bytes than gateway.bodyBytesMax.',
  415: 'Not application/json.',
  503: 'Too much at a time, no generation, Kafka away, or stopping: come again after Retry-After.',
  504: 'No reply, or no acknowledgement, in time.',
}

function problemResponse(description: string) {
  return { description, content: { 'application/problem+json': { schema: ref('Problem') } } }
}

function body(schema: object) {
  return { required: true, content: json(schema) }
}

function json(schema: object) {
  return { 'application/json': { schema } }
}

function ref(name: keyof typeof named) {
  return { $ref: uriOf(name) }
}

function uriOf(name: string): string {
  return `#/components/schemas/${name}`
}

function componentSchemas(): Readonly<Record<string, object>> {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(named)) registry.add(schema, { id })
  const { schemas } = z.toJSONSchema(registry, { uri: uriOf, io: 'input' })
  return Object.fromEntries(
    // Within the document a schema has its place for an id, and the document's dialect.
    Object.entries(schemas).map(([id, { $schema, $id, ...schema }]) => [id, schema]),
  )
}
