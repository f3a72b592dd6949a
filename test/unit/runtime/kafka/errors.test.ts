import { expect, test } from 'vitest'
import { FreshetError } from '../../../../src/errors.ts'
import { isConnectionFailure, isRetriable } from '../../../../src/runtime/kafka/errors.ts'

test('a broker that was lost before it was asked is a connection that failed, though kafkajs gives it no name', () => {
  const lost = new Error('Broker not connected')
  expect(isConnectionFailure(lost)).toBe(true)
  expect(isRetriable(lost)).toBe(true)
  const wrapped = new FreshetError('BROKER_UNAVAILABLE', 'connect to Kafka', { cause: lost })
  expect(isConnectionFailure(wrapped)).toBe(true)
  expect(isConnectionFailure(new Error('something else'))).toBe(false)
})
