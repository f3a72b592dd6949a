import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

export interface PageFile {
  readonly type: string
  readonly body: Buffer
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Only what came with the page runs, and it asks nobody else. */
export const pageHeaders: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
}

/** The files of the page by name, read once: what is not among them cannot be asked for. */
export function readPage(dir = path.join(import.meta.dirname, 'page')): Map<string, PageFile> {
  const names = readdirSync(dir).filter((name) => path.extname(name) in types)
  return new Map(
    names.map((name) => [
      name,
      { type: types[path.extname(name)]!, body: readFileSync(path.join(dir, name)) },
    ]),
  )
}
