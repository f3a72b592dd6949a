import type { Logger } from '../ports.ts'

export interface PresenceOptions {
  readonly brokers: readonly string[]
  readonly log: Logger
  /** Told when brokers start or stop answering. */
  onUp(isUp: boolean): void
}

const sayMs = 5_000

/**
 * Whether brokers answer any of the connections of a client. While they do not, or while a start waits for them, it says so every five
 * seconds and why; one broker of several that is gone says nothing, because the others answer in between.
 */
export class KafkaPresence {
  readonly #options: PresenceOptions
  #isUp: boolean | null = null
  #reason: string | null = null
  #waiting = 0
  #saying: NodeJS.Timeout | undefined
  #isSaid = false
  #isClosed = false

  constructor(options: PresenceOptions) {
    this.#options = options
  }

  /** @param failure of the request that just ended; null: it was answered */
  take(failure: string | null): void {
    if (failure !== null) this.#reason = failure
    const isUp = failure === null
    if (isUp === this.#isUp) return
    this.#isUp = isUp
    this.#options.onUp(isUp)
    this.#update()
  }

  /** Says so while this is under way, too. */
  async during<T>(waiting: Promise<T>): Promise<T> {
    this.#waiting++
    this.#update()
    try {
      return await waiting
    } finally {
      this.#waiting--
      this.#update()
    }
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#saying)
  }

  #update(): void {
    if (this.#isClosed) return
    const isAway = this.#isUp === false || this.#waiting > 0
    if (isAway) this.#saying ??= setInterval(() => this.#say(), sayMs).unref()
    else {
      clearInterval(this.#saying)
      this.#saying = undefined
      if (this.#isSaid) this.#options.log.info({}, 'Kafka answers')
      this.#isSaid = false
    }
  }

  #say(): void {
    const { brokers, log } = this.#options
    const reason = this.#isUp === false ? this.#reason : null
    log.warn({ brokers, reason }, `waiting for Kafka at ${brokers.join(', ')}`)
    this.#isSaid = true
  }
}
