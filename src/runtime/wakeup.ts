/** Lets one loop sleep until there may be something to do. A wake-up that comes while nobody sleeps ends the next sleep. */
export class Wakeup {
  #isDue = false
  #wake: (() => void) | null = null

  wake(): void {
    this.#isDue = true
    this.#wake?.()
  }

  /** Resolves when woken, or after so long. */
  async within(ms: number): Promise<void> {
    if (!this.#isDue) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.#wake = null
    }
    this.#isDue = false
  }
}
