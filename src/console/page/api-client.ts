import type { ApiProblem } from '../api.ts'

const timeoutMs = 20_000

/** @throws Error with the message of the server */
export async function ask<T>(
  name: string,
  parameters: Readonly<Record<string, string>> = {},
): Promise<T> {
  const query = new URLSearchParams(parameters).toString()
  const url = `api/${name}${query === '' ? '' : `?${query}`}`
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) })
  const answer: unknown = await response.json()
  if (!response.ok) throw new Error((answer as ApiProblem).error.message)
  return answer as T
}

/** Where a page is, as a link. */
export function hrefOf(page: string, parameters: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams(parameters).toString()
  return `#/${page}${query === '' ? '' : `?${query}`}`
}

export interface OpenPage {
  /** Asks again and shows what has changed. */
  refresh(): Promise<void>
  /** null: once is enough. */
  readonly everyMs: number | null
}

export interface Page {
  readonly name: string
  readonly title: string
  open(main: HTMLElement, query: URLSearchParams): OpenPage
}
