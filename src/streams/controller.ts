import type { ControlDocument } from '../records/types.ts'

/** The document of a system that has no history: one generation, live at once because there is nothing to catch up with. */
export function firstDocument(generation: string): ControlDocument {
  return {
    epoch: 1,
    live: generation,
    candidate: null,
    previous: null,
    kept: [generation],
    cuts: {},
    states: { [generation]: 'live' },
  }
}
