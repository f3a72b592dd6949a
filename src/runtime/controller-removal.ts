import { messageOf } from '../errors.ts'
import type { ControlDocument } from '../records/types.ts'
import type { ArtifactStore } from './generation/artifact-store.ts'
import { removeGeneration } from './generation/generation.ts'
import type { Clock, Logger } from './ports.ts'

interface RemovalDeps {
  readonly artifacts: ArtifactStore
  readonly clock: Clock
  readonly log: Logger
}

const retryMs = 10_000

/**
 * Takes the folders of generations out of the store that the document remembers and no longer keeps. Anything else in the store is somebody
 * else's. It goes by documents that have been published, so one that could not finish is made up for by the next controller.
 */
export class Removal {
  readonly #deps: RemovalDeps
  readonly #gone = new Set<string>()
  #running: Promise<void> | null = null
  #notBeforeMs = 0

  constructor(deps: RemovalDeps) {
    this.#deps = deps
  }

  /** Nobody has to wait for it. */
  start(published: ControlDocument): void {
    const nowMs = this.#deps.clock.nowMs()
    const due = dispensable(published).filter((generation) => !this.#gone.has(generation))
    if (due.length === 0 || this.#running !== null || nowMs < this.#notBeforeMs) return
    this.#running = this.#remove(due)
      .catch((error: unknown) => {
        this.#notBeforeMs = nowMs + retryMs
        this.#deps.log.warn(
          { generations: due, error: messageOf(error) },
          'the files of generations that are no longer kept cannot be removed; trying again',
        )
      })
      .finally(() => (this.#running = null))
  }

  async close(): Promise<void> {
    await this.#running
  }

  async #remove(due: readonly string[]): Promise<void> {
    const { artifacts, log } = this.#deps
    const present = new Set(await artifacts.list('generations'))
    for (const generation of due) {
      if (present.has(generation)) {
        await removeGeneration(artifacts, generation)
        log.info({ generation }, 'removed the files of a generation that is no longer kept')
      }
      this.#gone.add(generation)
    }
  }
}

function dispensable({ states, kept, live, candidate, previous }: ControlDocument): string[] {
  const named = new Set([...kept, live, candidate, previous])
  return Object.keys(states).filter((generation) => !named.has(generation))
}
