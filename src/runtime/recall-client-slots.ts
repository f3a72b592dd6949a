/** A limited number of places, first come first served. Whoever gives up waiting leaves the queue. */
export class Slots {
  #free: number
  readonly #queue = new Set<() => void>()

  constructor(count: number) {
    this.#free = count
  }

  /**
   * @returns what to call when the place is free again
   * @throws the signal's reason
   */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#free > 0) this.#free--
    else await this.#turn(signal)
    return () => this.#release()
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onTurn = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      const onAbort = () => {
        this.#queue.delete(onTurn)
        reject(signal.reason as Error)
      }
      this.#queue.add(onTurn)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  #release(): void {
    const [next] = this.#queue
    if (next === undefined) {
      this.#free++
      return
    }
    // The place goes from hand to hand, so nobody can slip in between.
    this.#queue.delete(next)
    next()
  }
}
