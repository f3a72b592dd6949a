import { connect } from 'node:net'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { FreshetError } from '../../../../src/errors.ts'
import { click, gateway, get, impression, nowMs, post, result, topics } from './support.ts'

const json = { 'content-type': 'application/json' }

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setImmediate(resolve))
}

test('a recall goes to the client and its reply comes back', async () => {
  const { app, queries } = gateway()
  const { status, body } = await post(app, '/v1/recall', {
    ...{ user_id: 12, k: 3, scenario: 'home', exclude: ['x', 5], timeout_ms: 250 },
    features: { categorical: { device: 'phone', old: null, level: 3 }, numeric: { age: 1.5 } },
    filter: { feature: 'genre', values: ['war'] },
  })
  expect(queries).toMatchObject([
    {
      ...{ userId: 12, k: 3, scenario: 'home', exclude: ['x', 5], timeoutMs: 250 },
      features: { categorical: { device: ['phone'], level: ['3'] }, numeric: { age: 1.5 } },
      filter: { feature: 'genre', values: ['war'] },
    },
  ])
  expect(queries[0]!.features!.categorical).not.toHaveProperty('old')
  expect(status).toBe(200)
  expect(body).toEqual({
    ...{ status: 'OK', message: '', generation: 'g1', override_sequence: 4 },
    items: [{ item_id: 'a', score: 0.75, title: 'A' }],
    ...{ user_event_time: new Date(nowMs).toISOString(), user_offset: 12, learned_through: null },
  })
})

test.each([
  ['COLD_USER', 200, undefined],
  ['DEGRADED', 200, undefined],
  ['INVALID', 400, 'refused-recall'],
  ['NO_GENERATION', 503, 'no-generation'],
  ['OVERLOADED', 503, 'overloaded'],
] as const)('a reply that is %s is %i', async (status, expected, kind) => {
  const { app } = gateway({ recall: () => Promise.resolve({ ...result, status, message: 'why' }) })
  const reply = await post(app, '/v1/recall', { user_id: 'u', k: 3 })
  expect(reply.status).toBe(expected)
  if (kind === undefined) expect(reply.body).toMatchObject({ status, message: 'why' })
  else expect(reply.body).toMatchObject({ type: `urn:freshet:problem:${kind}`, detail: 'why' })
  expect(reply.headers['retry-after']).toBe(expected === 503 ? '1' : undefined)
})

test.each([
  ['TIMEOUT', 504, 'timeout'],
  ['ABORTED', 503, 'unavailable'],
  ['BROKER_UNAVAILABLE', 503, 'unavailable'],
  ['USAGE_INVALID', 400, 'invalid-request'],
  ['TOPIC_INVALID', 500, 'internal'],
] as const)('a recall that ends with %s is %i', async (code, status, kind) => {
  const { app } = gateway({ recall: () => Promise.reject(new FreshetError(code, 'secret path')) })
  const reply = await post(app, '/v1/recall', { user_id: 'u', k: 3 })
  expect(reply.status).toBe(status)
  expect(reply.type).toContain('application/problem+json')
  expect(reply.body).toMatchObject({ type: `urn:freshet:problem:${kind}`, status })
})

test('what fails in the gateway itself is not told to the caller', async () => {
  const { app } = gateway({ recall: () => Promise.reject(new TypeError('secret path')) })
  const { status, body } = await post(app, '/v1/recall', { user_id: 'u', k: 3 })
  expect(status).toBe(500)
  expect(JSON.stringify(body)).not.toContain('secret')
})

test.each([
  [{ k: 3 }, '#/user_id', 'a non-empty string'],
  [{ user_id: '', k: 3 }, '#/user_id', 'a non-empty string'],
  [{ user_id: 'u', k: 0 }, '#/k', '1'],
  [{ user_id: 'u', k: 1, timeoutMs: 3 }, '#/timeoutMs', '/openapi.json'],
  [{ user_id: 'u', k: 1, exclude: ['a', null] }, '#/exclude/1', 'a non-empty string'],
  [{ user_id: 'u', k: 1, filter: { feature: 'f', values: [] } }, '#/filter/values', '1'],
  [{ user_id: 'u', k: 1, features: { numeric: { 'a/b': 'x' } } }, '#/features/numeric/a~1b', 'num'],
  [
    { user_id: 'u', k: 1, features: { numeric: { big: 1e300 } } },
    '#/features/numeric/big',
    'float',
  ],
  [[], '#', 'object'],
  [{ user_id: 'u', k: 1, '\ud800': 1 }, '#/%EF%BF%BD', 'unknown'],
])('the recall %j is refused with a pointer to what is wrong', async (request, pointer, remedy) => {
  const { app, queries } = gateway()
  const { status, body } = await post(app, '/v1/recall', request)
  expect(status).toBe(400)
  expect(body).toMatchObject({
    type: 'urn:freshet:problem:invalid-request',
    errors: [{ pointer, detail: expect.stringContaining(remedy) as unknown }],
  })
  expect(queries).toEqual([])
})

