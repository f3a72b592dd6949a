/** Chance that can be replayed: the same seed gives the same sequence (mulberry32). */
export interface SeededRandom {
  /** [0, 1) */
  next(): number
  /** An integer of [low, high]. */
  between(low: number, high: number): number
  chance(probability: number): boolean
  pick<T>(values: readonly T[]): T
}

export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1))
  return {
    next,
    between,
    chance: (probability) => next() < probability,
    pick: (values) => values[between(0, values.length - 1)]!,
  }
}

/** The seeds a simulation runs: `SIM_SEED=17` replays that one. */
export function simulationSeeds(count: number): number[] {
  const only = process.env['SIM_SEED']
  return only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)]
}
