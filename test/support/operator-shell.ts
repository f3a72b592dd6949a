import { execFile } from 'node:child_process'
import fs from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { cleanEnvironment } from './role-process.ts'

const tools = ['kafka-acls.sh', 'kafka-configs.sh', 'kafka-reassign-partitions.sh', 'redis-cli']

/**
 * Runs a command as doctor or a page prints it, in a shell in `dir`, with this build and the tools of an operator on the
 * PATH. @throws with what it printed, when it fails
 */
export async function runShell(
  dir: string,
  command: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<void> {
  const bin = path.join(dir, 'bin')
  await fs.mkdir(bin, { recursive: true })
  const main = path.resolve(import.meta.dirname, '../../bin/freshet.js')
  const script = (name: string, text: string) =>
    fs.writeFile(path.join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
  await script('npx', `shift\nexec ${process.execPath} ${main} "$@"`)
  const file = path.join(import.meta.dirname, 'operator-tools.js')
  for (const tool of tools) await script(tool, `exec ${process.execPath} ${file} ${tool} "$@"`)
  const env = { ...cleanEnvironment(), PATH: `${bin}:${process.env['PATH']}`, ...environment }
  await promisify(execFile)('sh', ['-c', command], { cwd: dir, env, timeout: 60_000 })
}
