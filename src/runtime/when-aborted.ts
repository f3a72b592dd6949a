/** Resolves with the signal, rejects with a failure, whichever comes first. */
export function whenAborted(signal: AbortSignal): {
  promise: Promise<void>
  fail(error: Error): void
} {
  let fail!: (error: Error) => void
  const promise = new Promise<void>((resolve, reject) => {
    fail = reject
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
  promise.catch(() => undefined)
  return { promise, fail }
}
