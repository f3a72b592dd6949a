import { streamFrom } from './chance.ts'
import type { SourceEvent } from '../source-event.ts'
import { TimeQueue } from './time-queue.ts'

/** Faults of a delivery, to exercise the joiner. Shares lie in [0, 1]. */
export interface Disturbance {
  /** Share of impressions and clicks that come late by up to `delayMaxMs`. */
  readonly lateShare: number
  /** Share of impressions and clicks that come again, up to `delayMaxMs` later. */
  readonly duplicateShare: number
  readonly delayMaxMs: number
}

/** The same events in another order, some of them twice. Catalogue changes keep their place. */
export function* disturb(
  events: Iterable<SourceEvent>,
  seed: number,
  disturbance: Disturbance,
): Generator<SourceEvent> {
  const random = streamFrom(seed, disturbance.delayMaxMs)
  const held = new TimeQueue<SourceEvent>()
  for (const event of events) {
    while (held.nextMs <= event.eventTimeMs) yield held.take()!
    if (event.kind === 'item') {
      yield event
      continue
    }
    const delayMs = random.nextFloat() * disturbance.delayMaxMs
    if (random.nextFloat() < disturbance.duplicateShare) {
      held.add(event.eventTimeMs + random.nextFloat() * disturbance.delayMaxMs, event)
    }
    if (random.nextFloat() < disturbance.lateShare) held.add(event.eventTimeMs + delayMs, event)
    else yield event
  }
  while (held.size > 0) yield held.take()!
}