test('events go to the topics that ingest reads, as they came, keyed by their user', async () => {
  const { app, sent, metrics } = gateway()
  expect(await post(app, '/v1/impressions', impression)).toMatchObject({
    ...{ status: 202, body: { accepted: 1 } },
  })
  const clicks = [click, { ...click, user_id: 99, more: { kept: true } }]
  expect((await post(app, '/v1/clicks', clicks)).body).toEqual({ accepted: 2 })
  expect(sent.map(({ topic, key }) => [topic, key])).toEqual([
    [topics.impressions, 'u-1'],
    [topics.clicks, 'u-1'],
    [topics.clicks, '99'],
  ])
  expect(sent.map(({ value }) => JSON.parse(String(value)) as unknown)).toEqual([
    impression,
    ...clicks,
  ])
  expect((await metrics.gatewayEvents.get()).values).toMatchObject([
    { labels: { kind: 'impression' }, value: 1 },
    { labels: { kind: 'click' }, value: 2 },
  ])
})

test.each([
  ['/v1/clicks', { ...click, item_id: null }, '#/item_id', 'found null, expected a non-empty'],
  ['/v1/clicks', [click, { ...click, weight: -1 }], '#/1/weight', 'expected a number above 0'],
  ['/v1/clicks', [click, 3], '#/1', 'found 3, expected an object'],
  ['/v1/impressions', [{ ...impression, items: ['a', ''] }], '#/0/items/1', 'found ""'],
  [
    '/v1/impressions',
    { ...impression, features: { categorical: { 'a b': ['x', null] } } },
    '#/features/categorical/a%20b',
    'found null',
  ],
  [
    '/v1/impressions',
    { ...impression, features: { dense: { 'a.b': [1, 'x'] } } },
    '#/features/dense/a.b/1',
    'found "x"',
  ],
  [
    '/v1/impressions',
    { ...impression, event_time: nowMs + 61_000 },
    '#/event_time',
    'ingest.futureSkewMs',
  ],
  ['/v1/impressions', { ...impression, more: 'x'.repeat(3_000) }, '#', 'ingest.recordBytesMax'],
])('of events with a bad one none is sent: %s, %#', async (url, body, pointer, why) => {
  const { app, sent } = gateway({ ingest: { recordBytesMax: 2_000 } })
  const reply = await post(app, url, body)
  expect(reply.status).toBe(400)
  const detail = expect.stringContaining(why) as unknown
  const type = 'urn:freshet:problem:invalid-event'
  expect(reply.body).toMatchObject({ type, errors: [{ pointer, detail }] })
  expect(sent).toEqual([])
})

test('of many unknown fields not all are told', async () => {
  const { app } = gateway()
  const unknown = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`x${i}`, i]))
  const { body } = await post(app, '/v1/recall', { user_id: 'u', k: 1, ...unknown })
  const { detail, errors } = body as { detail: string; errors: unknown[] }
  expect(detail).toContain('and 499 more')
  expect(errors).toHaveLength(20)
})

test('every bad event is named, up to a limit', async () => {
  const { app } = gateway()
  const bad = Array.from({ length: 30 }, () => ({}))
  const { body } = await post(app, '/v1/clicks', [click, ...bad])
  const { detail, errors } = body as { detail: string; errors: { pointer: string }[] }
  expect(detail).toContain('30 of 31 events')
  expect(errors.map(({ pointer }) => pointer)).toEqual(
    Array.from({ length: 20 }, (_, i) => `#/${i + 1}/request_id`),
  )
})

