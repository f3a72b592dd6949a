export interface WatermarkOptions {
  /** Partitions of the events topic. */
  readonly partitions: number
  readonly heartbeatMs: number
  /** Sources are live when their events arrive within so long. */
  readonly alignMs: number
}

export interface DueHeartbeat {
  readonly partition: number
  readonly eventTimeMs: number
}

/**
 * Tells the partitions of the events topic how far event time is, so that one without events closes its windows and days
 * all the same. Event time stands still with its sources, unless they are live and there is nothing more to read: then
 * nothing is happening, and it goes on with the clock. A replay of old data is never live.
 */
export class Watermark {
  private readonly options: WatermarkOptions
  /** Highest event time each partition has been sent, by an event or a heartbeat. */
  private readonly sentMs: Float64Array
  private highestMs = -Infinity
  private lastEventTimeMs = -Infinity
  private lastArrivalMs = 0
  private lastHeartbeatMs = -Infinity

  constructor(options: WatermarkOptions) {
    this.options = options
    this.sentMs = new Float64Array(options.partitions).fill(-Infinity)
  }

  /** `arrivalMs`: the timestamp of the source record. */
  onEmitted(partition: number, eventTimeMs: number, arrivalMs: number): void {
    if (eventTimeMs > this.sentMs[partition]!) this.sentMs[partition] = eventTimeMs
    if (eventTimeMs > this.highestMs) this.highestMs = eventTimeMs
    this.lastEventTimeMs = eventTimeMs
    this.lastArrivalMs = arrivalMs
  }

  /** Every partition has been told that nothing older than this follows. */
  onMarked(eventTimeMs: number): void {
    for (const [partition, sentMs] of this.sentMs.entries()) {
      this.sentMs[partition] = Math.max(sentMs, eventTimeMs)
    }
    this.highestMs = Math.max(this.highestMs, eventTimeMs)
  }

  /** The heartbeats to send now, one at most a partition and heartbeatMs. Taken as sent. */
  due(nowMs: number, isAllCaughtUp: boolean): DueHeartbeat[] {
    if (nowMs - this.lastHeartbeatMs < this.options.heartbeatMs) return []
    this.lastHeartbeatMs = nowMs
    const eventTimeMs = this.eventTimeMs(nowMs, isAllCaughtUp)
    const due: DueHeartbeat[] = []
    this.sentMs.forEach((sentMs, partition) => {
      if (eventTimeMs <= sentMs) return
      this.sentMs[partition] = eventTimeMs
      due.push({ partition, eventTimeMs })
    })
    return due
  }

  private eventTimeMs(nowMs: number, isAllCaughtUp: boolean): number {
    // An event from a clock that is fast does not take the watermark beyond our own clock.
    const delayMs = Math.max(0, this.lastArrivalMs - this.lastEventTimeMs)
    const isLive = isAllCaughtUp && delayMs < this.options.alignMs
    return isLive ? Math.max(this.highestMs, Math.floor(nowMs - delayMs)) : this.highestMs
  }
}
