import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiRoutes } from './api-routes.ts'
import type { ApiProblem } from './api.ts'
import { pageHeaders, readPage, type PageFile } from './pages.ts'

const root = '/console/'
const apiRoot = '/console/api/'

/** Everything below /console/: the page from the start on, its data once there is somebody to ask. */
export class ConsoleRoutes {
  readonly #files: ReadonlyMap<string, PageFile> = readPage()
  #api: ApiRoutes | null = null

  /** From now on questions are answered; null: no longer. */
  mount(api: ApiRoutes | null): void {
    this.#api = api
  }

  /** @returns false for a path that is none of the console's */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    if (pathname === '/console') {
      response.writeHead(308, { location: root }).end()
      return true
    }
    if (!pathname.startsWith(root)) return false
    if (pathname.startsWith(apiRoot)) {
      await this.#answerApi(pathname.slice(apiRoot.length), searchParams, response)
      return true
    }
    const file = this.#files.get(pathname.slice(root.length) || 'index.html')
    if (file === undefined) return false
    response.writeHead(200, { ...pageHeaders, 'content-type': file.type }).end(file.body)
    return true
  }

  async #answerApi(
    name: string,
    parameters: URLSearchParams,
    response: ServerResponse,
  ): Promise<void> {
    const headers = { ...pageHeaders, 'content-type': 'application/json; charset=utf-8' }
    if (this.#api === null) {
      const message = 'this process has no data for the console yet: it waits for Kafka'
      const starting: ApiProblem = { error: { code: 'BROKER_UNAVAILABLE', message } }
      response.writeHead(503, headers).end(JSON.stringify(starting))
      return
    }
    const { status, body } = await this.#api.answer(name, parameters)
    response.writeHead(status, headers).end(body)
  }
}
