import { decodeReport } from '../records/codec.ts'
import type { RecallFigures } from '../model/evaluation.ts'
import type { KafkaClient, Tail } from '../runtime/ports.ts'

/** What the learner reports each second, as far as a run needs it. */
export interface Learned {
  readonly lag: number
  readonly counters: { readonly examples: number }
  readonly figures: { readonly all: RecallFigures; readonly popularity24h: RecallFigures }
}

/** The newest report of the learner, from the topic: the same whichever process it runs in. */
export class LearnedWatch {
  newest: Learned | null = null
  #waiting: ((report: Learned | null) => void)[] = []
  #tail: Tail | null = null

  static async open(kafka: KafkaClient, topic: string): Promise<LearnedWatch> {
    const watch = new LearnedWatch()
    watch.#tail = await kafka.tail({
      topics: [topic],
      from: 'latest',
      onBatch: (batch) => {
        for (const { value } of batch.records) {
          const report = value === null ? null : decodeReport(value)
          if (report?.role === 'learner' && report.kind === 'learned')
            watch.#onReport(report.body as unknown as Learned)
        }
      },
    })
    return watch
  }

  /** The next report to come, or null when the signal ends the wait. */
  next(signal: AbortSignal): Promise<Learned | null> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      signal.addEventListener('abort', () => resolve(null), { once: true })
    })
  }

  async close(): Promise<void> {
    await this.#tail?.close()
  }

  #onReport(report: Learned): void {
    this.newest = report
    for (const resolve of this.#waiting.splice(0)) resolve(report)
  }
}
