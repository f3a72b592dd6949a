import { messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { ControlDocument } from '../records/types.ts'
import type { Logger } from './ports.ts'
import type { ServingGeneration } from './recall-generation.ts'

export interface GenerationsOptions {
  /** The newest revision of a generation that can be had; null: none yet. */
  readonly newest: (id: string) => number | null
  /** Loads and verifies the newest revision. */
  readonly open: (id: string, signal: AbortSignal) => Promise<ServingGeneration>
  /** Puts the newest revision under a generation that is open. */
  readonly refresh: (serving: ServingGeneration, signal: AbortSignal) => Promise<void>
  /** Called when a generation has become verified, and at a switch. */
  readonly onChange: () => void
  readonly retryMs: number
  /** Of the role: what is being loaded when it comes is let go of, and nothing more is begun. */
  readonly signal: AbortSignal
  readonly metrics: Metrics
  readonly log: Logger
}

type Wanted = Pick<ControlDocument, 'live' | 'candidate' | 'previous'>

interface Job {
  readonly id: string
  readonly revision: number
  readonly aborting: AbortController
  readonly done: Promise<void>
}

/**
 * Follows the control document: holds the live generation, the candidate and the previous one beside each other, and switches between
 * two requests. What cannot be loaded replaces nothing and is tried again, and a rollback is a switch to what is there.
 */
export class Generations {
  readonly #options: GenerationsOptions
  readonly #loaded = new Map<string, ServingGeneration>()
  /** Generation -> its revision that could not be loaded. */
  readonly #failed = new Map<string, number>()
  #current: ServingGeneration | null = null
  #wanted: Wanted = { live: null, candidate: null, previous: null }
  #job: Job | null = null
  #retry: NodeJS.Timeout | undefined
  #isClosed = false
  /** Whoever waits for a change. */
  #waiting: (() => void)[] = []

  constructor(options: GenerationsOptions) {
    this.#options = options
  }

  get current(): ServingGeneration | null {
    return this.#current
  }

  /** Every generation that could be served at once. */
  get verified(): string[] {
    return [...this.#loaded.keys()]
  }

  follow(wanted: Wanted): void {
    this.#wanted = wanted
    this.#switch()
    this.#work()
  }

  /** Resolves when the live generation is served, an attempt at it has failed, none is live, or all is closed. */
  async settled(): Promise<void> {
    while (!this.#isSettled()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** There may be a newer revision of something. */
  look(): void {
    this.#work()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#retry)
    this.#job?.aborting.abort()
    await this.#job?.done
    this.#wakeWaiting()
    this.#serve(null)
    for (const serving of this.#loaded.values()) serving.retire()
    this.#loaded.clear()
  }

  /** One at a time: what requests leave of the processor goes to the one that is needed first. */
  #work(): void {
    const next = this.#next()
    if (this.#job !== null) {
      const isInTheWay = !this.#wants(this.#job.id) || (next !== null && this.#isUrgent(next.id))
      if (isInTheWay && next?.id !== this.#job.id) this.#job.aborting.abort()
      return
    }
    const { signal } = this.#options
    if (next === null || this.#isClosed || signal.aborted) return
    const aborting = new AbortController()
    const ending = AbortSignal.any([signal, aborting.signal])
    const done = this.#load(next.id, next.revision, ending).finally(() => {
      this.#job = null
      this.#work()
    })
    this.#job = { ...next, aborting, done }
  }

  /** What is to be loaded next, by need. */
  #next(): Pick<Job, 'id' | 'revision'> | null {
    const { live, candidate, previous } = this.#wanted
    for (const id of [live, candidate, previous]) {
      const revision = id === null ? null : this.#options.newest(id)
      if (id === null || revision === null || this.#failed.get(id) === revision) continue
      if ((this.#loaded.get(id)?.revision ?? -1) < revision) return { id, revision }
    }
    return null
  }

  #isUrgent(id: string): boolean {
    return id === this.#wanted.live && !this.#loaded.has(id)
  }

  #wants(id: string): boolean {
    const { live, candidate, previous } = this.#wanted
    return id === live || id === candidate || id === previous
  }

  async #load(id: string, revision: number, signal: AbortSignal): Promise<void> {
    const open = this.#loaded.get(id)
    try {
      if (open === undefined) this.#loaded.set(id, await this.#options.open(id, signal))
      else await this.#options.refresh(open, signal)
      this.#failed.delete(id)
      this.#options.log.info({ generation: id, revision }, 'loaded and verified a snapshot')
    } catch (error) {
      if (signal.aborted) return
      this.#failed.set(id, revision)
      this.#retryLater()
      this.#wakeWaiting()
      const serving = this.#current?.generation ?? 'none'
      this.#options.log.error(
        { generation: id, revision, serving, error: messageOf(error) },
        `cannot load generation ${id}, going on with ${serving}`,
      )
      return
    }
    if (this.#isClosed) return
    this.#switch()
    this.#options.onChange()
  }

  /** To the live generation where it is there, and lets go of what nobody wants any more. */
  #switch(): void {
    const { live } = this.#wanted
    if (live === null) this.#serve(null)
    else this.#serve(this.#loaded.get(live) ?? this.#current)
    for (const [id, serving] of this.#loaded) {
      if (serving === this.#current || this.#wants(id)) continue
      this.#loaded.delete(id)
      serving.retire()
    }
    for (const id of this.#failed.keys()) if (!this.#wants(id)) this.#failed.delete(id)
    this.#wakeWaiting()
  }

  #isSettled(): boolean {
    const { live } = this.#wanted
    const isServed = live === (this.#current?.generation ?? null)
    return this.#isClosed || isServed || (live !== null && this.#failed.has(live))
  }

  #wakeWaiting(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }

  #serve(next: ServingGeneration | null): void {
    const { generationInfo } = this.#options.metrics
    if (next === this.#current) return
    if (this.#current !== null) {
      generationInfo.remove({ role: 'recall', generation: this.#current.generation })
    }
    this.#current = next
    if (next === null) return
    const { generation, revision, overrideSequence, index } = next
    generationInfo.set({ role: 'recall', generation }, 1)
    this.#options.log.info(
      { generation, revision, overrideSequence, items: index.size },
      'serving generation',
    )
    this.#options.onChange()
  }

  #retryLater(): void {
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      this.#failed.clear()
      this.#work()
    }, this.#options.retryMs)
    this.#retry.unref()
  }
}
