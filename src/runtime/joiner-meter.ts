import type { Metrics } from '../metrics/metrics.ts'
import type { JoinerCounters, JoinerState } from '../streams/joiner-state.ts'
import type { SinkRecord } from '../streams/stage.ts'
import type { TopicPartition } from './ports.ts'

const role = 'joiner'

/** Tells what one partition of the joiner has committed: nothing is counted before its transaction is. */
export class JoinerMeter {
  readonly #metrics: Metrics
  readonly #labels: { readonly role: string; readonly topic: string; readonly partition: string }
  readonly #examplesTopic: string
  #counted: JoinerCounters | null = null

  constructor(metrics: Metrics, { topic, partition }: TopicPartition, examplesTopic: string) {
    this.#metrics = metrics
    this.#labels = { role, topic, partition: String(partition) }
    this.#examplesTopic = examplesTopic
  }

  committed(outputs: readonly SinkRecord[], state: JoinerState, open: number, nowMs: number): void {
    this.transaction('committed')
    for (const { topic, key, timestampMs } of outputs) {
      // Heartbeats have no key.
      if (topic !== this.#examplesTopic || key === null) continue
      this.#metrics.stageDelay.observe({ stage: role }, Math.max(0, nowMs - timestampMs) / 1_000)
    }
    this.#metrics.openRequests.set({ partition: this.#labels.partition }, open)
    this.#count(state.counters)
  }

  transaction(outcome: 'committed' | 'aborted' | 'fenced'): void {
    this.#metrics.transactions.inc({ role, outcome })
  }

  lag(records: number): void {
    this.#metrics.consumerLag.set(this.#labels, records)
  }

  /** The partition has gone to somebody else. */
  forget(): void {
    this.#metrics.consumerLag.remove(this.#labels)
    this.#metrics.openRequests.remove({ partition: this.#labels.partition })
  }

  /** The state counts from its start; metrics take what came since the last time. */
  #count(counters: JoinerCounters): void {
    const before = this.#counted
    const metrics = this.#metrics
    metrics.examples.inc({ role }, counters.examples - (before?.examples ?? 0))
    metrics.duplicates.inc({ role, kind: 'same' }, counters.duplicates - (before?.duplicates ?? 0))
    metrics.duplicates.inc(
      { role, kind: 'conflict' },
      counters.conflicts - (before?.conflicts ?? 0),
    )
    metrics.evictedRequests.inc(counters.evictions - (before?.evictions ?? 0))
    for (const [reason, count] of Object.entries(counters.deadLetters)) {
      const already = before?.deadLetters[reason as keyof JoinerCounters['deadLetters']] ?? 0
      metrics.deadLetters.inc({ role, reason }, count - already)
    }
    this.#counted = { ...counters, deadLetters: { ...counters.deadLetters } }
  }
}
