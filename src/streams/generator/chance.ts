import { mix32, Random } from '../../model/hash.ts'

/** Chance for the generator: seeded hashes for what must be known at any time, a seeded stream for what happens once. */

/** In [0, 1), a function of its arguments alone. `salt` tells uses apart. */
export function unit(seed: number, salt: number, a: number, b = 0): number {
  return mix32(mix32(mix32(mix32(seed) + salt) + a) + b) / 4_294_967_296
}

/** A stream of its own for each (seed, start). */
export function streamFrom(seed: number, startMs: number): Random {
  const high = Math.floor(startMs / 4_294_967_296)
  return new Random(mix32(mix32(seed) + high), mix32(startMs))
}

/** Index of the first entry of an ascending cumulative array that exceeds `value`: draws an index in O(log n). */
export function firstAbove(cumulative: Float64Array, value: number): number {
  let low = 0
  let high = cumulative.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (cumulative[middle]! > value) high = middle
    else low = middle + 1
  }
  return low
}

export function cumulativeOf(weights: ArrayLike<number>): Float64Array {
  const cumulative = new Float64Array(weights.length)
  let sum = 0
  for (let i = 0; i < weights.length; i++) {
    sum += weights[i]!
    cumulative[i] = sum
  }
  return cumulative
}
