import type { Click, ImpressionPage } from '../records/types.ts'
import { ExpiryQueue } from './expiry-queue.ts'
import type { SourceRecord } from './stage.ts'

/** A click that came before its impression. `record` owns its bytes: a dead letter would need them. */
export interface EarlyClick {
  readonly click: Click
  readonly record: SourceRecord
}

/** What the joiner knows of one request. */
export class OpenRequest {
  readonly requestId: string
  /** Offset of the record that opened it, and stream time just before that record. */
  readonly firstOffset: number
  readonly streamTimeBeforeMs: number
  /** Beyond this stream time no record of the request can still be in order: who comes then reuses the id. */
  readonly overstaysAfterMs: number
  keepUntilMs: number
  /** Offset of the newest record that named the request, whatever became of that record. */
  lastOffset: number
  /** `page` owns its bytes. */
  impression: ImpressionPage | null = null
  earlyClicks: EarlyClick[] = []
  /** Positions on the page that have given an example, in that order. */
  joined: number[] = []
  /** The id was reused for too long: content let go, nothing joins any more. */
  isOverstayed = false

  // Links of OpenRequests; nobody else writes them.
  queueIndex = 0
  openedBefore: OpenRequest | null = null
  openedAfter: OpenRequest | null = null
  touchedBefore: OpenRequest | null = null
  touchedAfter: OpenRequest | null = null

  constructor(
    requestId: string,
    offset: number,
    streamTimeBeforeMs: number,
    keepUntilMs: number,
    overstaysAfterMs: number,
  ) {
    this.requestId = requestId
    this.firstOffset = offset
    this.lastOffset = offset
    this.streamTimeBeforeMs = streamTimeBeforeMs
    this.keepUntilMs = keepUntilMs
    this.overstaysAfterMs = overstaysAfterMs
  }

  letGo(): void {
    this.impression = null
    this.earlyClicks = []
    this.joined = []
  }
}

/** The open requests of one partition: by id, and in the orders of opening, of last touch and of expiry. */
export class OpenRequests {
  private readonly byId = new Map<string, OpenRequest>()
  private readonly byExpiry = new ExpiryQueue<OpenRequest>()
  private opened: OpenRequest | null = null
  private newestOpened: OpenRequest | null = null
  private touched: OpenRequest | null = null
  private newestTouched: OpenRequest | null = null

  get size(): number {
    return this.byId.size
  }

  /** Opened first; its `openedAfter` leads on to the others. */
  get oldest(): OpenRequest | null {
    return this.opened
  }

  /** Not touched for longest. */
  get stalest(): OpenRequest | null {
    return this.touched
  }

  get firstToExpire(): OpenRequest | undefined {
    return this.byExpiry.first
  }

  get(requestId: string): OpenRequest | undefined {
    return this.byId.get(requestId)
  }

  /** In the order of `firstOffset`; the request counts as the one touched last. */
  add(request: OpenRequest): void {
    this.byId.set(request.requestId, request)
    this.byExpiry.add(request)
    request.openedBefore = this.newestOpened
    if (this.newestOpened === null) this.opened = request
    else this.newestOpened.openedAfter = request
    this.newestOpened = request
    this.linkTouched(request)
  }

  touch(request: OpenRequest, offset: number, keepUntilMs: number): void {
    request.lastOffset = offset
    this.unlinkTouched(request)
    this.linkTouched(request)
    if (keepUntilMs <= request.keepUntilMs) return
    request.keepUntilMs = keepUntilMs
    this.byExpiry.postponed(request)
  }

  remove(request: OpenRequest): void {
    this.byId.delete(request.requestId)
    this.byExpiry.remove(request)
    if (request.openedBefore === null) this.opened = request.openedAfter
    else request.openedBefore.openedAfter = request.openedAfter
    if (request.openedAfter === null) this.newestOpened = request.openedBefore
    else request.openedAfter.openedBefore = request.openedBefore
    this.unlinkTouched(request)
  }

  private linkTouched(request: OpenRequest): void {
    request.touchedBefore = this.newestTouched
    request.touchedAfter = null
    if (this.newestTouched === null) this.touched = request
    else this.newestTouched.touchedAfter = request
    this.newestTouched = request
  }

  private unlinkTouched(request: OpenRequest): void {
    if (request.touchedBefore === null) this.touched = request.touchedAfter
    else request.touchedBefore.touchedAfter = request.touchedAfter
    if (request.touchedAfter === null) this.newestTouched = request.touchedBefore
    else request.touchedAfter.touchedBefore = request.touchedBefore
  }
}
