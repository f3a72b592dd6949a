/** A seeded stream of numbers in [0, 1): xorshift32. */
export function randomFrom(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state / 4_294_967_296
  }
}

/** A random direction of length 1. */
export function unitVector(dim: number, random: () => number): Float32Array {
  const vector = Float32Array.from({ length: dim }, () => random() + random() + random() - 1.5)
  const norm = Math.hypot(...vector)
  return vector.map((value) => value / norm)
}
