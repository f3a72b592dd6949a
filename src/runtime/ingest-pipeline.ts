import type { Metrics } from '../metrics/metrics.ts'
import { encodeEvent } from '../records/codec.ts'
import { Aligner, type Mark, type SourceHeartbeat } from '../streams/align.ts'
import type { SinkRecord, SourceRecord } from '../streams/stage.ts'
import { Watermark } from '../streams/watermark.ts'
import type { Mapped, Mapper } from './ingest-sources.ts'
import type { Batch, Clock, Producer, TopicPartition } from './ports.ts'
import { partitionKey } from './ports.ts'

export interface IngestPipelineOptions {
  readonly mappers: ReadonlyMap<string, Mapper>
  readonly eventsTopic: string
  readonly partitions: number
  readonly alignMs: number
  readonly idleMs: number
  readonly heartbeatMs: number
  readonly bufferedRecordsMax: number
  readonly producer: Producer
  readonly metrics: Metrics
  readonly clock: Clock
  pause(partition: TopicPartition): void
  resume(partition: TopicPartition): void
  /** A send failed: what has arrived is known by the committed offsets alone. */
  onFailure(error: unknown): void
}

/** One ownership of a source partition; it ends with the assignment, and what was sent for it no longer counts. */
interface Source {
  readonly partition: TopicPartition
  readonly mapper: Mapper
  lastEventTimeMs: number
  /** Highest that it has said; null: nothing. */
  heartbeatMs: number | null
  highWatermark: number
  position: number
  /** Everything before it is acknowledged; null: nothing new since the last commit. */
  acknowledged: number | null
}

const role = 'ingest'
const sendRecordsMax = 2_000
const sendsInFlightMax = 3

/**
 * Maps, aligns and sends. Mapping goes on while sends are under way; acknowledgements come in the order of the sends, so
 * each moves the offsets that may be committed to where the partitions stood when it was sent.
 */
export class IngestPipeline {
  readonly #options: IngestPipelineOptions
  readonly #aligner: Aligner<Mapped>
  readonly #watermark: Watermark
  readonly #sources = new Map<string, Source>()
  #inFlight = 0
  #isFailed = false
  #isStopped = false

  constructor(options: IngestPipelineOptions) {
    this.#options = options
    this.#aligner = new Aligner(options)
    this.#watermark = new Watermark(options)
  }

