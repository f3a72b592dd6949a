const waiting = new Set<() => void>()

/**
 * Calls `end` when this process exits, unless it is killed. One listener serves all who ask: Node takes more than ten for a leak.
 * @returns takes it back
 */
export function atExit(end: () => void): () => void {
  if (waiting.size === 0) process.on('exit', endAll)
  waiting.add(end)
  return () => {
    waiting.delete(end)
    if (waiting.size === 0) process.off('exit', endAll)
  }
}

function endAll(): void {
  for (const end of waiting) end()
}
