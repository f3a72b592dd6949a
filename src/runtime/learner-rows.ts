import { setImmediate as otherWork, setTimeout as sleep } from 'node:timers/promises'
import { FreshetError, messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { partitionOf } from '../records/partition.ts'
import type { Learner } from '../streams/learner.ts'
import type { LearnerSync } from '../streams/learner-types.ts'
import type { UserRow } from '../streams/learner-users.ts'
import { groupBy } from './kafka/group-by.ts'
import type { Logger, OnlineStore, OnlineWrite } from './ports.ts'

type Position = OnlineWrite['learnedThrough']

const retryMinMs = 50
const retryMaxMs = 1_000
const rowsPerLoad = 2_000
/** Rows looked at before other work gets its turn. */
const rowsPerTurn = 10_000

export interface RowsOptions {
  readonly store: OnlineStore
  readonly generation: string
  readonly partitions: number
  /** Of this run of the learner: the store takes rows from nobody else. */
  readonly runId: string
  /** Of a generation whose user rows are frozen, the event time that it has come to: nothing is stored as newer. */
  readonly freshThroughMs?: number
  /** Throws where another learner has taken over. Asked before anything is loaded over what is there. */
  readonly assertOwner: () => Promise<void>
  readonly metrics: Metrics
  readonly log: Logger
}

/**
 * The learner's rows in the online store. It survives everything the store does: away, emptied, or fallen back to an older state by a
 * replica or a file; what it lacks is loaded again from the table.
 */
export class LearnerRows {
  readonly #options: RowsOptions
  /** By partition: what the store has acknowledged. */
  readonly #acknowledged: number[]
  /** By partition: what the store said last. */
  readonly #isThere: boolean[]
  /** By partition: what the store holds at least, as acknowledged. */
  readonly #learnedThrough: (Position & { readonly partition: number })[]

  constructor(options: RowsOptions) {
    this.#options = options
    this.#acknowledged = new Array<number>(options.partitions).fill(-Infinity)
    this.#isThere = new Array<boolean>(options.partitions).fill(false)
    this.#learnedThrough = this.#acknowledged.map((_, partition) => {
      return { partition, ...unknownPosition }
    })
  }

  /** Every row is in the store, as far as is known. */
  get isLoaded(): boolean {
    return this.#isThere.every(Boolean)
  }

  /** By partition. */
  get learnedThrough(): readonly (Position & { readonly partition: number })[] {
    return this.#learnedThrough
  }

  /** Shuts out the learner before. A partition that is not loaded, or a store that is away, is dealt with at the first write. */
  async claim(): Promise<void> {
    const { store, generation, runId, log } = this.#options
    try {
      for (const partition of this.#acknowledged.keys()) {
        await store.claim(generation, partition, runId, -Infinity)
      }
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'Redis is away: learning goes on, rows follow later')
    }
  }

  /** Says what a run before is known to have had acknowledged. */
  expect(partition: number, { offset, eventTimeMs }: Position): void {
    this.#acknowledged[partition] = offset
    this.#learnedThrough[partition] = { partition, offset, eventTimeMs }
  }

  /** Resolves when every row of the sync is acknowledged, however long that takes. @throws FreshetError ABORTED by the signal */
  async write(sync: LearnerSync, learner: Learner, signal: AbortSignal): Promise<void> {
    const { partitions } = this.#options
    const changes = new Map(sync.partitions.map((each) => [each.partition, each]))
    const removed = groupBy(sync.removedUsers, (userId) => partitionOf(userId, partitions))
    const writes = Array.from(this.#acknowledged.keys(), (partition) => {
      const { rows = [], learnedThrough = unknownPosition } = changes.get(partition) ?? {}
      return { partition, rows, learnedThrough, removedUsers: removed.get(partition) ?? [] }
    })
    let waitMs = retryMinMs
    for (;;) {
      if (signal.aborted) throw new FreshetError('ABORTED', 'Stopped before Redis had every row')
      try {
        const results = await Promise.all(writes.map((write) => this.#write(write)))
        const refused = writes.filter((_, i) => results[i] === 'not-loaded')
        for (const { partition } of refused) this.#isThere[partition] = false
        if (refused.length === 0) return
        if (await this.#recover(refused, learner, signal)) continue
      } catch (error) {
        if (!(error instanceof FreshetError) || error.code !== 'REDIS_UNAVAILABLE') throw error
      }
      await sleep(waitMs, undefined, { signal }).catch(() => {})
      waitMs = Math.min(2 * waitMs, retryMaxMs)
    }
  }

  async #write(write: Omit<OnlineWrite, 'generation' | 'runId'> & { partition: number }) {
    const { store, generation, runId } = this.#options
    const { partition, learnedThrough } = write
    const acknowledgedOffset = this.#acknowledged[partition]!
    const stored = { ...write, ...this.#stored(write) }
    const result = await store.write({ ...stored, generation, runId, acknowledgedOffset })
    if (result === 'written') {
      this.#acknowledged[partition] = learnedThrough.offset
      this.#learnedThrough[partition] = { partition, ...learnedThrough }
      this.#isThere[partition] = true
    }
    return result
  }

  /** The store does not know this run, or not the rows it should have. @returns false: it was emptied meanwhile */
  async #recover(
    refused: readonly Part[],
    learner: Learner,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { store, generation, runId, assertOwner, log, metrics } = this.#options
    await assertOwner()
    const lost: Part[] = []
    for (const part of refused) {
      const { partition } = part
      const acknowledged = this.#acknowledged[partition]!
      if (await store.claim(generation, partition, runId, acknowledged)) continue
      lost.push(part)
      if (acknowledged === -Infinity) continue
      metrics.redisReloads.inc()
      log.warn(
        { generation, partition },
        'Redis has lost rows of this partition: loading all of them again',
      )
    }
    return lost.length === 0 || this.#load(lost, learner, signal)
  }

  /**
   * Every row of these partitions, as the table has it now. Rows that change meanwhile are part of the next sync. The positions are from
   * before: a load never promises more than the sync it belongs to.
   */
  async #load(parts: readonly Part[], learner: Learner, signal: AbortSignal): Promise<boolean> {
    const { store, generation, partitions, runId, log } = this.#options
    for (const { partition } of parts) await store.beginLoad(generation, partition, runId)
    const loads = new Map(
      parts.map((part) => [part.partition, { part, rows: [] as UserRow[], count: 0 }]),
    )
    const flush = async (load: { part: Part; rows: UserRow[]; count: number }): Promise<void> => {
      if (signal.aborted) throw new FreshetError('ABORTED', 'Stopped while loading Redis')
      const { partition, learnedThrough } = load.part
      const { rows } = load
      load.count += rows.length
      load.rows = []
      const stored = this.#stored({ rows, learnedThrough })
      const result = await store.load({ ...stored, generation, partition, runId })
      if (result === 'written') return
      throw new FreshetError('REDIS_UNAVAILABLE', 'Redis was emptied during a load')
    }
    let seen = 0
    for (const row of learner.users.all()) {
      const load = loads.get(partitionOf(row.userId, partitions))
      load?.rows.push(row)
      if (load !== undefined && load.rows.length >= rowsPerLoad) await flush(load)
      if (++seen % rowsPerTurn === 0) await otherWork()
    }
    let isWhole = true
    for (const load of loads.values()) {
      await flush(load)
      isWhole = (await this.#closeLoad(load.part, load.count)) && isWhole
    }
    const rows = [...loads.values()].reduce((sum, { count }) => sum + count, 0)
    if (isWhole) log.info({ generation, partitions: parts.length, rows }, 'loaded rows into Redis')
    return isWhole
  }

  #stored({ rows, learnedThrough }: Pick<OnlineWrite, 'rows' | 'learnedThrough'>) {
    const { freshThroughMs = Infinity } = this.#options
    const timed = <T extends { readonly eventTimeMs: number }>(one: T): T =>
      one.eventTimeMs <= freshThroughMs ? one : { ...one, eventTimeMs: freshThroughMs }
    return { rows: rows.map(timed), learnedThrough: timed(learnedThrough) }
  }

  /** @returns false: Redis was emptied once more, and the next attempt starts over */
  async #closeLoad({ partition, learnedThrough }: Part, count: number): Promise<boolean> {
    const { store, generation, runId } = this.#options
    const sentinel = { count, offset: learnedThrough.offset, runId }
    if ((await store.writeSentinel(generation, partition, sentinel)) === 'not-loaded') return false
    this.#acknowledged[partition] = learnedThrough.offset
    return true
  }
}

/** What a sync says of one partition. */
type Part = Pick<OnlineWrite, 'partition' | 'learnedThrough'>

/** Of a partition nothing has come from yet. */
const unknownPosition: Position = { offset: 0, eventTimeMs: 0 }
