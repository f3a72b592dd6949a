import type { SourceEvent } from '../source-event.ts'
import { disturb, type Disturbance } from './disturb.ts'
import { generateEvents, type EventRange } from './events.ts'
import { defaultGeneratorOptions, type GeneratorOptions } from './options.ts'
import { createWorld, type World } from './world.ts'

/** A seeded world of users and items that knows the true probability of every click. docs/generator.md says how it works. */
export interface Generator {
  readonly world: World
  /** Source events in event-time order, unless a disturbance shakes them. */
  events(range: EventRange, disturbance?: Disturbance): Iterable<SourceEvent>
}

export function createGenerator(options: Partial<GeneratorOptions> = {}): Generator {
  const world = createWorld({ ...defaultGeneratorOptions, ...options })
  return {
    world,
    events(range, disturbance) {
      const events = generateEvents(world, range)
      return disturbance === undefined ? events : disturb(events, world.options.seed, disturbance)
    },
  }
}
