import { FreshetError, messageOf } from '../../errors.ts'

/** The fetch functions are plain JavaScript that runs before anything is built, so they throw plain errors with a code. */
export async function fetched<T>(result: Promise<T>): Promise<T> {
  try {
    return await result
  } catch (error) {
    const code =
      (error as { code?: unknown }).code === 'TOOL_MISSING' ? 'TOOL_MISSING' : 'FILE_MISSING'
    throw new FreshetError(code, messageOf(error), { cause: error })
  }
}
