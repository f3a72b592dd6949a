/** What `work` ends with, or the error once `timeoutMs` have passed; then what becomes of it is passed over. */
export async function withTimeout<T>(
  work: Promise<T>,
  timeoutMs: number,
  errorOf: () => Error,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(errorOf()), timeoutMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
    work.catch(() => undefined)
  }
}
