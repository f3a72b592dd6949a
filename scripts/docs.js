// `npm run docs`: writes the generated pages of docs/ from the built code.
import fs from 'node:fs/promises'
import path from 'node:path'
import { buildProgram } from '../dist/cli/program.js'
import { referencePages } from '../dist/cli/reference.js'

const docs = path.resolve(import.meta.dirname, '..', 'docs')
for (const [name, text] of Object.entries(await referencePages(buildProgram()))) {
  await fs.mkdir(path.dirname(path.join(docs, name)), { recursive: true })
  await fs.writeFile(path.join(docs, name), text)
  console.log(`docs/${name}`)
}
