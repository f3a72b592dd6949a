import { setImmediate as nextTurn } from 'node:timers/promises'

/**
 * Runs steps to their end, letting others have their turn in between.
 * @throws the signal's reason, between two steps
 */
export async function inSlices<Result>(
  steps: Iterator<void, Result>,
  signal?: AbortSignal,
): Promise<Result> {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    await nextTurn()
    signal?.throwIfAborted()
  }
}
