// `node bench/run.js NAME [arguments]` runs bench/NAME.ts: Node 20 does not read TypeScript itself, Vite does.
import path from 'node:path'
import { runnerImport } from 'vite'

const [name] = process.argv.splice(2, 1)
await runnerImport(path.join(import.meta.dirname, `${name}.ts`), { configFile: false })
