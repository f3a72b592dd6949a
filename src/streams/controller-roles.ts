import type { Report } from '../records/types.ts'

export interface RoleState {
  readonly role: string
  readonly instance: string
  /** The last generation it reported; empty: none. */
  readonly generation: string
  /** When it was last heard of. */
  readonly atMs: number
  readonly isSilent: boolean
}

export interface RoleChange {
  readonly what: 'appeared' | 'changed generation' | 'is silent' | 'is back'
  readonly state: RoleState
}

/** What the reports say about each role's instances, as far as it is news. Silent ones are forgotten after a while. */
export class RoleStates {
  readonly #silentMs: number
  readonly #states = new Map<string, RoleState>()

  /** @param silentMs without a report for this long, an instance counts as silent; after ten times that it is forgotten */
  constructor(silentMs: number) {
    this.#silentMs = silentMs
  }

  get all(): readonly RoleState[] {
    return [...this.#states.values()]
  }

  apply({ role, instance, generation, atMs }: Report): RoleChange | null {
    const key = `${role}/${instance}`
    const before = this.#states.get(key)
    if (before !== undefined && atMs < before.atMs) return null
    const state = { role, instance, generation, atMs, isSilent: false }
    this.#states.set(key, state)
    if (before === undefined) return { what: 'appeared', state }
    if (before.generation !== generation) return { what: 'changed generation', state }
    return before.isSilent ? { what: 'is back', state } : null
  }

  /** Who has fallen silent since the last call. */
  silentAt(nowMs: number): RoleChange[] {
    const changes: RoleChange[] = []
    for (const [key, state] of this.#states) {
      const quietMs = nowMs - state.atMs
      if (quietMs >= 10 * this.#silentMs) this.#states.delete(key)
      else if (quietMs >= this.#silentMs && !state.isSilent) {
        const silent = { ...state, isSilent: true }
        this.#states.set(key, silent)
        changes.push({ what: 'is silent', state: silent })
      }
    }
    return changes
  }
}
