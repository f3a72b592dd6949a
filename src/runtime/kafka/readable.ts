import { FreshetError } from '../../errors.ts'
import type { Batch } from '../ports.ts'

/** A handler of batches that passes over what cannot be read. */
export function eachReadable<T>(
  decode: (value: Buffer) => T,
  use: (value: T, atMs: number) => void,
): (batch: Batch) => void {
  return ({ records }) => {
    for (const { value, timestampMs } of records) {
      if (value !== null) passingOver(() => use(decode(value), timestampMs))
    }
  }
}

/** @returns null for no value, and for one that cannot be read: the role whose business it is says so in its log */
export function decoded<T>(decode: (value: Buffer) => T, value: Buffer | null): T | null {
  return value === null ? null : passingOver(() => decode(value))
}

function passingOver<T>(use: () => T): T | null {
  try {
    return use()
  } catch (error) {
    if (error instanceof FreshetError && error.disposition === 'dead-letter') return null
    throw error
  }
}
