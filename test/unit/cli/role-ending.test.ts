import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { endOf, endWithinMs, throwFailure } from '../../../src/cli/role-ending.ts'
import { FreshetError } from '../../../src/errors.ts'
import { silentLog } from '../../support/own-servers.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function told(isKafkaUp = true) {
  const stop = new AbortController()
  const said: unknown[] = []
  const log = { ...silentLog, warn: (fields: object) => void said.push(fields) }
  return { stop, said, context: { signal: stop.signal, log, isKafkaUp: () => isKafkaUp } }
}

const never = new Promise<never>(() => {})

test('a role that waits for ever is given up in time once it is told to end, and not before', async () => {
  const { stop, said, context } = told()
  const ended = vi.fn()
  const ending = endOf('joiner', never, context).catch(ended)
  await vi.advanceTimersByTimeAsync(10 * endWithinMs)
  stop.abort()
  await vi.advanceTimersByTimeAsync(endWithinMs - 1)
  expect(ended).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(1)
  await ending
  expect(ended.mock.lastCall).toMatchObject([{ code: 'STOP_UNFINISHED' }])
  expect(said).toEqual([
    {
      reason: 'not ended 10 s after it was told to',
      again: 'joining what came after the last transaction',
    },
  ])
})

test('one that ends in time has finished where Kafka answers, and only there', async () => {
  for (const isKafkaUp of [true, false]) {
    const { stop, said, context } = told(isKafkaUp)
    stop.abort()
    const ended = endOf('ingest', Promise.resolve(), context).then(() => 'finished', String)
    expect(await ended).toMatch(
      isKafkaUp ? /^finished$/ : /Kafka does not answer.*nothing is lost/i,
    )
    expect(said).toHaveLength(isKafkaUp ? 0 : 1)
  }
})

test('what fails before the signal, or for good, is what it is', async () => {
  const { stop, context } = told()
  const away = new FreshetError('BROKER_UNAVAILABLE', 'away')
  const broken = new FreshetError('CHECKPOINT_INVALID', 'broken')
  await expect(endOf('learner', Promise.reject(away), context)).rejects.toBe(away)
  stop.abort()
  await expect(endOf('learner', Promise.reject(broken), context)).rejects.toBe(broken)
  await expect(endOf('learner', Promise.reject(away), context)).rejects.toMatchObject({
    code: 'STOP_UNFINISHED',
    message: expect.stringContaining('away'),
  })
})

test('of several failures the cause is thrown, not what could not finish because of it', () => {
  const unfinished = new FreshetError('STOP_UNFINISHED', 'unfinished')
  const cause = new FreshetError('CONFIG_INVALID', 'cause')
  const rejected = (reason: unknown) => ({ status: 'rejected', reason }) as const
  const ended = { status: 'fulfilled', value: undefined } as const
  expect(() => throwFailure([ended, rejected(unfinished), rejected(cause)])).toThrow('cause')
  expect(() => throwFailure([ended, rejected(unfinished)])).toThrow('unfinished')
  expect(() => throwFailure([ended, ended])).not.toThrow()
})
