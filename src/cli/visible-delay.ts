import { bucketsSince, quantileOf, type Bucket } from '../metrics/buckets.ts'
import { bucketsOf, parseExposition } from '../metrics/exposition.ts'

const windowMs = 10_000
const everyMs = 1_000
const timeoutMs = 500

/** Visible delay of the last seconds, from the metrics page of a process with a learner in it. */
export class VisibleDelay {
  readonly #url: string
  #pages: { readonly atMs: number; readonly buckets: readonly Bucket[] }[] = []

  /** @param url without /metrics */
  constructor(url: string) {
    this.#url = `${url}/metrics`
  }

  /** Null quantiles: nothing became visible, or the page cannot be had. */
  get newest(): { readonly p50Ms: number | null; readonly p99Ms: number | null } {
    const grown = bucketsSince(this.#pages[0]?.buckets ?? [], this.#pages.at(-1)?.buckets ?? [])
    const quantileMs = (share: number): number | null => {
      const seconds = quantileOf(grown, share)
      return seconds === null ? null : seconds * 1_000
    }
    return { p50Ms: quantileMs(0.5), p99Ms: quantileMs(0.99) }
  }

  /** Looks at the page, once a second at most. */
  async read(): Promise<void> {
    const nowMs = performance.now()
    if (nowMs - (this.#pages.at(-1)?.atMs ?? -Infinity) >= everyMs) await this.#take(nowMs)
  }

  async #take(nowMs: number): Promise<void> {
    try {
      const response = await fetch(this.#url, { signal: AbortSignal.timeout(timeoutMs) })
      const page = parseExposition(await response.text())
      const buckets = bucketsOf(page, 'freshet_visible_delay_seconds', { side: 'user' })
      this.#pages.push({ atMs: nowMs, buckets })
    } catch {
      this.#pages = []
    }
    this.#pages = this.#pages.filter(({ atMs }) => nowMs - atMs <= windowMs)
  }
}
