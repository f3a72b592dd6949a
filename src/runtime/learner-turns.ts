/**
 * Who may apply a cut next, of several lineages on one thread. The live one never waits for more than one cut of another; what it
 * leaves is shared in order of asking.
 */
export class Turns {
  readonly #live: (() => void)[] = []
  readonly #others: (() => void)[] = []
  #isTaken = false
  #wasLive = false

  /** Runs `work` when nothing else runs. */
  async take<T>(isLive: boolean, work: () => Promise<T>): Promise<T> {
    if (this.#isTaken) {
      await new Promise<void>((resolve) => (isLive ? this.#live : this.#others).push(resolve))
    }
    this.#isTaken = true
    this.#wasLive = isLive
    try {
      return await work()
    } finally {
      this.#pass()
    }
  }

  #pass(): void {
    const [first, second] = this.#wasLive ? [this.#others, this.#live] : [this.#live, this.#others]
    const next = first.shift() ?? second.shift()
    if (next === undefined) this.#isTaken = false
    else next()
  }
}
