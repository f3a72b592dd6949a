import { FreshetError, type ErrorCode } from '../errors.ts'
import { decodeEventPage, encodeExampleHeartbeat, encodeExampleOfPage } from '../records/codec.ts'
import { positionOnPage } from '../records/page.ts'
import type { Click, EventPage, ImpressionPage } from '../records/types.ts'
import { toDeadLetter } from './dead-letter.ts'
import { emptyState, type JoinerState } from './joiner-state.ts'
import { OpenRequest } from './open-requests.ts'
import type { SinkRecord, SourceRecord, Stage } from './stage.ts'

export interface JoinerOptions {
  /** How long after its impression a click still counts. */
  readonly windowMs: number
  /** Disorder of the log, in event time, that loses nothing. */
  readonly graceMs: number
  /** A request that none of the last so many records of the log named is closed; so no more can be open. */
  readonly openImpressionsMax: number
  /** Clicks of one request that wait for their impression. */
  readonly clicksPerRequestMax: number
  readonly topics: { readonly examples: string; readonly deadLetters: string }
}

/** Clicks and the impressions they belong to, in whatever order they come, become examples: a fold over one partition. */
export function joiner(options: JoinerOptions): Stage<JoinerState> {
  return {
    name: 'joiner',
    init: () => emptyState(),
    onBatch(state, records) {
      const fold: Fold = { options, state, streamTimeBeforeMs: state.streamTimeMs, outputs: [] }
      for (const record of records) onRecord(fold, record)
      return fold.outputs
    },
  }
}

interface Fold {
  readonly options: JoinerOptions
  readonly state: JoinerState
  /** Stream time before the record in hand. */
  streamTimeBeforeMs: number
  readonly outputs: SinkRecord[]
}

function onRecord(fold: Fold, record: SourceRecord): void {
  closeStale(fold, record.offset)
  const event = decode(fold, record)
  if (event === null) return
  advance(fold, event.eventTimeMs)
  switch (event.kind) {
    case 'impression':
      return onImpression(fold, event, record)
    case 'click':
      return onClick(fold, event, record)
    case 'heartbeat':
      fold.outputs.push(heartbeat(fold, record))
  }
}

function onImpression(fold: Fold, impression: ImpressionPage, record: SourceRecord): void {
  const { windowMs, graceMs } = fold.options
  const keepUntilMs = impression.eventTimeMs + windowMs + graceMs
  const request = find(fold, impression.requestId, record.offset, keepUntilMs)
  if (request === undefined) {
    if (isLate(fold, keepUntilMs)) {
      return refuse(fold, record, 'IMPRESSION_LATE', lateness(fold, impression.eventTimeMs))
    }
    open(fold, impression.requestId, record.offset, keepUntilMs).impression = owned(impression)
  } else if (request.isOverstayed) {
    fold.state.counters.conflicts++
  } else if (request.impression === null) {
    const clicks = request.earlyClicks
    request.impression = owned(impression)
    request.earlyClicks = []
    for (const early of clicks) join(fold, request, request.impression, early.click, early.record)
  } else if (isSame(request.impression, impression)) {
    fold.state.counters.duplicates++
  } else {
    fold.state.counters.conflicts++
  }
}

function onClick(fold: Fold, click: Click, record: SourceRecord): void {
  const keepUntilMs = click.eventTimeMs + fold.options.graceMs
  const request = find(fold, click.requestId, record.offset, keepUntilMs)
  if (request === undefined) {
    if (isLate(fold, keepUntilMs)) {
      return refuse(fold, record, 'CLICK_LATE', lateness(fold, click.eventTimeMs))
    }
    hold(fold, open(fold, click.requestId, record.offset, keepUntilMs), click, record)
  } else if (request.isOverstayed) {
    refuse(fold, record, 'CLICK_OUTSIDE_WINDOW', 'its request id has been in use for too long')
  } else if (request.impression === null) {
    hold(fold, request, click, record)
  } else {
    join(fold, request, request.impression, click, record)
  }
}

/** The only way to an example, so no rule can be forgotten. */
function join(
  fold: Fold,
  request: OpenRequest,
  impression: ImpressionPage,
  click: Click,
  record: SourceRecord,
): void {
  const { windowMs, graceMs } = fold.options
  if (click.userId !== impression.userId) {
    return refuse(fold, record, 'CLICK_OTHER_USER', 'the page was shown to another user')
  }
  const position = positionOnPage(impression.page, click.itemId)
  if (position === -1) {
    return refuse(fold, record, 'CLICK_NOT_SHOWN', 'the item is not on the page')
  }
  const afterMs = click.eventTimeMs - impression.eventTimeMs
  if (afterMs > windowMs || afterMs < -graceMs) {
    const message = `it came ${afterMs} ms after the page, of ${-graceMs} to ${windowMs} allowed`
    return refuse(fold, record, 'CLICK_OUTSIDE_WINDOW', message)
  }
  if (request.joined.includes(position)) {
    fold.state.counters.duplicates++
    return
  }
  request.joined.push(position)
  fold.state.counters.examples++
  fold.outputs.push(toExample(fold, impression, click, position, record))
}

function hold(fold: Fold, request: OpenRequest, click: Click, record: SourceRecord): void {
  const { clicksPerRequestMax } = fold.options
  if (request.earlyClicks.length >= clicksPerRequestMax) {
    const message = `${clicksPerRequestMax} clicks of its request already wait for the page`
    return refuse(fold, record, 'CLICK_EVICTED', message)
  }
  request.earlyClicks.push({ click, record: ownedRecord(record) })
}

