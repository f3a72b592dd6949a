import { expect, onTestFinished, test } from 'vitest'
import { serveOperators } from '../../../src/console/server.ts'
import { FreshetError } from '../../../src/errors.ts'
import { createMetrics } from '../../../src/metrics/metrics.ts'
import { Health } from '../../../src/runtime/health.ts'

async function serve() {
  const metrics = createMetrics()
  const health = new Health(metrics)
  const server = await serveOperators(metrics, health, '127.0.0.1', 0)
  onTestFinished(() => server.close())
  return { metrics, health, server }
}

test('/metrics is what Prometheus reads, with quantiles and series by label', async () => {
  const { metrics, server } = await serve()
  metrics.events.inc({ kind: 'click' }, 3)
  metrics.stageDelay.observe({ stage: 'ingest' }, 0.03)
  const text = await (await fetch(`${server.url}/metrics`)).text()
  expect(text).toContain('freshet_events_total{kind="click"} 3')
  expect(text).toContain('freshet_stage_delay_seconds_bucket{le="0.05",stage="ingest"} 1')
  expect(metrics.stageDelay.quantileMs('ingest', 0.5)).toBe(30)
})

test('/readyz says 503 and why until every role is ready; /healthz answers all the time', async () => {
  const { metrics, health, server } = await serve()
  health.set('ingest', true, 'running')
  health.set('pod', false, 'waiting for a generation')
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
  const waiting = await fetch(`${server.url}/readyz`)
  expect(waiting.status).toBe(503)
  expect(await waiting.json()).toMatchObject({
    roles: { pod: { detail: 'waiting for a generation' } },
  })
  const text = await (await fetch(`${server.url}/metrics`)).text()
  expect(text).toContain('freshet_role_ready{role="ingest"} 1')
  expect(text).toContain('freshet_role_ready{role="pod"} 0')
  health.set('pod', true, 'running')
  expect(await metrics.registry.getSingleMetricAsString('freshet_role_ready')).toContain(
    '{role="pod"} 1',
  )
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
})

test('anything else is refused', async () => {
  const { server } = await serve()
  expect((await fetch(`${server.url}/nothing`)).status).toBe(404)
  expect((await fetch(`${server.url}/metrics`, { method: 'POST' })).status).toBe(405)
})

test('a taken port is named, with the remedy', async () => {
  const { server, metrics, health } = await serve()
  const port = Number(new URL(server.url).port)
  const error: unknown = await serveOperators(metrics, health, '127.0.0.1', port).catch(
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(FreshetError)
  expect((error as FreshetError).code).toBe('PORT_TAKEN')
  expect((error as FreshetError).message).toContain(`${port}`)
  expect((error as FreshetError).message).toContain('--set metrics.port=0')
})
