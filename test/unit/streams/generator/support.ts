import { createGenerator, type Generator } from '../../../../src/streams/generator/generator.ts'
import type { GeneratorOptions } from '../../../../src/streams/generator/options.ts'
import type { Click, Impression } from '../../../../src/records/types.ts'
import type { ItemChange, SourceEvent } from '../../../../src/streams/source-event.ts'

export const hourMs = 3_600_000
export const startMs = Date.UTC(2026, 0, 5, 9)

/** A world whose slots are long, so that a day at a low rate is quick to walk through. */
export function smallWorld(options: Partial<GeneratorOptions> = {}): Generator {
  return createGenerator({
    users: 200,
    items: 300,
    slotMs: 60_000,
    eventsPerSecond: 20,
    ...options,
  })
}

export function run(generator: Generator, spanMs: number, fromMs = startMs): SourceEvent[] {
  return [...generator.events({ fromMs, untilMs: fromMs + spanMs })]
}

export function impressions(events: readonly SourceEvent[]): Impression[] {
  return events.filter((event) => event.kind === 'impression')
}

export function clicks(events: readonly SourceEvent[]): Click[] {
  return events.filter((event) => event.kind === 'click')
}

export function itemChanges(events: readonly SourceEvent[]): ItemChange[] {
  return events.filter((event) => event.kind === 'item')
}

/** Pearson's statistic of counts against equal expectations, and a limit that chance exceeds once in about 10,000 runs. */
export function uniformity(counts: readonly number[]): { statistic: number; limit: number } {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length
  const statistic = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  return { statistic, limit: chiSquareLimit(counts.length - 1) }
}

/** Wilson and Hilferty's approximation of the 0.9999 quantile. */
export function chiSquareLimit(degrees: number): number {
  const part = 2 / (9 * degrees)
  return degrees * (1 - part + 3.719 * Math.sqrt(part)) ** 3
}
