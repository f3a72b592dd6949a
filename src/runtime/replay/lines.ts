import { createReadStream } from 'node:fs'
import { FreshetError, messageOf } from '../../errors.ts'

export interface Line {
  readonly text: string
  /** From 1. */
  readonly number: number
}

/** Longer lines are refused: nothing that freshet reads has them, and they would fill memory. */
const lineBytesMax = 4_000_000
const newline = 0x0a
const carriageReturn = 0x0d

/**
 * Lines of a UTF-8 file as its blocks arrive, without `\n` or `\r\n`. Empty lines are left out, but counted.
 * @param onBytes told how many bytes have been read, a block at a time
 * @throws FreshetError FILE_MISSING, FILE_INVALID
 */
export async function* readLines(
  path: string,
  onBytes: (bytes: number) => void = () => undefined,
): AsyncGenerator<readonly Line[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let number = 0
  let rest: Buffer = Buffer.alloc(0)

  function lineOf(bytes: Buffer): Line {
    number++
    const end = bytes.at(-1) === carriageReturn ? bytes.length - 1 : bytes.length
    try {
      return { text: decoder.decode(bytes.subarray(0, end)), number }
    } catch (cause) {
      throw brokenLine(path, number, 'bytes that are not UTF-8', 'text in UTF-8', { cause })
    }
  }

  try {
    for await (const block of createReadStream(path, { highWaterMark: 256 * 1024 })) {
      onBytes((block as Buffer).length)
      const bytes = rest.length === 0 ? (block as Buffer) : Buffer.concat([rest, block as Buffer])
      const lines: Line[] = []
      let start = 0
      for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
        lines.push(lineOf(bytes.subarray(start, end)))
        start = end + 1
      }
      rest = bytes.subarray(start)
      if (rest.length > lineBytesMax) {
        const expected = `at most ${lineBytesMax} bytes`
        throw brokenLine(path, number + 1, `a line of over ${lineBytesMax} bytes`, expected)
      }
      yield lines.filter((line) => line.text !== '')
    }
    const last = rest.length > 0 ? lineOf(rest) : null
    if (last !== null && last.text !== '') yield [last]
  } catch (error) {
    throw error instanceof FreshetError ? error : unreadable(path, error)
  }
}

export function brokenLine(
  path: string,
  number: number,
  found: string,
  expected: string,
  options?: { readonly cause: unknown },
): FreshetError {
  const message = `${path}:${number}: found ${found}, expected ${expected}`
  return new FreshetError('FILE_INVALID', message, options)
}

export function unreadable(path: string, cause: unknown): FreshetError {
  const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
  return isMissing
    ? new FreshetError('FILE_MISSING', `${path} does not exist; check the path of --events`, {
        cause,
      })
    : new FreshetError('FILE_INVALID', `${path} cannot be read: ${messageOf(cause)}`, { cause })
}