test.each([
  ['no event', '[]'],
  ['more than the limit', JSON.stringify([click, click, click])],
])('%s is refused', async (_, payload) => {
  const { app, sent } = gateway({ settings: { eventsPerRequestMax: 2 } })
  const { status, body } = await post(app, '/v1/clicks', payload)
  expect(status).toBe(400)
  expect(JSON.stringify(body)).toContain('gateway.eventsPerRequestMax')
  expect(sent).toEqual([])
})

test('an event that can be parsed but not written again is refused', async () => {
  const { app } = gateway()
  const deep = `{"request_id":"r","x":${'['.repeat(200_000)}${']'.repeat(200_000)}}`
  const { status, body } = await post(app, '/v1/clicks', deep)
  expect(status).toBe(400)
  expect(body).toMatchObject({ type: 'urn:freshet:problem:invalid-event' })
})

test('events that Kafka does not acknowledge are 504, and count until it does', async () => {
  let acknowledge!: () => void
  const acknowledged = new Promise<void>((resolve) => (acknowledge = resolve))
  const { app, sent } = gateway({
    settings: { sendTimeoutMs: 20, inFlightMax: 2 },
    send: () => acknowledged,
  })
  for (let i = 0; i < 2; i++) {
    const { status, body } = await post(app, '/v1/clicks', click)
    expect(status).toBe(504)
    expect(JSON.stringify(body)).toContain('gateway.sendTimeoutMs')
  }
  expect((await post(app, '/v1/clicks', click)).status).toBe(503)
  expect(sent).toHaveLength(2)
  acknowledge()
  await acknowledged
  expect((await post(app, '/v1/clicks', click)).status).toBe(202)
})

test('beyond inFlightMax a request is told to come again, and has its turn later', async () => {
  let reply!: () => void
  const replied = new Promise<void>((resolve) => (reply = resolve))
  const { app, queries } = gateway({
    settings: { inFlightMax: 1 },
    recall: () => replied.then(() => result),
  })
  const first = post(app, '/v1/recall', { user_id: 'u', k: 1 })
  await until(() => queries.length === 1)
  const second = await post(app, '/v1/recall', { user_id: 'u', k: 1 })
  expect(second).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
  expect(second.body).toMatchObject({ type: 'urn:freshet:problem:overloaded' })
  expect((await get(app, '/livez')).status).toBe(200)
  reply()
  expect((await first).status).toBe(200)
  expect((await post(app, '/v1/recall', { user_id: 'u', k: 1 })).status).toBe(200)
})

test('a caller that is gone ends its recall and leaves its place', async () => {
  let signal: AbortSignal | undefined
  const { app, metrics } = gateway({
    settings: { inFlightMax: 1 },
    recall: (query) => {
      if (signal !== undefined) return Promise.resolve(result)
      signal = query.signal
      return new Promise(() => {})
    },
  })
  const url = await app.listen({ port: 0 })
  const leaving = new AbortController()
  const body = JSON.stringify({ user_id: 'u', k: 1 })
  const request = { method: 'POST', headers: json, body }
  const lost = fetch(`${url}/v1/recall`, { ...request, signal: leaving.signal })
  const rejected = expect(lost).rejects.toThrow()
  await until(() => signal !== undefined)
  leaving.abort()
  await rejected
  await until(() => signal!.aborted)
  expect((await fetch(`${url}/v1/recall`, request)).status).toBe(200)
  const { values } = await metrics.gatewayRequests.get()
  expect(values).toContainEqual({ labels: { route: '/v1/recall', status: 'aborted' }, value: 1 })
})

const probes = ['/livez', '/readyz', '/openapi.json']

test('without a token only probes and the document are answered', async () => {
  const { app, queries } = gateway({ allows: (header) => header === 'Bearer right' })
  for (const url of probes) expect((await get(app, url)).status).toBe(200)
  for (const url of ['/v1/recall', '/v1/impressions', '/v1/clicks']) {
    const reply = await post(app, url, { user_id: 'u', k: 1 })
    expect(reply).toMatchObject({ status: 401, headers: { 'www-authenticate': /^Bearer/ } })
    expect(reply.body).toMatchObject({ type: 'urn:freshet:problem:unauthorized', status: 401 })
  }
  expect(queries).toEqual([])
  const reply = await app.inject({
    ...{ method: 'POST', url: '/v1/recall', payload: { user_id: 'u', k: 1 } },
    headers: { authorization: 'Bearer right' },
  })
  expect(reply.statusCode).toBe(200)
})

