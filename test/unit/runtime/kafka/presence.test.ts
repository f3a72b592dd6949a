import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { KafkaPresence } from '../../../../src/runtime/kafka/presence.ts'
import type { Logger } from '../../../../src/runtime/ports.ts'
import { silentLog } from '../../../support/own-servers.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function rig() {
  const said: string[] = []
  const told: boolean[] = []
  const say = (fields: object, message: string): void => {
    const { reason } = fields as { reason?: string | null }
    said.push(reason === undefined ? message : `${message}: ${reason}`)
  }
  const log: Logger = { ...silentLog, warn: say, info: say, child: () => log }
  const presence = new KafkaPresence({
    ...{ brokers: ['a:1', 'b:1'], log },
    onUp: (isUp) => void told.push(isUp),
  })
  return { presence, said, told }
}

test('an outage is said every five seconds with its newest reason, and its end once', () => {
  const { presence, said, told } = rig()
  presence.take(null)
  presence.take('refused')
  vi.advanceTimersByTime(4_999)
  expect(said).toEqual([])
  vi.advanceTimersByTime(1)
  presence.take('timed out')
  vi.advanceTimersByTime(5_000)
  presence.take(null)
  presence.take(null)
  vi.advanceTimersByTime(20_000)
  expect(said).toEqual([
    'waiting for Kafka at a:1, b:1: refused',
    'waiting for Kafka at a:1, b:1: timed out',
    'Kafka answers',
  ])
  expect(told).toEqual([true, false, true])
})

test('one broker of several that is gone is no outage', () => {
  const { presence, said } = rig()
  for (let second = 0; second < 30; second++) {
    presence.take('refused')
    vi.advanceTimersByTime(1_000)
    presence.take(null)
  }
  expect(said).toEqual([])
})

test('a start that waits says so also where nothing has failed yet, and no longer than it waits', async () => {
  const { presence, said } = rig()
  let end = (): void => undefined
  const waiting = presence.during(new Promise<void>((resolve) => (end = resolve)))
  vi.advanceTimersByTime(5_000)
  expect(said).toEqual(['waiting for Kafka at a:1, b:1: null'])
  end()
  await waiting
  vi.advanceTimersByTime(20_000)
  expect(said.slice(1)).toEqual(['Kafka answers'])
})

test('a client that is closed says nothing any more', () => {
  const { presence, said } = rig()
  presence.take('refused')
  presence.close()
  presence.take(null)
  presence.take('refused')
  vi.advanceTimersByTime(20_000)
  expect(said).toEqual([])
})
