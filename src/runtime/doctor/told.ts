import { messageOf } from '../../errors.ts'

/** What could be found out, or why it could not. */
export type Told<T> =
  { readonly isTold: true; readonly value: T } | { readonly isTold: false; readonly why: string }

export function told<T>(value: T): Told<T> {
  return { isTold: true, value }
}

export function untold(why: string): Told<never> {
  return { isTold: false, why }
}

/** Never rejects: the reason of a failure, or of the time that is up, is what is told. */
export async function within<T>(limitMs: number, find: () => Promise<T>): Promise<Told<T>> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Told<T>>((resolve) => {
    timer = setTimeout(() => resolve(untold(`no answer within ${limitMs / 1_000} s`)), limitMs)
  })
  try {
    return await Promise.race([find().then(told), late])
  } catch (error) {
    return untold(messageOf(error))
  } finally {
    clearTimeout(timer)
  }
}
