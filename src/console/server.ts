import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Metrics } from '../metrics/metrics.ts'
import type { Health } from '../runtime/health.ts'
import { listenError } from '../runtime/listen-error.ts'
import type { ApiRoutes } from './api-routes.ts'
import { ConsoleRoutes } from './console-routes.ts'

/** Of the configuration: whose port it is. */
type Section = 'metrics' | 'console'

export interface OperatorServer {
  readonly url: string
  /** Lets the console answer; null ends it. */
  mountConsole(api: ApiRoutes | null): void
  close(): Promise<void>
}

/**
 * /metrics (Prometheus text), /healthz (the process runs) and /readyz (every role can work; 503 and the reasons otherwise), and /console/.
 * @param setting the name of the port in the configuration, for errors
 * @throws FreshetError PORT_TAKEN
 */
export async function serveOperators(
  metrics: Metrics,
  health: Health,
  host: string,
  port: number,
  section: Section = 'metrics',
): Promise<OperatorServer> {
  const routes = new ConsoleRoutes()
  const server = createServer((request, response) => {
    answer(request, response, metrics, health, routes).catch(() => response.destroy())
  })
  await listen(server, host, port, section)
  const address = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    mountConsole: (api) => routes.mount(api),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  metrics: Metrics,
  health: Health,
  routes: ConsoleRoutes,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return send(response, 405, 'text/plain', 'only GET\n')
  switch (request.url?.split('?')[0]) {
    case '/metrics':
      return send(response, 200, metrics.registry.contentType, await metrics.registry.metrics())
    case '/healthz':
      return send(response, 200, 'text/plain', 'ok\n')
    case '/readyz':
      return send(
        response,
        health.isReady ? 200 : 503,
        'application/json',
        `${JSON.stringify({ isReady: health.isReady, roles: health.report() })}\n`,
      )
    default:
      if (await routes.answer(request, response)) return
      return send(response, 404, 'text/plain', 'try /console/, /metrics, /healthz or /readyz\n')
  }
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type }).end(body)
}

function listen(server: Server, host: string, port: number, section: Section): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(section, { host, port }, error)))
    server.listen(port, host, resolve)
  })
}
