import type { RoleContext } from './role-context.ts'
import { throwFailure } from './role-ending.ts'
import { rolesOf, type RoleName } from './role-names.ts'
import { runRoles } from './roles.ts'

interface Started {
  readonly stop: () => void
  readonly ended: Promise<void>
}

/** All roles, of which one can be stopped before the others. */
export class StartedRoles {
  /** Rejects with what made a role fail, when all have ended. */
  readonly ended: Promise<void>
  readonly #started: ReadonlyMap<RoleName, Started>

  /** @param onFailure is to end the others, by the signal of the context */
  constructor(context: RoleContext, onFailure: () => void) {
    const names = rolesOf(context.config)
    this.#started = new Map(names.map((name) => [name, startOne(name, context, onFailure)]))
    this.ended = allEnded([...this.#started.values()])
  }

  async stop(name: RoleName): Promise<void> {
    const role = this.#started.get(name)!
    role.stop()
    await role.ended
  }
}

function startOne(name: RoleName, context: RoleContext, onFailure: () => void): Started {
  const stopping = new AbortController()
  const signal = AbortSignal.any([context.signal, stopping.signal])
  const ended = runRoles({ ...context, signal }, [name])
  ended.catch(onFailure)
  return { stop: () => stopping.abort(), ended }
}

async function allEnded(all: readonly Started[]): Promise<void> {
  throwFailure(await Promise.allSettled(all.map(({ ended }) => ended)))
}
