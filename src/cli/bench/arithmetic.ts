/** The arithmetic of the benchmark, apart from everything that measures. */

/** How far a process was at one moment. */
export interface Sample {
  readonly atMs: number
  readonly records: number
  /** null where the system does not say. */
  readonly cpuSeconds: number | null
}

export interface Throughput {
  readonly records: number
  readonly seconds: number
  readonly perSecond: number
  /** Of the process alone; what a noisy machine distorts least. */
  readonly cpuSecondsPer100k: number | null
  /** CPU time over wall time: below 1, the process waited or its core was taken by others. */
  readonly coreShare: number | null
  /** Time after the first record that was left out; 0 where the backlog was gone before it was over. */
  readonly warmUpMs: number
}

const secondsMin = 1
/** The last records of a backlog wait for others, e.g. for the end of a source: not what a steady rate is about. */
const steadyShare = 0.95

/**
 * The rate between the end of the warm-up and the last sample that still had a twentieth of `total` in front of it. Of samples
 * with the same count only the first tells when it was reached.
 * @returns null where less than a second was seen
 */
export function throughputOf(
  samples: readonly Sample[],
  total: number,
  warmUpMs: number,
): Throughput | null {
  const before = samples.findLast(({ records }) => records === 0)
  const busy = samples.filter(
    ({ records }, i) =>
      records > 0 && records <= total * steadyShare && records !== samples[i - 1]?.records,
  )
  const first = before ?? busy[0]
  const last = busy.at(-1)
  if (first === undefined || last === undefined) return null
  const steady = busy.find(({ atMs }) => atMs >= first.atMs + warmUpMs)
  const isSteady = steady !== undefined && secondsBetween(steady, last) >= secondsMin
  const from = isSteady ? steady : first
  if (secondsBetween(from, last) < secondsMin) return null
  return { ...between(from, last), warmUpMs: isSteady ? warmUpMs : 0 }
}

function between(from: Sample, to: Sample): Omit<Throughput, 'warmUpMs'> {
  const seconds = secondsBetween(from, to)
  const records = to.records - from.records
  const cpuSeconds =
    from.cpuSeconds === null || to.cpuSeconds === null ? null : to.cpuSeconds - from.cpuSeconds
  return {
    records,
    seconds,
    perSecond: records / seconds,
    cpuSecondsPer100k:
      cpuSeconds === null || records === 0 ? null : (cpuSeconds / records) * 100_000,
    coreShare: cpuSeconds === null ? null : cpuSeconds / seconds,
  }
}

function secondsBetween(from: Sample, to: Sample): number {
  return (to.atMs - from.atMs) / 1_000
}

export function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? null
}
