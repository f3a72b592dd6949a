import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { buildProgram } from '../../../src/cli/program.ts'
import { referencePages } from '../../../src/cli/reference.ts'

test('the generated pages of docs/ say what the code says (npm run docs writes them)', async () => {
  const pages = Object.entries(await referencePages(buildProgram()))
  expect(pages.length).toBe(6)
  for (const [name, text] of pages) {
    expect(
      readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', name), 'utf8'),
      name,
    ).toBe(text)
  }
})
