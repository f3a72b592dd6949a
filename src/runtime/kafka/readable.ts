import { FreshetError } from '../../errors.ts'
import type { Batch } from '../ports.ts'

/** A handler of batches that passes over what cannot be read. */
export function eachReadable<T>(
  decode: (value: Buffer) => T,
  use: (value: T, atMs: number) => void,
): (batch: Batch) => void {
  return ({ records }) => {
    for (const { value, timestampMs } of records) {
      if (value !== null) readable(() => use(decode(value), timestampMs))
    }
  }
}

/** Passes over what cannot be read: the role whose business it is says so in its log. */
export function readable(use: () => void): void {
  try {
    use()
  } catch (error) {
    if (!(error instanceof FreshetError) || error.disposition !== 'dead-letter') throw error
  }
}
