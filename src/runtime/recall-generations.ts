import { messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { ControlDocument } from '../records/types.ts'
import type { Logger } from './ports.ts'
import type { ServingGeneration } from './recall-generation.ts'

export interface GenerationsOptions {
  /** Loads and verifies. */
  readonly open: (id: string) => Promise<ServingGeneration>
  readonly retryMs: number
  readonly metrics: Metrics
  readonly log: Logger
}

type Wanted = Pick<ControlDocument, 'live' | 'previous'>

/**
 * Follows the control document: loads the live generation beside the one being served and then switches between two
 * requests. What cannot be loaded replaces nothing and is tried again; the previous generation stays loaded, so that a
 * rollback is a switch.
 */
export class Generations {
  readonly #options: GenerationsOptions
  readonly #loaded = new Map<string, ServingGeneration>()
  #current: ServingGeneration | null = null
  #wanted: Wanted = { live: null, previous: null }
  #settling: Promise<void> | null = null
  #retry: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: GenerationsOptions) {
    this.#options = options
  }

  get current(): ServingGeneration | null {
    return this.#current
  }

  /** Resolves when the wanted generation is served, or the first attempt at it has failed. */
  follow(wanted: Wanted): Promise<void> {
    this.#wanted = wanted
    return this.#settle()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#retry)
    await this.#settling
    this.#switchTo(null)
    for (const serving of this.#loaded.values()) serving.retire()
    this.#loaded.clear()
  }

  #settle(): Promise<void> {
    this.#settling ??= this.#untilSettled().finally(() => (this.#settling = null))
    return this.#settling
  }

  async #untilSettled(): Promise<void> {
    clearTimeout(this.#retry)
    for (;;) {
      const { live } = this.#wanted
      const isThere = live === null || this.#loaded.has(live) || (await this.#load(live))
      if (this.#isClosed) return
      // The document may have changed while the generation was loading.
      if (this.#wanted.live !== live) continue
      if (isThere) this.#switchTo(live === null ? null : this.#loaded.get(live)!)
      else this.#retryLater()
      return
    }
  }

  async #load(id: string): Promise<boolean> {
    try {
      const serving = await this.#options.open(id)
      this.#loaded.set(id, serving)
      return true
    } catch (error) {
      const serving = this.#current?.generation ?? 'none'
      this.#options.log.error(
        { generation: id, serving, error: messageOf(error) },
        `cannot serve generation ${id}, going on with ${serving}`,
      )
      return false
    }
  }

  #switchTo(next: ServingGeneration | null): void {
    const { generationInfo } = this.#options.metrics
    if (next !== this.#current) {
      if (this.#current !== null) {
        generationInfo.remove({ role: 'recall', generation: this.#current.generation })
      }
      if (next !== null) {
        generationInfo.set({ role: 'recall', generation: next.generation }, 1)
        this.#options.log.info(
          {
            generation: next.generation,
            overrideSequence: next.overrideSequence,
            items: next.index.size,
          },
          'serving generation',
        )
      }
      this.#current = next
    }
    for (const [id, serving] of this.#loaded) {
      if (serving === next || id === this.#wanted.previous) continue
      this.#loaded.delete(id)
      serving.retire()
    }
  }

  #retryLater(): void {
    this.#retry = setTimeout(() => void this.#settle(), this.#options.retryMs)
    this.#retry.unref()
  }
}
