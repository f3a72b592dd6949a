import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { configSchema } from '../../../../src/config/schema.ts'
import { FreshetError } from '../../../../src/errors.ts'
import { createMetrics } from '../../../../src/metrics/metrics.ts'
import { runGateway } from '../../../../src/runtime/gateway/gateway.ts'
import type { RecallResult } from '../../../../src/runtime/recall-client.ts'
import type { SinkRecord } from '../../../../src/streams/stage.ts'
import { silentLog, temporaryDir } from '../../../support/own-servers.ts'
import { click, result, topics } from './support.ts'

/** The role on fakes of Kafka and of the recall client, listening on a free port. */
async function start(settings: object = {}) {
  const calls: string[] = []
  const fakes = {
    topicExists: (): Promise<boolean> => Promise.resolve(true),
    recall: (): Promise<RecallResult> => Promise.resolve(result),
    send: (_: readonly SinkRecord[]): Promise<void> => Promise.resolve(),
    onFailure: (_: FreshetError): void => {},
  }
  const ending = new AbortController()
  let serving!: (url: string) => void
  const served = new Promise<string>((resolve) => (serving = resolve))
  const readiness: string[] = []
  const done = runGateway({
    config: configSchema.parse({ gateway: { port: 0, ...settings } }),
    topics,
    kafka: {
      topicExists: () => fakes.topicExists(),
      producer: () =>
        Promise.resolve({
          send: (records) => fakes.send(records),
          close: () => Promise.resolve(void calls.push('the producer closes')),
        }),
    },
    connectRecall: ({ onFailure }) => {
      if (onFailure !== undefined) fakes.onFailure = onFailure
      return Promise.resolve({
        recall: () => fakes.recall(),
        close: () => Promise.resolve(void calls.push('the client closes')),
      })
    },
    ...{ metrics: createMetrics(), clock: { nowMs: () => Date.now() }, signal: ending.signal },
    log: { ...silentLog, info: (fields) => 'url' in fields && serving(String(fields.url)) },
    onReadiness: (isReady, detail) => readiness.push(`${isReady}: ${detail}`),
  })
  onTestFinished(async () => {
    ending.abort()
    await done.catch(() => undefined)
  })
  const url = await Promise.race([served, done.then(() => 'ended')])
  const ask = (headers: Record<string, string> = {}) =>
    fetch(`${url}/v1/recall`, {
      ...{ method: 'POST', body: JSON.stringify({ user_id: 'u', k: 1 }) },
      headers: { 'content-type': 'application/json', ...headers },
    })
  return { url, done, fakes, calls, readiness, ask, stop: () => ending.abort() }
}

const statusOf = async (url: string) => (await fetch(url)).status
const waiting = { timeout: 20_000 }

test('at the end what is under way is answered, then client and producer close', async () => {
  const { url, done, fakes, calls, ask, stop } = await start()
  let reply!: () => void
  fakes.recall = () => new Promise((resolve) => (reply = () => resolve(result)))
  const asked = ask()
  await vi.waitUntil(() => reply !== undefined, waiting)
  stop()
  await vi.waitFor(() => expect(statusOf(`${url}/livez`)).rejects.toThrow(), waiting)
  expect(calls).toEqual([])
  reply()
  const answer = await asked
  expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close'])
  await done
  expect(calls).toEqual(['the client closes', 'the producer closes'])
})

test('what does not end within gateway.drainMs is cut off', async () => {
  const { done, fakes, ask, stop } = await start({ drainMs: 20 })
  let isAsked = false
  fakes.recall = () => new Promise(() => (isAsked = true))
  const lost = expect(ask()).rejects.toThrow()
  await vi.waitUntil(() => isAsked, waiting)
  stop()
  await lost
  await done
})

test('while Kafka does not answer it is not ready, and asks one question at a time', async () => {
  const file = path.join(await temporaryDir(onTestFinished), 'tokens')
  const write = (token: string) => fs.writeFile(file, token, { mode: 0o600 })
  await write('token-number-0-0123456789')
  const { url, fakes, readiness, ask } = await start({ tokenFile: file })
  expect(await statusOf(`${url}/readyz`)).toBe(200)
  let questions = 0
  let answer!: (exists: boolean) => void
  fakes.topicExists = () => {
    questions++
    return new Promise((resolve) => (answer = resolve))
  }
  await vi.waitFor(async () => expect(await statusOf(`${url}/readyz`)).toBe(503), waiting)
  // Whenever it looks at Kafka it looks at the tokens too: the second change is seen in a later round.
  for (const token of ['token-number-1-0123456789', 'token-number-2-0123456789']) {
    await write(token)
    await vi.waitFor(async () => {
      const problem = await ask({ authorization: `Bearer ${token}` })
      expect([problem.status, problem.headers.get('retry-after')]).toEqual([503, '1'])
    }, waiting)
  }
  expect(questions).toBe(1)
  fakes.topicExists = () => Promise.resolve(true)
  answer(true)
  await vi.waitFor(async () => expect(await statusOf(`${url}/readyz`)).toBe(200), waiting)
  fakes.topicExists = () => Promise.resolve(false)
  await vi.waitFor(() => expect(readiness).toHaveLength(4), waiting)
  expect(readiness).toEqual([
    'true: running',
    'false: Kafka does not answer',
    'true: running',
    `false: topic ${topics.recallReplies} does not exist`,
  ])
})

test('tokens are taken over while it runs', async () => {
  const file = path.join(await temporaryDir(onTestFinished), 'tokens')
  await fs.writeFile(file, 'an-old-token-0123456789', { mode: 0o600 })
  const { ask } = await start({ tokenFile: file })
  const statusWith = async (token: string) =>
    (await ask({ authorization: `Bearer ${token}` })).status
  expect((await ask()).status).toBe(401)
  expect(await statusWith('an-old-token-0123456789')).toBe(200)
  await fs.writeFile(file, 'a-new-token-0123456789')
  await vi.waitFor(
    async () => expect(await statusWith('a-new-token-0123456789')).toBe(200),
    waiting,
  )
  expect(await statusWith('an-old-token-0123456789')).toBe(401)
})

test('replies that can no longer be read end the role, so that it is started again', async () => {
  const { done, fakes, calls } = await start()
  const failure = new FreshetError('BROKER_UNAVAILABLE', 'reading ended')
  fakes.onFailure(failure)
  await expect(done).rejects.toBe(failure)
  expect(calls).toEqual(['the client closes', 'the producer closes'])
})

test('a port that is taken is named, and nothing stays open', async () => {
  const { url } = await start()
  const port = Number(new URL(url).port)
  await expect(start({ port })).rejects.toMatchObject({ code: 'PORT_TAKEN' })
  await expect(start({ port })).rejects.toThrow('--set gateway.port=0')
})

test('events under way are sent before the producer closes', async () => {
  const { url, done, fakes, calls, stop } = await start()
  let acknowledge!: () => void
  fakes.send = () => new Promise((resolve) => (acknowledge = resolve))
  const sent = fetch(`${url}/v1/clicks`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
    body: JSON.stringify(click),
  })
  await vi.waitUntil(() => acknowledge !== undefined, waiting)
  stop()
  acknowledge()
  expect((await sent).status).toBe(202)
  await done
  expect(calls.at(-1)).toBe('the producer closes')
})
