import { FreshetError, messageOf, type ErrorCode } from '../errors.ts'
import { OpenRequest, OpenRequests } from './open-requests.ts'

/** What has happened since the state was made; for metrics. No part of what a rebuild restores. */
export interface JoinerCounters {
  examples: number
  duplicates: number
  /** Impressions with the id of another one and other content. */
  conflicts: number
  /** Requests closed because none of the last `openImpressionsMax` records named them. */
  evictions: number
  /** Request ids reused for so long that nothing of theirs is joined any more. */
  overstays: number
  readonly deadLetters: Partial<Record<ErrorCode, number>>
}

export interface JoinerState {
  /** Highest event time so far, 0 before the first. */
  streamTimeMs: number
  readonly requests: OpenRequests
  counters: JoinerCounters
}

/** What a commit says besides its offset. */
export interface CommitMetadata {
  /** A rebuild reads [lowWater, committed offset). */
  readonly lowWater: number
  readonly streamTimeMs: number
  /** Stream time just before the record at `lowWater`. */
  readonly streamTimeAtLowWaterMs: number
  /** Requests older than `lowWater` that are nothing but an id any more, oldest first. */
  readonly overstayed: readonly Overstayed[]
}

interface Overstayed {
  readonly requestId: string
  readonly firstOffset: number
  readonly lastOffset: number
  readonly keepUntilMs: number
  readonly streamTimeBeforeMs: number
}

/** Kafka stores 4,096 bytes of metadata a partition; so many overstayed ids of such a size stay below 3,000. */
const overstayedMax = 16
const overstayedIdBytesMax = 80

export function emptyState(streamTimeMs = 0): JoinerState {
  return { streamTimeMs, requests: new OpenRequests(), counters: noCounts() }
}

export function openCount(state: JoinerState): number {
  return state.requests.size
}

/**
 * The metadata to commit together with `nextOffset`. An id that is reused without end would hold `lowWater` back for ever,
 * so the oldest overstayed ones travel in the metadata instead.
 */
export function commitMetadata(state: JoinerState, nextOffset: number): string {
  const overstayed: unknown[] = []
  let oldest = state.requests.oldest
  while (oldest !== null && overstayed.length < overstayedMax && isPortable(oldest)) {
    const { requestId, firstOffset, lastOffset, keepUntilMs, streamTimeBeforeMs } = oldest
    overstayed.push([requestId, firstOffset, lastOffset, keepUntilMs, streamTimeBeforeMs])
    oldest = oldest.openedAfter
  }
  return JSON.stringify({
    v: 1,
    lowWater: oldest?.firstOffset ?? nextOffset,
    streamTimeMs: state.streamTimeMs,
    streamTimeAtLowWaterMs: oldest?.streamTimeBeforeMs ?? state.streamTimeMs,
    ...(overstayed.length > 0 ? { overstayed } : {}),
  })
}

/** @throws FreshetError CHECKPOINT_INVALID */
export function parseCommitMetadata(text: string): CommitMetadata {
  const fields = parseObject(text)
  if (fields['v'] !== 1) refuse(text, `its version is ${JSON.stringify(fields['v'])}, not 1`)
  const integer = (name: string, value: unknown): number =>
    Number.isSafeInteger(value) && Number(value) >= 0
      ? Number(value)
      : refuse(text, `${name} is not a whole number >= 0`)
  const list = fields['overstayed'] ?? []
  if (!Array.isArray(list)) refuse(text, 'overstayed is not a list')
  const overstayed = list.map((entry: unknown): Overstayed => {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string') {
      return refuse(text, 'an entry of overstayed has no request id')
    }
    return {
      requestId: entry[0],
      firstOffset: integer('overstayed firstOffset', entry[1]),
      lastOffset: integer('overstayed lastOffset', entry[2]),
      keepUntilMs: integer('overstayed keepUntilMs', entry[3]),
      streamTimeBeforeMs: integer('overstayed streamTimeBeforeMs', entry[4]),
    }
  })
  return {
    lowWater: integer('lowWater', fields['lowWater']),
    streamTimeMs: integer('streamTimeMs', fields['streamTimeMs']),
    streamTimeAtLowWaterMs: integer('streamTimeAtLowWaterMs', fields['streamTimeAtLowWaterMs']),
    overstayed,
  }
}

