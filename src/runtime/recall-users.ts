import { messageOf } from '../errors.ts'
import { partitionOf } from '../records/partition.ts'
import { resolveUser } from '../streams/recall.ts'
import type { ResolvedUser, UserRead } from '../streams/recall.ts'
import type { Clock, OnlineStore } from './ports.ts'
import type { ServingGeneration } from './recall-generation.ts'

export interface UserReaderOptions {
  readonly store: Pick<OnlineStore, 'read'>
  readonly clock: Clock
  readonly partitions: number
  readonly redisDeadlineMs: number
  readonly rowCacheMs: number
}

/** Reads users from the online store, one command each, and remembers them for when it is away. */
export class UserReader {
  readonly #options: UserReaderOptions

  constructor(options: UserReaderOptions) {
    this.#options = options
  }

  /** Never fails: a store that is away, late or empty makes the user DEGRADED. */
  async resolve(serving: ServingGeneration, userId: string): Promise<ResolvedUser> {
    const { clock, rowCacheMs } = this.#options
    const known = serving.knownUsers.get(userId)
    if (known !== undefined && clock.nowMs() - known.readAtMs < rowCacheMs) {
      return { status: 'OK', message: '', ...known }
    }
    const resolved = resolveUser(await this.#read(serving, userId), known, serving.dim)
    this.#remember(serving, userId, resolved)
    return resolved
  }

  async #read({ generation }: ServingGeneration, userId: string): Promise<UserRead> {
    const { store, partitions, redisDeadlineMs } = this.#options
    try {
      const partition = partitionOf(userId, partitions)
      return await store.read(generation, partition, userId, redisDeadlineMs)
    } catch (error) {
      return { failure: messageOf(error) }
    }
  }

  #remember({ knownUsers }: ServingGeneration, userId: string, resolved: ResolvedUser): void {
    const { status, user, learnedThroughMs } = resolved
    if (status === 'COLD_USER') knownUsers.delete(userId)
    if (status !== 'OK' || user === null) return
    // Of two reads that overtook each other, the newer row stays.
    const before = knownUsers.get(userId)
    if (before !== undefined && before.user.offset > user.offset) return
    knownUsers.set(userId, { user, learnedThroughMs, readAtMs: this.#options.clock.nowMs() })
  }
}