/** The open request of a record, which the record prolongs even where it does not fit: a rebuild relies on it. */
function find(
  fold: Fold,
  requestId: string,
  offset: number,
  keepUntilMs: number,
): OpenRequest | undefined {
  const { state } = fold
  const request = state.requests.get(requestId)
  if (request === undefined) return undefined
  state.requests.touch(request, offset, keepUntilMs)
  if (!request.isOverstayed && state.streamTimeMs > request.overstaysAfterMs) {
    refuseEarlyClicks(fold, request, 'CLICK_UNMATCHED', 'no page of its request came in time')
    request.letGo()
    request.isOverstayed = true
    state.counters.overstays++
  }
  return request
}

function open(fold: Fold, requestId: string, offset: number, keepUntilMs: number): OpenRequest {
  const { state, options } = fold
  // The first record is at most graceMs older than the page, and the last click in order comes windowMs + graceMs after it.
  const overstaysAfterMs = state.streamTimeMs + 2 * (options.windowMs + options.graceMs)
  const request = new OpenRequest(
    requestId,
    offset,
    fold.streamTimeBeforeMs,
    keepUntilMs,
    overstaysAfterMs,
  )
  state.requests.add(request)
  return request
}

/** Moves stream time and closes what it has passed. */
function advance(fold: Fold, eventTimeMs: number): void {
  const { state } = fold
  fold.streamTimeBeforeMs = state.streamTimeMs
  if (eventTimeMs <= state.streamTimeMs) return
  state.streamTimeMs = eventTimeMs
  let first = state.requests.firstToExpire
  while (first !== undefined && first.keepUntilMs < eventTimeMs) {
    state.requests.remove(first)
    refuseEarlyClicks(fold, first, 'CLICK_UNMATCHED', 'no page of its request came in time')
    first = state.requests.firstToExpire
  }
}

/**
 * Bounds memory: open requests have different last offsets, all among the newest `openImpressionsMax`. Counting them and
 * dropping the oldest would not do: after a rebuild nobody knew which were dropped, and their later records would join.
 */
function closeStale(fold: Fold, offset: number): void {
  const { state, options } = fold
  let stalest = state.requests.stalest
  while (stalest !== null && stalest.lastOffset <= offset - options.openImpressionsMax) {
    state.requests.remove(stalest)
    state.counters.evictions++
    refuseEarlyClicks(fold, stalest, 'CLICK_EVICTED', 'too many records came before its page')
    stalest = state.requests.stalest
  }
}

function decode(fold: Fold, record: SourceRecord): EventPage | null {
  if (record.value === null) {
    refuse(fold, record, 'RECORD_UNDECODABLE', 'it has no value')
    return null
  }
  try {
    return decodeEventPage(record.value)
  } catch (error) {
    if (!(error instanceof FreshetError) || error.disposition !== 'dead-letter') throw error
    refuse(fold, record, error.code, error.message)
    return null
  }
}

function refuseEarlyClicks(
  fold: Fold,
  request: OpenRequest,
  code: ErrorCode,
  message: string,
): void {
  for (const { record } of request.earlyClicks) refuse(fold, record, code, message)
}

function refuse(fold: Fold, record: SourceRecord, code: ErrorCode, message: string): void {
  const { deadLetters } = fold.state.counters
  deadLetters[code] = (deadLetters[code] ?? 0) + 1
  fold.outputs.push(toDeadLetter(record, code, message, 'joiner', fold.options.topics.deadLetters))
}

function toExample(
  fold: Fold,
  impression: ImpressionPage,
  click: Click,
  position: number,
  record: SourceRecord,
): SinkRecord {
  const parts = {
    requestId: click.requestId,
    userId: click.userId,
    itemId: click.itemId,
    eventTimeMs: click.eventTimeMs,
    impressionTimeMs: impression.eventTimeMs,
    position,
    weight: click.weight,
  }
  return {
    topic: fold.options.topics.examples,
    partition: record.partition,
    key: click.userId,
    value: encodeExampleOfPage(parts, impression.page),
    timestampMs: record.timestampMs,
  }
}

/** Tells the reader of the examples how far this partition is although nothing was clicked. */
function heartbeat(fold: Fold, record: SourceRecord): SinkRecord {
  return {
    topic: fold.options.topics.examples,
    partition: record.partition,
    key: null,
    value: encodeExampleHeartbeat(fold.state.streamTimeMs),
    timestampMs: record.timestampMs,
  }
}

function isLate(fold: Fold, keepUntilMs: number): boolean {
  return keepUntilMs < fold.state.streamTimeMs
}

function lateness(fold: Fold, eventTimeMs: number): string {
  return `it is ${fold.state.streamTimeMs - eventTimeMs} ms older than the newest event of its partition`
}

function isSame(a: ImpressionPage, b: ImpressionPage): boolean {
  return a.eventTimeMs === b.eventTimeMs && a.userId === b.userId && a.page.equals(b.page)
}

/** Values are views of a whole fetch response: what is kept is copied. */
function owned({ requestId, userId, eventTimeMs, page }: ImpressionPage): ImpressionPage {
  return { kind: 'impression', requestId, userId, eventTimeMs, page: Buffer.from(page) }
}

function ownedRecord({ key, value, ...rest }: SourceRecord): SourceRecord {
  return { ...rest, key: key && Buffer.from(key), value: value && Buffer.from(value) }
}
