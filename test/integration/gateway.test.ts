import { expect, inject, onTestFinished, test } from 'vitest'
import { createMetrics } from '../../src/metrics/metrics.ts'
import { configSchema } from '../../src/config/schema.ts'
import { decodeExample } from '../../src/records/codec.ts'
import { runGateway } from '../../src/runtime/gateway/gateway.ts'
import { RecallClient } from '../../src/runtime/recall-client.ts'
import { deployment } from '../support/deployment.ts'
import { ownBroker, silentLog } from '../support/own-servers.ts'
import { dim, eventually, randomGeneration, recallRig } from '../support/recall-rig.ts'
import type { RecallRig } from '../support/recall-rig.ts'
import { randomFrom, unitVector } from '../support/vectors.ts'
import { readAll } from './kafka/support.ts'

async function ask(url: string, path: string, body?: unknown) {
  const request = {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
    body: JSON.stringify(body),
  }
  const reply = await fetch(`${url}${path}`, body === undefined ? {} : request)
  return { status: reply.status, body: (await reply.json()) as Record<string, unknown> }
}

/** @returns its URL */
async function startGateway(rig: RecallRig, settings: object = {}): Promise<string> {
  const ending = new AbortController()
  let serving!: (url: string) => void
  const served = new Promise<string>((resolve) => (serving = resolve))
  const { topics, kafka } = rig
  const { brokers, topicPrefix } = rig.config.kafka
  const { gateway, ingest } = configSchema.parse({ gateway: { port: 0, ...settings } })
  const done = runGateway({
    ...{ config: { gateway, ingest }, topics, kafka, metrics: createMetrics() },
    connectRecall: (options) => RecallClient.connect({ brokers, topicPrefix, ...options }),
    ...{ clock: { nowMs: () => Date.now() }, signal: ending.signal, onReadiness: () => {} },
    log: { ...silentLog, info: (fields) => 'url' in fields && serving(String(fields.url)) },
  })
  onTestFinished(async () => {
    ending.abort()
    await done
  })
  return Promise.race([served, done.then(() => 'ended')])
}

test('an impression and a click by HTTP become an example, with their ids as they were', async () => {
  const target = await deployment(onTestFinished, {
    ...{ brokers: inject('kafkaBrokers'), redisUrl: inject('redisUrl') },
    settings: { gateway: { port: 0 } },
  })
  target.role('ingest')
  target.role('joiner')
  const gateway = target.role('gateway')
  const { url } = await gateway.waitForLog(({ msg }) => msg === 'the gateway serves')
  const eventTimeMs = Date.now() - 1_000
  const ids = { request_id: 'Ünicode/request 1', user_id: 9_007_199_254_740_991 }
  const impression = { ...ids, event_time: eventTimeMs, items: ['a', 'ключ', 'c'] }
  const click = { ...ids, item_id: 'ключ', event_time: eventTimeMs + 500, weight: 2 }
  const accepted = { status: 202, body: { accepted: 1 } }
  expect(await ask(String(url), '/v1/impressions', impression)).toEqual(accepted)
  expect(await ask(String(url), '/v1/clicks', [click])).toEqual(accepted)
  const refused = await ask(String(url), '/v1/clicks', [click, { ...click, item_id: [] }])
  expect(refused.body).toMatchObject({ status: 400, errors: [{ pointer: '#/1/item_id' }] })

  const examples = async () =>
    (await readAll(target.kafka, target.topics.examples)).filter(({ key }) => key !== null)
  const found = await eventually(examples, ({ length }) => length > 0, 60_000)
  expect(found.map(({ value }) => decodeExample(value!))).toMatchObject([
    {
      ...{ requestId: 'Ünicode/request 1', userId: '9007199254740991', itemId: 'ключ' },
      ...{ eventTimeMs: eventTimeMs + 500, impressionTimeMs: eventTimeMs, position: 1, weight: 2 },
    },
  ])
  expect(await readAll(target.kafka, target.topics.deadLetters)).toEqual([])
  expect(await readAll(target.kafka, target.topics.clicks)).toHaveLength(1)
  expect(await gateway.metrics()).toContain(
    'freshet_gateway_requests_total{route="/v1/clicks",status="202"} 1',
  )
  expect(await gateway.stop()).toBe(0)
})

test('a recall by HTTP is what the client gets', async () => {
  const rig = await recallRig(onTestFinished)
  await rig.publish(randomGeneration('g1', 'item-', 20))
  await rig.control({ live: 'g1' })
  await rig.sentinels('g1')
  const row = unitVector(dim, randomFrom(8))
  await rig.user('g1', 'known', { row, offset: 7, eventTimeMs: 5_000, recentItems: ['item-3'] })
  await rig.sentinels('g1')
  await rig.startPod()
  const url = await startGateway(rig)
  for (const [userId, status] of [
    ['known', 'OK'],
    ['stranger', 'COLD_USER'],
  ]) {
    const features = { categorical: { device: 'phone' } }
    const query = { k: 5, exclude: ['item-1'], features }
    const expected = await rig.client.recall({ userId: userId!, ...query })
    const { body } = await ask(url, '/v1/recall', { user_id: userId, ...query })
    expect(expected.status).toBe(status)
    expect(body).toEqual({
      ...{ status, message: expected.message, generation: 'g1', override_sequence: 0 },
      items: expected.items.map(({ itemId, score, title }) => ({ item_id: itemId, score, title })),
      user_offset: expected.userOffset,
      user_event_time: expected.userEventTime?.toISOString() ?? null,
      learned_through: expected.learnedThrough?.toISOString() ?? null,
    })
    expect(expected.items).toHaveLength(5)
  }
  const tooMany = await ask(url, '/v1/recall', { user_id: 'known', k: 1_001 })
  expect(tooMany.body).toMatchObject({ status: 400, type: 'urn:freshet:problem:refused-recall' })
})

test('a dead broker makes problems, no hanging callers, and is got over', async () => {
  const broker = await ownBroker(onTestFinished)
  const rig = await recallRig(onTestFinished, { brokers: [broker.address] })
  const url = await startGateway(rig, { sendTimeoutMs: 500 })
  const click = { request_id: 'r', user_id: 'u', item_id: 'i', event_time: Date.now() }
  const send = () => ask(url, '/v1/clicks', click)
  expect((await ask(url, '/readyz')).status).toBe(200)
  expect((await send()).status).toBe(202)

  await broker.kill()
  const recalled = ask(url, '/v1/recall', { user_id: 'u', k: 1, timeout_ms: 200 })
  expect([503, 504]).toContain((await recalled).status)
  expect([503, 504]).toContain((await send()).status)
  const away = await eventually(
    () => ask(url, '/readyz'),
    ({ status }) => status === 503,
  )
  expect(away.body).toMatchObject({ type: 'urn:freshet:problem:unavailable' })
  expect((await send()).status).toBe(503)
  expect((await ask(url, '/livez')).status).toBe(200)

  await broker.restart()
  const back = await eventually(
    () => ask(url, '/readyz'),
    ({ status }) => status === 200,
    30_000,
  )
  expect(back.status).toBe(200)
  const again = await eventually(send, ({ status }) => status === 202, 30_000)
  expect(again.status).toBe(202)
})