/**
 * The state from which a rebuild reads [lowWater, committed offset), its outputs dropped; `endRebuild` closes it.
 *
 * Why the result is the state that was committed: whether a request is open depends on nothing but the records that named
 * it, and each of them only prolongs it. So one that opened before `lowWater`, and was closed again by the time of the
 * commit, is closed here too, having seen a part of its records; every other one opens at or after `lowWater` and sees
 * what it saw, at the same stream time.
 */
export function initAt(metadata: CommitMetadata): JoinerState {
  const state = emptyState(metadata.streamTimeAtLowWaterMs)
  const restored = metadata.overstayed.map((overstayed) => {
    const { requestId, firstOffset, streamTimeBeforeMs, keepUntilMs } = overstayed
    const request = new OpenRequest(requestId, firstOffset, streamTimeBeforeMs, keepUntilMs, 0)
    request.isOverstayed = true
    request.lastOffset = overstayed.lastOffset
    return request
  })
  for (const request of restored) state.requests.add(request)
  // They came in the order of opening; the order of last touch has to be right as well.
  restored.sort((a, b) => a.lastOffset - b.lastOffset)
  for (const request of restored) {
    state.requests.touch(request, request.lastOffset, request.keepUntilMs)
  }
  return state
}

/** @throws FreshetError CHECKPOINT_INVALID when the replayed records are not those the commit was made from. */
export function endRebuild(state: JoinerState, metadata: CommitMetadata): void {
  if (state.streamTimeMs !== metadata.streamTimeMs) {
    throw new FreshetError(
      'CHECKPOINT_INVALID',
      `The replay from offset ${metadata.lowWater} ends at stream time ${state.streamTimeMs}, the commit says ` +
        `${metadata.streamTimeMs}: records in between are gone. Lengthen the retention of the events topic.`,
    )
  }
  state.counters = noCounts()
}

/** Everything that decides what comes out next, in one canonical form: equal states give equal bytes. */
export function serialiseState(state: JoinerState): Buffer {
  const requests: unknown[] = []
  for (let request = state.requests.oldest; request !== null; request = request.openedAfter) {
    const { requestId, firstOffset, lastOffset, keepUntilMs, streamTimeBeforeMs } = request
    const { impression, earlyClicks, joined, isOverstayed } = request
    requests.push({
      ...{ requestId, firstOffset, lastOffset, keepUntilMs, streamTimeBeforeMs, isOverstayed },
      // Only who has not overstayed still can.
      overstaysAfterMs: isOverstayed ? null : request.overstaysAfterMs,
      ...{ impression, earlyClicks, joined },
    })
  }
  return Buffer.from(JSON.stringify({ streamTimeMs: state.streamTimeMs, requests }))
}

function noCounts(): JoinerCounters {
  return {
    examples: 0,
    duplicates: 0,
    conflicts: 0,
    evictions: 0,
    overstays: 0,
    deadLetters: {},
  }
}

function isPortable(request: OpenRequest): boolean {
  return (
    request.isOverstayed &&
    Buffer.byteLength(JSON.stringify(request.requestId)) <= overstayedIdBytesMax
  )
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return refuse(text, messageOf(error))
  }
  if (typeof value !== 'object' || value === null) refuse(text, 'it is not an object')
  return value as Record<string, unknown>
}

function refuse(text: string, why: string): never {
  throw new FreshetError(
    'CHECKPOINT_INVALID',
    `The commit metadata ${JSON.stringify(text.slice(0, 100))} is not the joiner's: ${why}. ` +
      'Delete the offsets of the joiner group, and it reads its topic from the start.',
  )
}
