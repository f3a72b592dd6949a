import type { Disturbance } from '../../streams/generator/disturb.ts'
import type { Generator } from '../../streams/generator/generator.ts'
import type { SourceEvent } from '../../streams/source-event.ts'
import type { Clock } from '../ports.ts'
import { eventsIn, type ReplayPosition, type ReplaySource } from './source.ts'

export interface GeneratorSourceOptions {
  readonly generator: Generator
  readonly clock: Clock
  /** True: from now on, without end. False: the past, up to now, for replays faster than the clock. */
  readonly isLive: boolean
  /** How much of the past, where there is no position to go on from. */
  readonly spanMs?: number
  readonly disturbance?: Disturbance
}

const defaultSpanMs = 3_600_000
const dayMs = 86_400_000
const mondayMs = Date.UTC(2026, 0, 5)

/**
 * The generator as a source. A live one skips the time that nobody ran it: its users were there, but nobody was watching.
 * A past one ends early enough for its last clicks not to come from the future.
 */
export function openGenerator(options: GeneratorSourceOptions): ReplaySource {
  const { generator, clock, isLive, disturbance } = options
  const { clickDelayMaxMs } = generator.world.options
  const endMs = isLive ? Infinity : clock.nowMs() - clickDelayMaxMs
  let startMs = 0
  let reachedMs = 0

  function* events(after: ReplayPosition | null): globalThis.Generator<SourceEvent> {
    const previousMs = after !== null && after.lastEventTimeMs > 0 ? after.lastEventTimeMs : null
    const nextMs = previousMs === null ? endMs - (options.spanMs ?? defaultSpanMs) : previousMs + 1
    startMs = isLive ? Math.max(clock.nowMs(), (previousMs ?? 0) + 1) : nextMs
    const range = {
      fromMs: startMs,
      untilMs: endMs,
      ...(previousMs === null ? {} : { previousMs }),
    }
    for (const event of generator.events(range, disturbance)) {
      reachedMs = event.eventTimeMs
      yield event
    }
    reachedMs = Infinity
  }

  return {
    identity: `generator ${JSON.stringify(generator.world.options)}`,
    description: `generated users and items, seed ${generator.world.options.seed}`,
    events,
    shareDone: () =>
      isLive ? null : Math.min(1, Math.max(0, reachedMs - startMs) / Math.max(1, endMs - startMs)),
  }
}

/**
 * Whole UTC days of the generated world, always the same ones, and the clicks that the last pages still get on the day after. A
 * restart makes the events again and passes over those that were sent.
 */
export function openGeneratedDays(
  generator: Generator,
  days: number,
  firstDayMs = mondayMs,
): ReplaySource {
  const { world } = generator
  const endMs = firstDayMs + days * dayMs
  let reachedMs = firstDayMs
  return {
    identity: `generator ${JSON.stringify(world.options)}, ${days} days`,
    description: `${days} generated ${days === 1 ? 'day' : 'days'}, seed ${world.options.seed}`,
    *events(after) {
      let left = after === null ? 0 : eventsIn(after)
      for (const event of generator.events({ fromMs: firstDayMs, untilMs: endMs })) {
        reachedMs = event.eventTimeMs
        if (left > 0) left--
        else yield event
      }
      reachedMs = endMs
    },
    shareDone: () => Math.min(1, (reachedMs - firstDayMs) / (endMs - firstDayMs)),
  }
}
