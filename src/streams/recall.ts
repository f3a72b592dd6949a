import type { Skip, VectorIndex } from '../index/vector-index.ts'
import type { RecallReply, RecallRequest, RecallStatus } from '../records/types.ts'
import type { Catalogue } from './catalogue.ts'

export interface RecallOptions {
  readonly kMax: number
  readonly defaultTimeoutMs: number
  readonly excludeRecentClicks: boolean
}

/** One user as the online store has it. */
export interface OnlineUser {
  /** Offset of the newest example in the row. */
  readonly offset: number
  readonly eventTimeMs: number
  /** [d] */
  readonly row: Float32Array
  /** Newest first. */
  readonly recentItems: readonly string[]
}

/** What one read of the online store said; `failure`: it could not be read, and why. */
export type UserRead =
  | {
      readonly isLoaded: boolean
      readonly row: OnlineUser | null
      readonly learnedThrough: { readonly eventTimeMs: number } | null
    }
  | { readonly failure: string }

/** The last good read of a user. */
export interface KnownUser {
  readonly user: OnlineUser
  readonly learnedThroughMs: number
}

/** Whose row a reply is computed with; `user: null` is the default row. */
export interface ResolvedUser {
  readonly status: 'OK' | 'COLD_USER' | 'DEGRADED'
  readonly message: string
  readonly user: OnlineUser | null
  readonly learnedThroughMs: number
}

/** Everything of one generation that an answer is made of, at one moment. */
export interface ServedGeneration {
  readonly generation: string
  readonly overrideSequence: number
  readonly index: VectorIndex
  readonly catalogue: Catalogue
}

/** What is wrong with a request, or null. */
export function refusalOf(request: RecallRequest, { kMax }: RecallOptions): string | null {
  if (request.userId === '') return 'userId is empty'
  if (request.k < 1 || request.k > kMax) {
    return `k is ${request.k}; it must be between 1 and ${kMax} (recall.kMax)`
  }
  if (request.filter !== null && request.filter.feature === '') return 'filter.feature is empty'
  if (request.filter !== null && request.filter.values.length === 0) {
    return `filter.values is empty: no item could match; leave the filter out to have all`
  }
  return null
}

/** After this moment nobody waits for the reply. A timeout of 0 or less is the default one. */
export function deadlineOf(
  request: RecallRequest,
  timestampMs: number,
  { defaultTimeoutMs }: RecallOptions,
): number {
  return timestampMs + (request.timeoutMs > 0 ? request.timeoutMs : defaultTimeoutMs)
}

/**
 * The newest row of the user that can be had. An absent row means a cold user only where the store is known to be
 * complete; in every other case it may just be lost, so the last known row serves, or the default one, as DEGRADED.
 * @param dim width that a row of this generation has
 */
export function resolveUser(
  read: UserRead,
  known: KnownUser | undefined,
  dim: number,
): ResolvedUser {
  if ('failure' in read) return degraded(read.failure, known)
  const learnedThroughMs = read.learnedThrough?.eventTimeMs ?? 0
  const { row } = read
  if (row !== null && !isUsable(row.row, dim)) {
    return degraded('the stored row of the user is damaged', known)
  }
  if (!read.isLoaded) {
    const stored = row === null ? undefined : { user: row, learnedThroughMs }
    return degraded(
      'the rows of this generation are not loaded in Redis yet',
      newest(stored, known),
    )
  }
  if (row === null) {
    return { status: 'COLD_USER', message: 'no row yet: default row', user: null, learnedThroughMs }
  }
  return { status: 'OK', message: '', user: row, learnedThroughMs }
}

/** What a reply looks for. */
export interface RecallQuery {
  /** User vector [d]. */
  readonly vector: Float32Array
  readonly k: number
  /** What is excluded, and what is withdrawn at the moment it is asked. */
  readonly skip: Skip
  /** What the filter lets through; null: no filter. */
  readonly among: ReadonlySet<string> | null
}

/**
 * @param vector user vector [o], computed from `resolved` with this generation's tower
 */
export function queryOf(
  { catalogue }: Pick<ServedGeneration, 'catalogue'>,
  { exclude, filter, k }: Pick<RecallRequest, 'exclude' | 'filter' | 'k'>,
  resolved: ResolvedUser,
  vector: Float32Array,
  { excludeRecentClicks }: RecallOptions,
): RecallQuery {
  const excluded = new Set(exclude)
  if (excludeRecentClicks) for (const id of resolved.user?.recentItems ?? []) excluded.add(id)
  const skip = (id: string) => excluded.has(id) || catalogue.isWithdrawn(id)
  return { vector, k, skip, among: filter === null ? null : catalogue.matching(filter) }
}

export function answer(
  served: ServedGeneration,
  request: RecallRequest,
  resolved: ResolvedUser,
  { vector, k, skip, among }: RecallQuery,
): RecallReply {
  const { catalogue, index } = served
  // Exact among the matching ones: an approximate search starves under a filter.
  const found =
    among === null ? index.search(vector, k, skip) : index.searchAmong(vector, k, among, skip)
  return {
    correlationId: request.correlationId,
    status: resolved.status,
    message: resolved.message,
    items: found.ids.map((itemId, i) => ({
      itemId,
      score: found.scores[i]!,
      title: request.withTitles ? catalogue.titleOf(itemId) : '',
    })),
    generation: served.generation,
    overrideSequence: served.overrideSequence,
    userEventTimeMs: resolved.user?.eventTimeMs ?? 0,
    userOffset: resolved.user?.offset ?? null,
    learnedThroughMs: resolved.learnedThroughMs,
  }
}

/** A reply without items: `served` is null where there is no generation. */
export function emptyReply(
  request: Pick<RecallRequest, 'correlationId'>,
  status: Exclude<RecallStatus, 'OK' | 'COLD_USER'>,
  message: string,
  served: Pick<ServedGeneration, 'generation' | 'overrideSequence'> | null,
): RecallReply {
  return {
    correlationId: request.correlationId,
    status,
    message,
    items: [],
    generation: served?.generation ?? '',
    overrideSequence: served?.overrideSequence ?? 0,
    userEventTimeMs: 0,
    userOffset: null,
    learnedThroughMs: 0,
  }
}

function degraded(message: string, known: KnownUser | undefined): ResolvedUser {
  return {
    status: 'DEGRADED',
    message: `${message}; served with the ${known === undefined ? 'default' : 'last known'} row`,
    user: known?.user ?? null,
    learnedThroughMs: known?.learnedThroughMs ?? 0,
  }
}

function newest(a: KnownUser | undefined, b: KnownUser | undefined): KnownUser | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return a.user.offset >= b.user.offset ? a : b
}

/** A row that would poison the tower is no row. */
function isUsable(row: Float32Array, dim: number): boolean {
  return row.length === dim && row.every((value) => Math.abs(value) <= 1e6)
}
