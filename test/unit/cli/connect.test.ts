import { afterEach, expect, test, vi } from 'vitest'
import { reaching } from '../../../src/cli/connect.ts'
import { configSchema } from '../../../src/config/schema.ts'

const config = configSchema.parse({ kafka: { brokers: ['there:9092'] } })

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

test('a command that waits for Kafka says whom it asks, and what may be missing', async () => {
  vi.useFakeTimers()
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  await reaching(config, Promise.resolve())
  vi.advanceTimersByTime(60_000)
  expect(write).not.toHaveBeenCalled()

  void reaching(config, new Promise(() => undefined))
  vi.advanceTimersByTime(60_000)
  expect(write.mock.calls).toEqual([
    [
      expect.stringMatching(
        /^nobody answers at there:9092 yet; no npm start .* give --config FILE/,
      ),
    ],
  ])
})
