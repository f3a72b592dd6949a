import type { TopicNames } from '../records/topics.ts'
import type { ItemOverride } from '../streams/learner-items.ts'
import type { LearnerSync } from '../streams/learner-types.ts'
import type { OverrideLedger } from './learner-ledger.ts'
import type { Arrivals } from './learner-meter.ts'
import { overrideRecords } from './learner-overrides.ts'
import type { LearnerOwner } from './learner-owner.ts'
import type { Clock } from './ports.ts'

export interface OverrideSetsOptions {
  readonly topics: Pick<TopicNames, 'overrides'>
  readonly clock: Clock
  readonly owner: Pick<LearnerOwner, 'transact'>
  readonly overrides: Pick<OverrideLedger, 'note'>
}

/** Where the sets of a generation go on. */
export interface OverrideSetsStart {
  readonly generation: string
  /** Of the newest set in the topic. */
  readonly sequence: number
  /** Owed to the topic by what happened before. */
  readonly withdrawals: readonly ItemOverride[]
}

/** The override sets of one generation, each in one transaction. */
export class PublishedSets {
  readonly #options: OverrideSetsOptions
  readonly #generation: string
  #sequence: number
  #withdrawals: readonly ItemOverride[]

  constructor(options: OverrideSetsOptions, start: OverrideSetsStart) {
    this.#options = options
    this.#generation = start.generation
    this.#sequence = start.sequence
    this.#withdrawals = start.withdrawals
  }

  /** Of the newest set published. */
  get sequence(): number {
    return this.#sequence
  }

  /** @returns false: nothing has moved, so there is no set */
  async publish(
    sync: Pick<LearnerSync, 'overrides' | 'eventTimeMs'>,
    arrivals: Pick<Arrivals, 'items' | 'newest'>,
  ): Promise<boolean> {
    const overrides = [...this.#withdrawals, ...sync.overrides]
    if (overrides.length === 0) return false
    const { topics, clock, owner, overrides: ledger } = this.#options
    const generation = this.#generation
    const sequence = this.#sequence + 1
    const { eventTimeMs } = sync
    const set = { generation, sequence, overrides, eventTimeMs }
    const otherwise = arrivals.newest ?? clock.nowMs()
    const records = overrideRecords(
      topics.overrides,
      set,
      (itemId) => arrivals.items.get(itemId) ?? otherwise,
    )
    ledger.note(generation, overrides)
    await owner.transact(records)
    this.#withdrawals = []
    this.#sequence = sequence
    return true
  }
}
