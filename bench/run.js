// `node bench/run.js NAME [arguments]` runs bench/NAME.ts: Node 20 does not read TypeScript itself, Vite does.
import fs from 'node:fs/promises'
import path from 'node:path'
import { runnerImport } from 'vite'

const files = await fs.readdir(import.meta.dirname)
const names = files.filter((file) => file.endsWith('.ts')).map((file) => path.basename(file, '.ts'))
const [name] = process.argv.splice(2, 1)
const file = path.join(import.meta.dirname, `${name}.ts`)
if (!names.includes(name)) {
  refuse(`usage: node bench/run.js NAME [options]\nNAME is one of ${names.join(', ')}.`)
} else if (process.argv.includes('--help')) {
  console.log(headOf(await fs.readFile(file, 'utf8')))
} else {
  await run(file)
}

async function run(file) {
  try {
    await runnerImport(file, { configFile: false })
  } catch (error) {
    const isUsage = String(error.code).startsWith('ERR_PARSE_ARGS') || error.name === 'FreshetError'
    if (!isUsage) throw error
    refuse(`${error.message}\n\n${headOf(await fs.readFile(file, 'utf8'))}`)
  }
}

/** What the file says of itself, and the options that it knows. */
function headOf(text) {
  const about = /\/\*\*\n([^]*?)\*\//.exec(text)?.[1] ?? ''
  const options = [...text.matchAll(/^ {4}'?([\w-]+)'?: \{ type: '(\w+)'/gm)]
  const listed = options.map(
    ([, option, type]) => `  --${option}${type === 'string' ? ' VALUE' : ''}`,
  )
  return [about.replaceAll(/^ \* ?/gm, ''), ...listed].join('\n')
}

function refuse(message) {
  console.error(message)
  process.exitCode = 2
}
