import { setTimeout as pause } from 'node:timers/promises'
import { FreshetError } from '../../errors.ts'

const pollMs = 50

/**
 * Waits for a condition.
 * @throws FreshetError TIMEOUT, ABORTED
 */
export async function until(
  what: string,
  limitMs: number,
  signal: AbortSignal,
  condition: () => Promise<boolean>,
): Promise<void> {
  const endsAt = performance.now() + limitMs
  while (!(await condition())) {
    if (performance.now() > endsAt) {
      throw new FreshetError('TIMEOUT', `${what}: not within ${limitMs / 1_000} s`)
    }
    await wait(pollMs, signal)
  }
}

/** @throws FreshetError ABORTED */
export async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await pause(ms, undefined, { signal }).catch(() => {
    throw new FreshetError('ABORTED', 'the benchmark was interrupted')
  })
}
