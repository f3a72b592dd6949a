import { throughputOf, type Sample, type Throughput } from './arithmetic.ts'
import type { Child } from './child.ts'
import { wait } from './until.ts'

export interface WatchOptions {
  readonly child: Child
  /** Records done since the start of the child. */
  readonly done: () => Promise<number>
  /** Records there are. */
  readonly total: number
  readonly warmUpMs: number
  /** From the start of the child. */
  readonly limitMs: number
  readonly signal: AbortSignal
}

const sampleMs = 250

/**
 * Follows a process through its backlog.
 * @returns null when it did not do enough to tell a rate
 * @throws FreshetError SERVER_FAILED when the process ends before
 */
export async function watch(options: WatchOptions): Promise<Throughput | null> {
  const { child, done, total, warmUpMs, limitMs, signal } = options
  const samples: Sample[] = []
  const startedMs = performance.now()
  while (performance.now() - startedMs < limitMs) {
    child.check()
    const [records, usage] = await Promise.all([done(), child.usage()])
    samples.push({ atMs: performance.now(), records, cpuSeconds: usage?.cpuSeconds ?? null })
    if (records >= total) break
    await wait(sampleMs, signal)
  }
  return throughputOf(samples, total, warmUpMs)
}
