import { onTestFinished } from 'vitest'
import type { FastifyInstance } from 'fastify'
import { configSchema } from '../../../../src/config/schema.ts'
import { createMetrics } from '../../../../src/metrics/metrics.ts'
import { topicNames } from '../../../../src/records/topics.ts'
import { EventIntake } from '../../../../src/runtime/gateway/events.ts'
import { gatewayServer } from '../../../../src/runtime/gateway/server.ts'
import type { RecallQuery, RecallResult } from '../../../../src/runtime/recall-client.ts'
import type { SinkRecord } from '../../../../src/streams/stage.ts'
import { silentLog } from '../../../support/own-servers.ts'

export const topics = topicNames('t')
export const nowMs = 1_764_000_000_000

export const impression = {
  ...{ request_id: 'r-1', user_id: 'u-1', event_time: nowMs - 1_000, items: ['a', 7, 'b'] },
  features: { categorical: { device: 'phone' }, numeric: { age: 34 }, dense: { taste: [0.5] } },
}
export const click = {
  ...{ request_id: 'r-1', user_id: 'u-1', item_id: 'b', event_time: '2025-11-24T15:59:59Z' },
}

export const result: RecallResult = {
  ...{ status: 'OK', message: '', generation: 'g1', overrideSequence: 4, latencyMs: 3 },
  items: [{ itemId: 'a', score: 0.75, title: 'A' }],
  userEventTime: new Date(nowMs),
  userOffset: 12,
  learnedThrough: null,
}

export interface Fakes {
  readonly settings?: object
  readonly ingest?: object
  readonly recall?: (query: RecallQuery) => Promise<RecallResult>
  readonly send?: (records: readonly SinkRecord[]) => Promise<void>
  readonly allows?: (authorization: string | undefined) => boolean
  readonly waitsFor?: () => string | null
}

export interface Gateway {
  readonly app: FastifyInstance
  readonly sent: SinkRecord[]
  readonly queries: RecallQuery[]
  readonly metrics: ReturnType<typeof createMetrics>
}

/** The gateway on fakes of what is behind it: what it sends and asks is kept. */
export function gateway(fakes: Fakes = {}): Gateway {
  const { settings = {}, ingest = {}, recall = () => Promise.resolve(result) } = fakes
  const { send = () => Promise.resolve(), allows = () => true, waitsFor = () => null } = fakes
  const config = configSchema.parse({ gateway: settings, ingest })
  const metrics = createMetrics()
  const sent: SinkRecord[] = []
  const queries: RecallQuery[] = []
  const producer = {
    send: (records: readonly SinkRecord[]) => {
      sent.push(...records)
      return send(records)
    },
    close: () => Promise.resolve(),
  }
  const app = gatewayServer({
    config: config.gateway,
    client: {
      recall: (query) => {
        queries.push(query)
        return recall(query)
      },
    },
    intake: new EventIntake({ config, topics, producer, metrics, clock: { nowMs: () => nowMs } }),
    ...{ tokens: { allows }, waitsFor, metrics, log: silentLog },
  })
  onTestFinished(() => app.close())
  return { app, sent, queries, metrics }
}

export async function post(app: FastifyInstance, url: string, body: unknown) {
  const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  const reply = await app.inject({
    ...{ method: 'POST', url, payload: text },
    headers: { 'content-type': 'application/json' },
  })
  return { ...read(reply), headers: reply.headers }
}

export async function get(app: FastifyInstance, url: string) {
  return read(await app.inject({ method: 'GET', url }))
}

function read(reply: Awaited<ReturnType<FastifyInstance['inject']>>) {
  const body: unknown = JSON.parse(reply.payload)
  return { status: reply.statusCode, type: reply.headers['content-type'], body }
}
