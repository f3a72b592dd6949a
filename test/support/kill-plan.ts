import { seededRandom } from './seeded-random.ts'

export type Victim = 'ingest' | 'joiner-0' | 'joiner-1' | 'learner' | 'pod' | 'redis' | 'broker'

/** What happens to whom: `kill` and `freeze` take the process away for `forMs`, `empty` is FLUSHALL. Redis forgets when it is killed. */
export interface Strike {
  readonly atMs: number
  readonly victim: Victim
  readonly what: 'kill' | 'freeze' | 'freeze inside a transaction' | 'empty'
  readonly forMs: number
}

const processes = ['ingest', 'joiner-0', 'joiner-1', 'learner', 'pod'] as const

/**
 * Strikes at moments that the seed chooses: every process is killed, some of them again, Redis is emptied, and one joiner sleeps for
 * longer than its session lasts. In order of time; those of one victim do not overlap.
 */
export function killPlan(
  seed: number,
  options: {
    readonly spanMs: number
    readonly sessionTimeoutMs: number
    /** Also kill the broker and Redis. */
    readonly hasServers: boolean
  },
): Strike[] {
  const { spanMs, sessionTimeoutMs, hasServers } = options
  const random = seededRandom(seed)
  const strikes: Strike[] = []
  const moment = (): number => random.between(Math.floor(spanMs * 0.08), spanMs)
  const kill = (victim: Victim): void =>
    void strikes.push({ atMs: moment(), victim, what: 'kill', forMs: random.between(0, 1_500) })
  for (const victim of processes) kill(victim)
  for (let more = random.between(1, 3); more > 0; more--) kill(random.pick(processes))
  const sleeper = random.pick(['joiner-0', 'joiner-1'] as const)
  const forMs = sessionTimeoutMs + random.between(500, 2_500)
  // One with its offsets in an open transaction holds its successor up; one between two still has records to send.
  const what = random.chance(0.5) ? 'freeze' : 'freeze inside a transaction'
  strikes.push({ atMs: moment(), victim: sleeper, what, forMs })
  strikes.push({ atMs: moment(), victim: 'redis', what: 'empty', forMs: 0 })
  if (hasServers) for (const victim of ['broker', 'redis'] as const) kill(victim)
  return apart(strikes.sort((a, b) => a.atMs - b.atMs))
}

/** Leaves a victim some time to come back before it is struck again. */
function apart(strikes: readonly Strike[]): Strike[] {
  const freeAtMs = new Map<Victim, number>()
  const moved = strikes.map((strike) => {
    const atMs = Math.max(strike.atMs, freeAtMs.get(strike.victim) ?? 0)
    freeAtMs.set(strike.victim, atMs + strike.forMs + 700)
    return { ...strike, atMs }
  })
  return moved.sort((a, b) => a.atMs - b.atMs)
}

export function describeStrike({ atMs, victim, what, forMs }: Strike): string {
  return `${what} ${victim} at ${atMs} ms${forMs === 0 ? '' : ` for ${forMs} ms`}`
}
