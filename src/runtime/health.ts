/** Whether each role of this process can do its work, for /readyz and `freshet status`. */
export class Health {
  readonly #roles = new Map<string, { isReady: boolean; detail: string }>()

  /** @param detail what the role waits for, or what it is doing; shown as is */
  set(role: string, isReady: boolean, detail: string): void {
    this.#roles.set(role, { isReady, detail })
  }

  get isReady(): boolean {
    return this.#roles.size > 0 && [...this.#roles.values()].every((role) => role.isReady)
  }

  report(): Record<string, { isReady: boolean; detail: string }> {
    return Object.fromEntries(this.#roles)
  }
}