test('while Kafka is away nothing is tried, and /readyz says so', async () => {
  const { app, sent, queries } = gateway({ waitsFor: () => 'Kafka does not answer' })
  const problem = { type: 'urn:freshet:problem:unavailable', detail: 'Kafka does not answer' }
  for (const reply of [
    await get(app, '/readyz'),
    await post(app, '/v1/recall', { user_id: 'u', k: 1 }),
    await post(app, '/v1/clicks', click),
  ]) {
    expect(reply.status).toBe(503)
    expect(reply.body).toMatchObject(problem)
  }
  expect([sent, queries]).toEqual([[], []])
  expect((await get(app, '/livez')).body).toEqual({ status: 'live' })
})

test.each([
  ['an unknown path', { url: '/v2' }, 404, 'not-found'],
  ['another method', { url: '/v1/recall' }, 405, 'method-not-allowed'],
  ['another method of a probe', { method: 'DELETE', url: '/livez' }, 405, 'method-not-allowed'],
  ['a malformed URL', { url: '/%zz' }, 400, 'malformed-request'],
  ['broken JSON', { payload: '{"user_id":' }, 400, 'malformed-json'],
  ['no JSON at all', { payload: '' }, 400, 'malformed-json'],
  ['what is not UTF-8', { payload: Buffer.from([0x22, 0xff, 0x22]) }, 400, 'malformed-json'],
  ['too large a body', { payload: JSON.stringify('x'.repeat(2_000)) }, 413, 'body-too-large'],
  [
    'text',
    { payload: 'hello', headers: { 'content-type': 'text/plain' } },
    415,
    'unsupported-media-type',
  ],
  ['no body', { headers: {} }, 400, 'invalid-request'],
] as const)('%s is a problem', async (_, request, status, kind) => {
  const { app, metrics } = gateway({ settings: { bodyBytesMax: 1_000 } })
  const isPost = 'payload' in request || 'headers' in request
  const whole = isPost ? { method: 'POST', url: '/v1/recall', headers: json, ...request } : request
  const reply = await app.inject({ method: 'GET', ...whole } as never)
  expect(reply.statusCode).toBe(status)
  expect(reply.headers['content-type']).toContain('application/problem+json')
  expect(reply.json()).toMatchObject({
    ...{ type: `urn:freshet:problem:${kind}`, status },
    instance: expect.stringMatching(/^urn:uuid:/) as unknown,
  })
  if (status === 405) expect(reply.headers['allow']).toMatch(/^(POST|GET, HEAD|HEAD, GET)$/)
  const { values } = await metrics.gatewayRequests.get()
  const routes = values.map(({ labels }) => labels.route)
  expect(['/v1/recall', 'other']).toEqual(expect.arrayContaining(routes))
})

test('bytes that are no HTTP are answered with a problem too', async () => {
  const { app } = gateway()
  await app.listen({ port: 0 })
  const { port } = app.server.address() as { port: number }
  const ask = async (bytes: string) => {
    const socket = connect(port, '127.0.0.1')
    socket.write(bytes)
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    await once(socket, 'close')
    return text
  }
  const nonsense = await ask('HELLO\r\n\r\n')
  expect(nonsense).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/)
  expect(nonsense).toContain('content-type: application/problem+json')
  expect(JSON.parse(nonsense.split('\r\n\r\n')[1]!)).toMatchObject({
    type: 'urn:freshet:problem:malformed-request',
  })
  const endless = await ask(`GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)
  expect(endless).toMatch(/^HTTP\/1.1 431 /)
})

test('requests are counted by route and status', async () => {
  const { app, metrics } = gateway()
  await post(app, '/v1/recall', { user_id: 'u', k: 1 })
  await post(app, '/v1/recall', {})
  await get(app, '/v1/users/17')
  const { values } = await metrics.gatewayRequests.get()
  expect(values).toEqual([
    { labels: { route: '/v1/recall', status: '200' }, value: 1 },
    { labels: { route: '/v1/recall', status: '400' }, value: 1 },
    { labels: { route: 'other', status: '404' }, value: 1 },
  ])
  const latencies = (await metrics.gatewayLatency.get()).values
  expect(latencies).toContainEqual(
    expect.objectContaining({ labels: { route: '/v1/recall' }, value: 2 }),
  )
})
