import { decodeControlDocument, decodeReport } from '../records/codec.ts'
import type { TopicNames } from '../records/topics.ts'
import type { Report } from '../records/types.ts'
import { eachReadable } from '../runtime/kafka/readable.ts'
import { partitionKey, type KafkaClient, type Tail } from '../runtime/ports.ts'
import { parseReport } from '../streams/controller-reports.ts'
import { Advances } from './advances.ts'
import type { TimelineEvent } from './api.ts'
import { silentMs, WatchModel } from './watch-model.ts'

const documentsMax = 500
/** Some minutes of what every role says once a second. */
const reportsMax = 3_000
const eventsMax = 200

/** What control documents and reports say: the timeline, what is known of generations, and how far learning was when. */
export class Follower {
  readonly model = new WatchModel(Date.now() - silentMs)
  readonly advances = new Advances()
  readonly #events: TimelineEvent[] = []
  readonly #tails: Tail[] = []

  static async open(kafka: KafkaClient, topics: TopicNames): Promise<Follower> {
    const follower = new Follower()
    await follower.#follow(
      kafka,
      topics.controlHistory,
      documentsMax,
      eachReadable(decodeControlDocument, (document, atMs) =>
        follower.#add(follower.model.onDocument(document, atMs)),
      ),
    )
    await follower.#follow(
      kafka,
      topics.reports,
      reportsMax,
      eachReadable(decodeReport, (report, atMs) => follower.#onReport(report, atMs)),
    )
    return follower
  }

  /** Newest first. */
  get events(): readonly TimelineEvent[] {
    return this.#events.toReversed()
  }

  /** To be called now and then: silence is no record. */
  tick(nowMs: number): void {
    this.#add(this.model.onTick(nowMs))
  }

  async close(): Promise<void> {
    await Promise.all(this.#tails.map((tail) => tail.close()))
  }

  async #follow(
    kafka: KafkaClient,
    topic: string,
    max: number,
    onBatch: ReturnType<typeof eachReadable>,
  ): Promise<void> {
    const [ends] = await kafka.offsets(topic)
    const from = Math.max(ends?.low ?? 0, (ends?.high ?? 0) - max)
    const start = new Map([[partitionKey({ topic, partition: 0 }), from]])
    const tail = await kafka.tail({ topics: [topic], from: start, onBatch })
    this.#tails.push(tail)
    await tail.caughtUp
  }

  #onReport(report: Report, atMs: number): void {
    this.#add(this.model.onReport(report, atMs))
    const known = parseReport(report)
    if (known?.kind !== 'learned') return
    for (const { generation, learnedThrough } of known.body.lineages) {
      for (const { partition, offset } of learnedThrough) {
        this.advances.reached(generation, partition, offset, report.atMs)
      }
    }
  }

  #add(events: readonly TimelineEvent[]): void {
    this.#events.push(...events)
    if (this.#events.length > eventsMax) this.#events.splice(0, this.#events.length - eventsMax)
  }
}
