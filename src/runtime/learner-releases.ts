import fs from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { SharedParts } from './learner-open.ts'
import { learnerReport } from './learner-report.ts'
import { learnerDir } from './learner-state.ts'
import type { LearnerDeps } from './learner.ts'

const retryMs = 2_000
const recordsPerTransaction = 5_000

interface Release {
  readonly generation: string
  /** Its overrides stay. */
  readonly isKept: boolean
}

/**
 * Removes what generations leave behind that are not trained any more, one after the other and in the background: overrides, rows in
 * Redis, and last the folder with cut log and checkpoints, so that what a crash leaves undone is found again.
 */
export class LearnerReleases {
  readonly #deps: LearnerDeps & SharedParts
  /** Generation -> whether its overrides are gone as well. */
  readonly #done = new Map<string, boolean>()
  #queue: Release[] = []
  #current: { readonly release: Release; readonly ending: AbortController } | null = null
  #running: Promise<void> = Promise.resolve()
  /** Of the current release. */
  #attempting: Promise<void> = Promise.resolve()

  constructor(deps: LearnerDeps & SharedParts) {
    this.#deps = deps
  }

  /** Call when nobody trains it any more. */
  add(generation: string, isKept: boolean): void {
    const isDone = this.#done.get(generation)
    if (isDone === true || (isDone === false && isKept)) return
    const current = this.#current?.release
    if (current?.generation === generation && current.isKept === isKept) return
    this.#queue = this.#queue.filter((other) => other.generation !== generation)
    this.#queue.push({ generation, isKept })
    if (this.#current === null) this.#running = this.#run()
  }

  /** It is to be trained again. Resolves when nothing of it is being removed, nor will be. */
  async spare(generation: string): Promise<void> {
    this.#queue = this.#queue.filter((other) => other.generation !== generation)
    if (this.#current?.release.generation === generation) {
      this.#current.ending.abort()
      await this.#attempting
    }
    this.#done.delete(generation)
  }

  async close(): Promise<void> {
    this.#queue = []
    this.#current?.ending.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const ending = new AbortController()
      this.#current = { release: next, ending }
      this.#attempting = this.#release(next, ending.signal)
      await this.#attempting
    }
    this.#current = null
  }

  async #release(release: Release, signal: AbortSignal): Promise<void> {
    const { log } = this.#deps
    const { generation, isKept } = release
    while (!signal.aborted) {
      try {
        const rows = await this.#remove(release, signal)
        this.#done.set(generation, !isKept)
        log.info({ generation, rows }, 'let go of a generation')
        return
      } catch (error) {
        if (signal.aborted) return
        log.warn({ generation, error: messageOf(error) }, 'letting go of a generation takes longer')
      }
      await sleep(retryMs, undefined, { signal }).catch(() => {})
    }
  }

  async #remove({ generation, isKept }: Release, signal: AbortSignal): Promise<number> {
    const { owner, overrides, clock, config, store } = this.#deps
    // Nothing is removed by a learner that was replaced: its successor may have other orders.
    await owner.transact([learnerReport(this.#deps, 'released', generation, {})])
    if (!isKept) {
      const records = overrides.tombstonesOf(generation, clock.nowMs())
      for (let from = 0; from < records.length; from += recordsPerTransaction) {
        await owner.transact(records.slice(from, from + recordsPerTransaction))
      }
      overrides.forget(generation)
    }
    const rows = await store.drop(generation, config.kafka.partitions, signal)
    await fs.rm(learnerDir(config.stateDir, generation), { recursive: true, force: true })
    return rows
  }
}
