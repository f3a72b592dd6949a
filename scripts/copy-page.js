// The files of the console's page that nothing compiles.
import fs from 'node:fs/promises'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '..')
const from = path.join(root, 'src', 'console', 'page')
const to = path.join(root, 'dist', 'console', 'page')

await fs.mkdir(to, { recursive: true })
for (const name of await fs.readdir(from)) {
  if (/\.(html|css|svg)$/.test(name)) await fs.copyFile(path.join(from, name), path.join(to, name))
}
