import type { KafkaClient, Producer } from '../../runtime/ports.ts'
import { encodeItem } from '../../records/codec.ts'
import { jsonOf } from '../../records/json.ts'
import type { TopicNames } from '../../records/topics.ts'
import { createGenerator } from '../../streams/generator/generator.ts'
import type { SourceEvent } from '../../streams/source-event.ts'
import type { SinkRecord } from '../../streams/stage.ts'
import { FreshetError } from '../../errors.ts'

export interface Load {
  readonly events: number
  readonly clicks: number
  readonly seconds: number
}

/** A hundred a second of event time, so that the windows of the joiner close while it is measured. */
const eventsPerSecond = 100
const clickDelayMaxMs = 10 * 60_000
/** What is there by then has to do. */
const limitMs = 25_000
const sendRecords = 2_000
const sendsInFlightMax = 4

/** Fills the source topics with pages of ten and one click on each, as JSON, in event-time order, ending in the past. */
export async function preload(
  kafka: Pick<KafkaClient, 'producer'>,
  topics: TopicNames,
  events: number,
  nowMs: number,
  signal: AbortSignal,
): Promise<Load> {
  const generator = createGenerator({
    ...{ eventsPerSecond, clickDelayMaxMs, clicklessShare: 0, nextClickShare: 0 },
  })
  const spanMs = (events / eventsPerSecond) * 1_000
  const fromMs = nowMs - spanMs - clickDelayMaxMs
  const startedMs = performance.now()
  const producer = await kafka.producer()
  try {
    const sender = new Sender(producer, topics)
    for (const event of generator.events({ fromMs, untilMs: fromMs + spanMs })) {
      if (signal.aborted) throw new FreshetError('ABORTED', 'the benchmark was interrupted')
      await sender.add(event)
      if (performance.now() - startedMs > limitMs) break
    }
    await sender.end()
    const seconds = (performance.now() - startedMs) / 1_000
    return { events: sender.impressions + sender.clicks, clicks: sender.clicks, seconds }
  } finally {
    await producer.close()
  }
}

class Sender {
  readonly #producer: Producer
  readonly #topics: TopicNames
  readonly #sends: Promise<void>[] = []
  #records: SinkRecord[] = []
  impressions = 0
  clicks = 0

  constructor(producer: Producer, topics: TopicNames) {
    this.#producer = producer
    this.#topics = topics
  }

  async add(event: SourceEvent): Promise<void> {
    this.#records.push(this.#recordOf(event))
    if (this.#records.length < sendRecords) return
    this.#sends.push(this.#producer.send(this.#records))
    this.#records = []
    if (this.#sends.length >= sendsInFlightMax) await this.#sends.shift()
  }

  async end(): Promise<void> {
    this.#sends.push(this.#producer.send(this.#records))
    await Promise.all(this.#sends)
  }

  #recordOf(event: SourceEvent): SinkRecord {
    // The broker puts its own time.
    const timestampMs = event.eventTimeMs
    if (event.kind === 'item') {
      const value = event.item === null ? null : encodeItem(event.item)
      return { topic: this.#topics.items, key: event.itemId, value, timestampMs }
    }
    if (event.kind === 'impression') this.impressions++
    else this.clicks++
    const topic = event.kind === 'impression' ? this.#topics.impressions : this.#topics.clicks
    const value = Buffer.from(JSON.stringify(jsonOf(event)))
    return { topic, key: event.userId, value, timestampMs }
  }
}
