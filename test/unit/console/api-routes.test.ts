import { expect, onTestFinished, test } from 'vitest'
import { ApiRoutes } from '../../../src/console/api-routes.ts'
import { serveOperators } from '../../../src/console/server.ts'
import { FreshetError } from '../../../src/errors.ts'
import { createMetrics } from '../../../src/metrics/metrics.ts'
import { Health } from '../../../src/runtime/health.ts'

const parameters = (text = '') => new URLSearchParams(text)

test('the same question within a second is worked on once', async () => {
  let asked = 0
  const routes = new ApiRoutes({ user: async (query) => ({ id: query.id('id'), asked: ++asked }) })
  const answers = await Promise.all([
    routes.answer('user', parameters('id=a')),
    routes.answer('user', parameters('id=a')),
    routes.answer('user', parameters('id=b')),
  ])
  expect(answers.map(({ body }) => (JSON.parse(body) as { asked: number }).asked)).toEqual([
    1, 1, 2,
  ])
})

test('what is wrong is said as JSON, with the status that fits', async () => {
  const failing = async (): Promise<never> => {
    throw new FreshetError('REDIS_UNAVAILABLE', 'Redis is away')
  }
  const routes = new ApiRoutes({ user: async (query) => query.id('id'), failing })
  const statusOf = async (name: string, text: string) =>
    (await routes.answer(name, parameters(text))).status
  expect(await statusOf('user', '')).toBe(400)
  expect(await statusOf('user', `id=${'x'.repeat(600)}`)).toBe(400)
  expect(await statusOf('toString', '')).toBe(404)
  const { status, body } = await routes.answer('failing', parameters())
  expect(status).toBe(503)
  expect(JSON.parse(body)).toEqual({
    error: { code: 'REDIS_UNAVAILABLE', message: 'Redis is away' },
  })
})

test('only so many questions are worked on at the same time', async () => {
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => (release = resolve))
  const routes = new ApiRoutes({ slow: () => gate })
  const slow = Array.from({ length: 8 }, (_, i) => routes.answer('slow', parameters(`n=${i}`)))
  expect((await routes.answer('slow', parameters('n=8'))).status).toBe(503)
  release()
  expect((await Promise.all(slow)).map(({ status }) => status)).toEqual(Array(8).fill(200))
  expect((await routes.answer('slow', parameters('n=9'))).status).toBe(200)
})

async function serve() {
  const metrics = createMetrics()
  const server = await serveOperators(metrics, new Health(metrics), '127.0.0.1', 0)
  onTestFinished(() => server.close())
  return server
}

test('the page allows only what came with it; its data waits until there is some', async () => {
  const server = await serve()
  const page = await fetch(`${server.url}/console/`)
  expect(page.headers.get('content-type')).toContain('text/html')
  const policy = page.headers.get('content-security-policy')
  expect(policy).toContain("default-src 'none'")
  expect(policy).toContain("script-src 'self'")
  expect(policy).not.toContain('unsafe')
  expect(await page.text()).not.toMatch(/<script(?![^>]*src=)|\son\w+=|\sstyle=|https?:\/\//)
  expect((await fetch(`${server.url}/console/api/overview`)).status).toBe(503)
  server.mountConsole(new ApiRoutes({ overview: async () => ({ live: null }) }))
  expect(await (await fetch(`${server.url}/console/api/overview`)).json()).toEqual({ live: null })
  expect((await fetch(`${server.url}/console`, { redirect: 'manual' })).status).toBe(308)
})

test('nothing but the files of the page can be asked for', async () => {
  const server = await serve()
  for (const name of ['../server.ts', '%2e%2e/server.ts', 'main.ts', 'tsconfig.json']) {
    expect((await fetch(`${server.url}/console/${name}`)).status, name).toBe(404)
  }
})
