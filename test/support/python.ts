import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const cacheDir = path.resolve(import.meta.dirname, '../../.freshet/cache')
const installDeadlineMs = 50_000
const scriptDeadlineMs = 20_000

/**
 * Runs a Python program that reads what freshet wrote, with packages of its own under `.freshet/cache`, installed the first time.
 * @param packages pip requirements, all of them: their dependencies are not installed
 * @returns what it printed
 */
export async function runPython(
  packages: readonly string[],
  script: string,
  args: readonly string[],
): Promise<string> {
  const PYTHONPATH = await installed(packages)
  const { stdout } = await run('python3', ['-c', script, ...args], {
    env: { ...process.env, PYTHONPATH },
    timeout: scriptDeadlineMs,
    maxBuffer: 64 << 20,
  })
  return stdout
}

/** The folder with the packages: there whole or not at all, whoever else installs them at the same time. */
async function installed(packages: readonly string[]): Promise<string> {
  const names = [...packages].sort().join(' ')
  const hash = createHash('sha256').update(names).digest('hex').slice(0, 12)
  const folder = path.join(cacheDir, `python-${hash}`)
  if (await exists(folder)) return folder
  const temporary = `${folder}.${process.pid}.tmp`
  const quiet = ['--quiet', '--disable-pip-version-check', '--no-deps', '--no-compile']
  try {
    await run('python3', ['-m', 'pip', 'install', ...quiet, '--target', temporary, ...packages], {
      timeout: installDeadlineMs,
    })
    await fs.rename(temporary, folder).catch(async (error: unknown) => {
      if (!(await exists(folder))) throw error
    })
  } finally {
    await fs.rm(temporary, { recursive: true, force: true })
  }
  return folder
}

async function exists(folder: string): Promise<boolean> {
  return fs.access(folder).then(
    () => true,
    () => false,
  )
}
