/** `count` observations of at most `upTo`, those of smaller buckets among them. */
export interface Bucket {
  readonly upTo: number
  readonly count: number
}

/**
 * The quantile of a Prometheus histogram as histogram_quantile has it: linear inside a bucket, and the highest finite bound
 * for what lies beyond it.
 * @param q in [0, 1]
 * @returns null without observations
 */
export function quantileOf(buckets: readonly Bucket[], q: number): number | null {
  const sorted = [...buckets].sort((a, b) => a.upTo - b.upTo)
  const total = sorted.at(-1)?.count ?? 0
  if (total <= 0) return null
  const rank = q * total
  const index = sorted.findIndex(({ count }) => count >= rank && count > 0)
  const { upTo, count } = sorted[index]!
  const { upTo: from, count: below } = sorted[index - 1] ?? { upTo: 0, count: 0 }
  if (upTo === Infinity) return from
  return from + ((upTo - from) * (rank - below)) / (count - below)
}

/** What a histogram has seen between two moments. */
export function bucketsSince(before: readonly Bucket[], now: readonly Bucket[]): Bucket[] {
  const earlier = new Map(before.map(({ upTo, count }) => [upTo, count]))
  return now.map(({ upTo, count }) => ({ upTo, count: count - (earlier.get(upTo) ?? 0) }))
}
