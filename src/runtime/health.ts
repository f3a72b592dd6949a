import type { Metrics } from '../metrics/metrics.ts'

/** Whether each role of this process can do its work, for /readyz, the metrics and `freshet status`. */
export class Health {
  readonly #metrics: Pick<Metrics, 'isReady'>
  readonly #roles = new Map<string, { isReady: boolean; detail: string }>()

  constructor(metrics: Pick<Metrics, 'isReady'>) {
    this.#metrics = metrics
  }

  /** @param detail what the role waits for, or what it is doing; shown as is */
  set(role: string, isReady: boolean, detail: string): void {
    this.#roles.set(role, { isReady, detail })
    this.#metrics.isReady.set({ role }, isReady ? 1 : 0)
  }

  get isReady(): boolean {
    return this.#roles.size > 0 && [...this.#roles.values()].every((role) => role.isReady)
  }

  report(): Record<string, { isReady: boolean; detail: string }> {
    return Object.fromEntries(this.#roles)
  }
}
