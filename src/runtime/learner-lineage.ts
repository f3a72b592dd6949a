import { setTimeout as sleep } from 'node:timers/promises'
import { FreshetError, messageOf } from '../errors.ts'
import type { LineageRole } from '../streams/learner-lineages.ts'
import type { LearnerSession } from './learner-session.ts'
import type { Logger } from './ports.ts'

const retryMinMs = 100
const retryMaxMs = 2_000
/** What cannot be opened will hardly be better the next second. */
const refusedRetryMs = 10_000

export interface LineageOptions {
  readonly generation: string
  readonly role: LineageRole
  readonly log: Logger
  open(role: LineageRole, onChange: () => void): Promise<LearnerSession>
  /** It was opened, failed, or has published. */
  onChange(): void
  /** It could not be opened, for a reason that does not pass by itself; it is tried again later. */
  onRefused(why: string): void
  /** Nothing can go on. */
  onFatal(error: unknown): void
}

/** Keeps one generation in training: opens it, and opens it again when it fails, without the others noticing. */
export class KeptLineage {
  readonly generation: string
  readonly #options: LineageOptions
  #role: LineageRole
  #session: LearnerSession | null = null
  #isStopping = false
  #isFailing = false
  #lastWhy = ''
  #retry = new AbortController()
  readonly #running: Promise<void>

  constructor(options: LineageOptions) {
    this.generation = options.generation
    this.#options = options
    this.#role = options.role
    this.#running = this.#keep()
  }

  /** Null while it is being opened. */
  get session(): LearnerSession | null {
    return this.#session
  }

  /** The last attempt to have it failed. */
  get isFailing(): boolean {
    return this.#isFailing
  }

  get role(): LineageRole {
    return this.#role
  }

  set role(role: LineageRole) {
    if (role === this.#role) return
    this.#role = role
    if (this.#session !== null) this.#session.role = role
    this.#retry.abort()
  }

  async stop(isClean: boolean): Promise<void> {
    this.#isStopping = true
    this.#retry.abort()
    await this.#session?.stop(isClean)
    await this.#running
  }

  async #keep(): Promise<void> {
    for (let failures = 0; !this.#isStopping;) {
      try {
        await this.#serve()
      } catch (error) {
        const waitMs = this.#judge(error, failures++)
        await this.#end()
        if (waitMs === null || this.#isStopping) return
        this.#isFailing = true
        this.#options.onChange()
        this.#retry = new AbortController()
        await sleep(waitMs, undefined, { signal: this.#retry.signal }).catch(() => {})
      }
    }
  }

  /** Until it is stopped, or fails. */
  async #serve(): Promise<void> {
    const { open, onChange } = this.#options
    const session = await open(this.#role, onChange)
    this.#session = session
    session.role = this.#role
    this.#isFailing = false
    this.#lastWhy = ''
    if (this.#isStopping) return session.stop(false)
    onChange()
    await session.run()
  }

  async #end(): Promise<void> {
    const session = this.#session
    this.#session = null
    // Stopping it is up to `stop` where that has been called.
    if (!this.#isStopping) await session?.stop(false)
  }

  /** How long to wait before the next attempt; null: there is none. */
  #judge(error: unknown, failures: number): number | null {
    const { generation, log, onRefused, onFatal } = this.#options
    if (this.#isStopping) return null
    const role = this.#role
    const isOurs = !(error instanceof FreshetError) || error.code === 'INVARIANT_VIOLATED'
    if (isOurs || (error.disposition === 'fatal' && role === 'live')) {
      onFatal(error)
      return null
    }
    const why = messageOf(error)
    const fields = { generation, role, code: error.code, error: why }
    if (error.disposition !== 'fatal') {
      log.warn(fields, 'a lineage failed and is opened again')
      return Math.min(retryMaxMs, retryMinMs * 2 ** failures)
    }
    if (why !== this.#lastWhy) log.error(fields, 'a generation cannot be trained; trying again')
    this.#lastWhy = why
    onRefused(why)
    return refusedRetryMs
  }
}
