import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Config } from '../../config/schema.ts'
import type { Metrics } from '../../metrics/metrics.ts'
import { parseJson } from '../../streams/mapping.ts'
import type { Logger } from '../ports.ts'
import type { RecallClient } from '../recall-client.ts'
import type { EventIntake, EventKind } from './events.ts'
import { openApiDocument } from './openapi.ts'
import {
  bodyOf,
  headersOf,
  problemOf,
  statusOf,
  type Problem,
  type ProblemKind,
} from './problems.ts'
import { recall } from './recalls.ts'

export interface GatewayServerDeps {
  readonly config: Config['gateway']
  readonly client: Pick<RecallClient, 'recall'>
  readonly intake: Pick<EventIntake, 'take'>
  readonly tokens: { allows(authorization: string | undefined): boolean }
  /** Why nothing can be served at the moment; null: it can. */
  readonly waitsFor: () => string | null
  readonly metrics: Metrics
  readonly log: Logger
}

/** How long headers and body of a request may take to come. */
const requestTimeoutMs = 30_000

/** The routes of the gateway, not listening yet. Every error is a problem (RFC 9457). */
export function gatewayServer(deps: GatewayServerDeps): FastifyInstance {
  const { config, client, intake, log } = deps
  const app = fastify({
    bodyLimit: config.bodyBytesMax,
    requestTimeout: requestTimeoutMs,
    genReqId: () => randomUUID(),
    // Its own answer would be no problem; `refusalOf` gives ours.
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => void sendError(error, request, reply),
    clientErrorHandler: refuseNoHttp,
  })
  const sendError = (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const problem = problemOf(error)
    if (problem.kind === 'internal') {
      log.error({ id: request.id, route: request.routeOptions.url, err: error }, 'a request failed')
    }
    return sendProblem(request, reply, problem)
  }
  app.setErrorHandler(sendError)
  refuseUnknown(app)
  takeJsonOnly(app)
  measure(app, deps.metrics)

  app.get('/livez', () => ({ status: 'live' }))
  app.get('/readyz', (request, reply) => {
    const detail = deps.waitsFor()
    return detail === null
      ? { status: 'ready' }
      : sendProblem(request, reply, { kind: 'unavailable', detail })
  })
  const document = openApiDocument(config)
  app.get('/openapi.json', () => document)

  const guarded = { onRequest: guard(deps) }
  app.post('/v1/recall', guarded, async (request, reply) => {
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort())
    return send(request, reply, 200, await recall(client, request.body, gone.signal))
  })
  const take = (kind: EventKind) => async (request: FastifyRequest, reply: FastifyReply) =>
    send(request, reply, 202, await intake.take(kind, request.body))
  app.post('/v1/impressions', guarded, take('impression'))
  app.post('/v1/clicks', guarded, take('click'))
  return app
}

/** Before the body is read: whether the caller may ask, and whether there is room. */
function guard(deps: GatewayServerDeps) {
  const { inFlightMax } = deps.config
  let inFlight = 0
  const refusalOf = ({ headers }: FastifyRequest): Problem | null => {
    if (!deps.tokens.allows(headers.authorization)) {
      const detail = 'send a token of gateway.tokenFile: Authorization: Bearer TOKEN'
      return { kind: 'unauthorized', detail }
    }
    const waitsFor = deps.waitsFor()
    if (waitsFor !== null) return { kind: 'unavailable', detail: waitsFor }
    if (inFlight < inFlightMax) return null
    const detail = `${inFlightMax} requests are under way (gateway.inFlightMax); come again later`
    return { kind: 'overloaded', detail }
  }
  return async (request: FastifyRequest, reply: FastifyReply) => {
    const problem = refusalOf(request)
    if (problem !== null) return sendProblem(request, reply, problem)
    inFlight++
    reply.raw.once('close', () => inFlight--)
  }
}

function send(request: FastifyRequest, reply: FastifyReply, status: number, answer: object) {
  if ('kind' in answer) return sendProblem(request, reply, answer as Problem)
  return reply.code(status).send(answer)
}

function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: Problem) {
  return reply.code(statusOf(problem)).headers(headersOf(problem)).send(bodyOf(problem, request.id))
}

function refuseUnknown(app: FastifyInstance): void {
  const methods = new Map<string, string[]>()
  app.addHook('onRoute', ({ url, method }) => {
    methods.set(url, [...(methods.get(url) ?? []), ...[method].flat()])
  })
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]!
    const allowed = methods.get(path)?.join(', ')
    if (allowed === undefined) {
      const detail = `${path}: GET /openapi.json says what there is`
      return sendProblem(request, reply, { kind: 'not-found', detail })
    }
    reply.header('allow', allowed)
    const detail = `${path} takes ${allowed}, not ${request.method}`
    return sendProblem(request, reply, { kind: 'method-not-allowed', detail })
  })
}

/** As ingest takes it: bytes that are not UTF-8 are refused, and not replaced by something else. */
function takeJsonOnly(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_, body, done) => {
    try {
      done(null, parseJson(body as Buffer))
    } catch (error) {
      done(error as Error)
    }
  })
}

function measure(app: FastifyInstance, metrics: Metrics): void {
  app.addHook('onRequest', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'other'
    const startedMs = performance.now()
    reply.raw.once('close', () => {
      const status = reply.sent ? String(reply.statusCode) : 'aborted'
      metrics.gatewayRequests.inc({ route, status })
      metrics.gatewayLatency.observe({ route }, (performance.now() - startedMs) / 1_000)
    })
    done()
  })
}

/** What Node cannot read as a request never becomes one, so the answer is written by hand. */
function refuseNoHttp(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const problem = { kind: kindOfNoHttp(error.code), detail: error.message }
  const body = JSON.stringify(bodyOf(problem, randomUUID()))
  const status = statusOf(problem)
  const headers = {
    ...headersOf(problem),
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  socket.end([`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, '', body].join('\r\n'))
}

function kindOfNoHttp(code: string | undefined): ProblemKind {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headers-too-large'
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'request-timeout' : 'malformed-request'
}
