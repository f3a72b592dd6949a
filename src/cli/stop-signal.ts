/** npm forwards a signal that the terminal has sent already: the same one again within this time is an echo. */
const echoMs = 1_000

/** Aborts at the first Ctrl-C or SIGTERM. One more, later, ends the process by the default of the system. */
export function stopSignal(say: (message: string) => void): AbortSignal {
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) return
      say(`${name}: stopping; once more ends at once`)
      stop.abort()
      setTimeout(() => process.removeAllListeners(name), echoMs).unref()
    })
  }
  return stop.signal
}