  assign(partitions: readonly TopicPartition[]): void {
    for (const partition of partitions) {
      const mapper = this.#options.mappers.get(partition.topic)!
      this.#sources.set(partitionKey(partition), {
        ...{ partition, mapper, lastEventTimeMs: -Infinity, heartbeatMs: null, highWatermark: 0 },
        ...{ position: -1, acknowledged: null },
      })
      this.#aligner.assign(partitionKey(partition), this.#options.clock.nowMs())
    }
    this.#isFailed = false
  }

  revoke(partitions: readonly TopicPartition[]): void {
    for (const partition of partitions) {
      this.#sources.delete(partitionKey(partition))
      this.#aligner.revoke(partitionKey(partition))
      this.#options.metrics.consumerLag.remove(lagLabels(partition))
    }
  }

  onBatch(batch: Batch): void {
    const key = partitionKey(batch)
    const source = this.#sources.get(key)
    if (source === undefined) return
    const events = mapAll(source, batch)
    source.highWatermark = batch.highWatermark
    const nextOffset = batch.records.at(-1)!.offset + 1
    const { highWatermark } = batch
    this.#aligner.add(key, { events, nextOffset, highWatermark }, this.#options.clock.nowMs())
    this.pump()
  }

  /** Sends what may go, as far as the bound on sends allows. Also called on a timer: time passing can release events. */
  pump(): void {
    for (;;) {
      const hasRoom = this.#inFlight < sendsInFlightMax && !this.#isFailed && !this.#isStopped
      const room = hasRoom ? sendRecordsMax : 0
      const { events, marks, pause, resume } = this.#aligner.next(this.#options.clock.nowMs(), room)
      for (const key of pause) this.#options.pause(this.#sources.get(key)!.partition)
      for (const key of resume) this.#options.resume(this.#sources.get(key)!.partition)
      if (events.length + marks.length > 0) void this.#send(events, marks, this.#positions())
      // Heartbeats alone give nothing to send, but are behind us all the same.
      else if (this.#inFlight === 0 && !this.#isFailed) return acknowledge(this.#positions())
      else return
    }
  }

  /** Heartbeats travel behind everything sent before, so none overtakes the events it speaks of. */
  async sendHeartbeats(): Promise<void> {
    const { clock, producer, eventsTopic: topic } = this.#options
    const nowMs = clock.nowMs()
    // Sources that say themselves how far they are need nobody to guess it.
    if (this.#sources.size === 0 || this.#isFailed || this.#aligner.isPunctuated) return
    const due = this.#watermark.due(nowMs, this.#inFlight === 0 && this.#aligner.isCaughtUp(nowMs))
    if (due.length === 0) return
    await producer.send(
      due.map(({ partition, eventTimeMs }) => heartbeat(topic, partition, eventTimeMs, nowMs)),
    )
  }

  /** What may be committed now; each is given once. */
  takeOffsets(): (TopicPartition & { readonly offset: number })[] {
    const offsets: (TopicPartition & { offset: number })[] = []
    for (const source of this.#sources.values()) {
      const { partition, acknowledged } = source
      if (acknowledged === null) continue
      offsets.push({ ...partition, offset: acknowledged })
      this.#options.metrics.consumerLag.set(
        lagLabels(partition),
        Math.max(0, source.highWatermark - acknowledged),
      )
      source.acknowledged = null
    }
    return offsets
  }

  /** Nothing new is sent from here on. */
  stop(): void {
    this.#isStopped = true
  }

  get isIdle(): boolean {
    return this.#inFlight === 0
  }

  #positions(): [Source, number][] {
    const positions: [Source, number][] = []
    for (const [key, source] of this.#sources) {
      const position = this.#aligner.position(key)
      if (position !== null) positions.push([source, position])
    }
    return positions
  }

  async #send(
    mapped: readonly Mapped[],
    marks: readonly Mark[],
    positions: readonly [Source, number][],
  ): Promise<void> {
    this.#inFlight++
    try {
      await this.#options.producer.send(this.#recordsOf(mapped, marks))
      this.#count(mapped)
      acknowledge(positions)
    } catch (error) {
      if (!this.#isFailed) this.#options.onFailure(error)
      this.#isFailed = true
    } finally {
      this.#inFlight--
    }
    this.pump()
  }

  /** Each mark goes to every partition, behind the events before it. */
  #recordsOf(mapped: readonly Mapped[], marks: readonly Mark[]): SinkRecord[] {
    const { eventsTopic, partitions, clock } = this.#options
    const nowMs = clock.nowMs()
    const records: SinkRecord[] = []
    let sent = 0
    const sendUntil = (end: number): void => {
      for (; sent < end; sent++) {
        const { output, isRefused, eventTimeMs, timestampMs } = mapped[sent]!
        records.push(output)
        if (!isRefused) this.#watermark.onEmitted(output.partition!, eventTimeMs, timestampMs)
      }
    }
    for (const { after, eventTimeMs } of marks) {
      sendUntil(after)
      for (let partition = 0; partition < partitions; partition++) {
        records.push(heartbeat(eventsTopic, partition, eventTimeMs, nowMs))
      }
      this.#watermark.onMarked(eventTimeMs)
    }
    sendUntil(mapped.length)
    return records
  }

  #count(mapped: readonly Mapped[]): void {
    const { metrics, clock } = this.#options
    const nowMs = clock.nowMs()
    const counts = { impression: 0, click: 0 }
    for (const { kind, isRefused, timestampMs } of mapped) {
      if (isRefused) {
        metrics.deadLetters.inc({ role, reason: kind })
        continue
      }
      counts[kind as keyof typeof counts]++
      metrics.stageDelay.observe({ stage: role }, Math.max(0, nowMs - timestampMs) / 1_000)
    }
    for (const [kind, count] of Object.entries(counts)) {
      if (count > 0) metrics.events.inc({ kind }, count)
    }
  }
}

/** What a source says first also tells how far ahead the events before it may be: after a restart they come before it. */
function mapAll(source: Source, { records }: Batch): (Mapped | SourceHeartbeat)[] {
  const { lastEventTimeMs, heartbeatMs } = source
  const mapped = records.map((record) => mapOne(source, record))
  if (heartbeatMs !== null) return mapped
  const first = mapped.find(({ kind }) => kind === 'heartbeat')
  if (first === undefined) return mapped
  source.lastEventTimeMs = lastEventTimeMs
  source.heartbeatMs = first.eventTimeMs
  return records.map((record) => mapOne(source, record))
}

function mapOne(source: Source, record: SourceRecord): Mapped | SourceHeartbeat {
  const mapped = source.mapper(record, source)
  if (mapped.kind === 'heartbeat') {
    source.heartbeatMs = Math.max(source.heartbeatMs ?? -Infinity, mapped.eventTimeMs)
  }
  source.lastEventTimeMs = mapped.eventTimeMs
  return mapped
}

function acknowledge(positions: readonly [Source, number][]): void {
  for (const [source, position] of positions) {
    if (position === source.position) continue
    source.position = position
    source.acknowledged = position
  }
}

function heartbeat(
  topic: string,
  partition: number,
  eventTimeMs: number,
  timestampMs: number,
): SinkRecord {
  const value = encodeEvent({ kind: 'heartbeat', eventTimeMs })
  return { topic, partition, key: null, value, timestampMs }
}

function lagLabels({ topic, partition }: TopicPartition) {
  return { role, topic, partition: String(partition) }
}
