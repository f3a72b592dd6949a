import type { GenerationManifest } from '../generation/manifest.ts'

type Candidate = Pick<GenerationManifest, 'id' | 'day' | 'createdAt' | 'gate'>

/**
 * The generation that the full update of a day starts from: the one that has learnt the newest day before it and has not failed
 * its gate, else the newest bootstrap generation. Of several of one day, the one made last.
 */
export function newestParent<G extends Candidate>(
  generations: readonly G[],
  day: string,
): G | null {
  const possible = generations.filter(
    (one) => (one.day === null || one.day < day) && one.gate?.verdict !== 'failed',
  )
  return possible.reduce<G | null>(
    (best, one) => (best === null || isNewer(one, best) ? one : best),
    null,
  )
}

function isNewer(one: Candidate, other: Candidate): boolean {
  const [day, otherDay] = [one.day ?? '', other.day ?? '']
  return day === otherDay ? one.createdAt > other.createdAt : day > otherDay
}
