import { messageOf } from '../errors.ts'
import { parseExposition, type Series as Exposed } from '../metrics/exposition.ts'
import type { MetricsSource } from './api.ts'
import { History, sampleOf } from './history.ts'

/** One process's metrics. */
export interface MetricsPage {
  readonly name: string
  /** Prometheus text. */
  read(): Promise<string>
}

/** @param url without /metrics */
export function remotePage(url: string): MetricsPage {
  return {
    name: url,
    read: async () => {
      const response = await fetch(`${url.replace(/\/$/, '')}/metrics`, {
        signal: AbortSignal.timeout(timeoutMs),
      })
      if (!response.ok) throw new Error(`it answers ${response.status}`)
      return response.text()
    },
  }
}

const everyMs = 1_000
const timeoutMs = 800

/** Looks at the metrics of every known process once a second, and remembers. */
export class MetricsFeed {
  readonly history = new History()
  readonly #pages: readonly MetricsPage[]
  /** As last read. A process that does not answer once has not lost what it counted. */
  readonly #newest = new Map<string, readonly Exposed[]>()
  readonly #problems = new Map<string, string>()
  readonly #timer: NodeJS.Timeout
  #isReading = false

  constructor(pages: readonly MetricsPage[]) {
    this.#pages = pages
    this.#timer = setInterval(() => void this.#read(), everyMs)
    void this.#read()
  }

  get sources(): MetricsSource[] {
    return this.#pages.map(({ name }) => ({ name, problem: this.#problems.get(name) ?? null }))
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #read(): Promise<void> {
    if (this.#isReading || this.#pages.length === 0) return
    this.#isReading = true
    const results = await Promise.all(this.#pages.map((page) => this.#readPage(page)))
    this.#isReading = false
    if (!results.includes(true)) return
    const all = [...this.#newest.values()].flat()
    this.history.add(sampleOf(all, Date.now()))
  }

  async #readPage({ name, read }: MetricsPage): Promise<boolean> {
    try {
      this.#newest.set(name, parseExposition(await read()))
      this.#problems.delete(name)
      return true
    } catch (error) {
      this.#problems.set(name, `does not answer: ${messageOf(error)}`)
      return false
    }
  }
}
