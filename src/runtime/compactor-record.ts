import { FreshetError } from '../errors.ts'
import { decodeExample } from '../records/codec.ts'
import type { Example, Heartbeat } from '../records/types.ts'

/**
 * A record of the examples topic. Null for what cannot be read: it belongs to the day it stands in and is not archived; the learner
 * makes a dead letter of it.
 */
export function readExample(value: Buffer | null): Example | Heartbeat | null {
  if (value === null) return null
  try {
    return decodeExample(value)
  } catch (error) {
    if (error instanceof FreshetError && error.disposition === 'dead-letter') return null
    throw error
  }
}
