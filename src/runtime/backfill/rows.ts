import { FreshetError, messageOf } from '../../errors.ts'
import type { Unchecked } from '../../records/json.ts'

/** Rows of a file that stand behind each other: a row group of Parquet, a block of Avro. */
export interface Rows {
  /** Number of the first, counted from 0 in the file. */
  readonly first: number
  readonly rows: readonly Unchecked[]
}

export function unreadable(path: string, cause: unknown): FreshetError {
  return new FreshetError('FILE_MISSING', `cannot read ${path}: ${messageOf(cause)}`, { cause })
}

/** A file of which a part cannot be read is not half used: what is missing would be missing from the training without a word. */
export function damaged(what: string, cause: unknown): FreshetError {
  const message = `${what}: ${messageOf(cause)}. Write the file again, or move it away`
  return new FreshetError('FILE_INVALID', message, { cause })
}
