import { build, type Histogram as Recorder } from 'hdr-histogram-js'
import { Histogram, type HistogramConfiguration, type LabelValues } from 'prom-client'

/**
 * A Prometheus histogram that can also say its quantiles, for the live status and the report of a run. One label, which
 * tells the recorders apart; values are seconds, recorded with a resolution of a millisecond up to a day.
 */
export class QuantileHistogram<L extends string> {
  readonly #histogram: Histogram<L>
  readonly #label: L
  readonly #recorders = new Map<string, Recorder>()

  constructor(configuration: HistogramConfiguration<L>, label: L) {
    this.#histogram = new Histogram(configuration)
    this.#label = label
  }

  observe(labels: Readonly<Record<L, string>>, seconds: number): void {
    this.#histogram.observe(labels as LabelValues<L>, seconds)
    this.#recorder(labels[this.#label]).recordValue(Math.max(0, Math.round(seconds * 1_000)))
  }

  /** Milliseconds at quantile `q` (0..1) since the start or the last `restart`; null without observations. */
  quantileMs(label: string, q: number): number | null {
    const recorder = this.#recorders.get(label)
    return recorder === undefined || recorder.totalCount === 0
      ? null
      : recorder.getValueAtPercentile(q * 100)
  }

  count(label: string): number {
    return this.#recorders.get(label)?.totalCount ?? 0
  }

  /** Forgets what the quantiles have seen; the Prometheus series go on. */
  restart(): void {
    for (const recorder of this.#recorders.values()) recorder.reset()
  }

  #recorder(label: string): Recorder {
    let recorder = this.#recorders.get(label)
    if (recorder === undefined) {
      recorder = build({
        highestTrackableValue: 86_400_000,
        numberOfSignificantValueDigits: 3,
        autoResize: true,
      })
      this.#recorders.set(label, recorder)
    }
    return recorder
  }
}
