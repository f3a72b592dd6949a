import { expect, test, vi } from 'vitest'
import { createMetrics } from '../../../src/metrics/metrics.ts'
import { Generations } from '../../../src/runtime/recall-generations.ts'
import { silentLog } from '../../support/own-servers.ts'

function generations() {
  const stop = new AbortController()
  const loads: { readonly signal: AbortSignal; fail(error: Error): void }[] = []
  const error = vi.fn()
  const held = new Generations({
    newest: () => 1,
    open: (_, signal) => new Promise((_, fail) => loads.push({ signal, fail })),
    refresh: () => Promise.resolve(),
    ...{ onChange: () => {}, retryMs: 60_000, signal: stop.signal },
    ...{ metrics: createMetrics(), log: { ...silentLog, error } },
  })
  held.follow({ live: 'g1', candidate: null, previous: null })
  return { held, stop, loads, error }
}

test('a pod that is told to end while it loads says nothing, and loads nothing more', async () => {
  const { held, stop, loads, error } = generations()
  stop.abort()
  expect(loads[0]!.signal.aborted).toBe(true)
  loads[0]!.fail(new Error('the connection was closed'))
  await held.close()
  held.follow({ live: 'g2', candidate: null, previous: null })
  expect(loads).toHaveLength(1)
  expect(error).not.toHaveBeenCalled()
})

test('what cannot be loaded otherwise is said', async () => {
  const { held, loads, error } = generations()
  loads[0]!.fail(new Error('a chunk is missing'))
  await held.settled()
  expect(error.mock.lastCall?.[0]).toMatchObject({ generation: 'g1', error: 'a chunk is missing' })
  await held.close()
})
