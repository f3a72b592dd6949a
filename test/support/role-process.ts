import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { atExit } from '../../src/runtime/local/at-exit.ts'
import type { OnEnd } from './own-servers.ts'

/** The build that `npm test` has made; a bench may name another one, so that a rebuild does not change a run under way. */
const mainFile = process.env['DIST_MAIN'] ?? path.resolve(import.meta.dirname, '../../dist/main.js')

export interface RoleProcess {
  readonly name: string
  /** Everything it has printed, over all its lives. */
  readonly logFile: string
  /** Of the running process. @throws when none runs */
  pid(): number
  start(): void
  /** SIGKILL, also while frozen; resolves when the process is gone. */
  kill(): Promise<void>
  /** SIGTERM, as Ctrl-C; resolves with the exit code, null where it had to be killed. */
  stop(withinMs?: number): Promise<number | null>
  /** SIGSTOP: it keeps its sockets and its memory, and sends nothing. */
  freeze(): void
  /** SIGCONT. */
  thaw(): void
  log(): LogLine[]
  /** The text that Prometheus would get from the running process. */
  metrics(): Promise<string>
  /** Waits until a line of its log is as wanted. @throws with the end of the log when the process ends or time is up */
  waitForLog(isWanted: (line: LogLine) => boolean, withinMs?: number): Promise<LogLine>
}

export interface LogLine extends Readonly<Record<string, unknown>> {
  readonly level: number
  readonly msg: string
}

const startWithinMs = 60_000
const stopWithinMs = 15_000

/** Starts `freshet <arguments>` as a process of its own in `dir`. It is killed at the end, whatever state it is in. */
export function startRole(
  onEnd: OnEnd,
  options: { readonly name: string; readonly args: readonly string[]; readonly dir: string },
): RoleProcess {
  const { name, args, dir } = options
  const logFile = path.join(dir, `${name}.log`)
  let child: ChildProcess | null = null
  let ended: Promise<number | null> = Promise.resolve(null)
  /** Lines of the processes before: what they say of themselves is over. */
  let linesBefore = 0

  const start = (): void => {
    if (child !== null) throw new Error(`${name} runs already`)
    const output = fs.openSync(logFile, 'a')
    linesBefore = readLog(logFile).length
    const started = spawn(process.execPath, [mainFile, ...args], {
      cwd: dir,
      env: cleanEnvironment(),
      stdio: ['ignore', output, output],
    })
    fs.closeSync(output)
    child = started
    ended = new Promise((resolve) => {
      started.once('exit', (code) => {
        child = null
        resolve(code)
      })
    })
  }
  const signal = (what: NodeJS.Signals): void => {
    if (child === null) throw new Error(`${name} does not run:\n${endOf(logFile)}`)
    child.kill(what)
  }
  const kill = async (): Promise<void> => {
    child?.kill('SIGKILL')
    await ended
  }
  start()
  const takeBack = atExit(() => void child?.kill('SIGKILL'))
  onEnd(async () => {
    await kill()
    takeBack()
  })
  return {
    ...{ name, logFile, start, kill },
    pid: () => {
      if (child?.pid === undefined) throw new Error(`${name} does not run:\n${endOf(logFile)}`)
      return child.pid
    },
    stop: async (withinMs = stopWithinMs) => {
      signal('SIGTERM')
      const late = sleep(withinMs, 'late' as const, { ref: false })
      if ((await Promise.race([ended, late])) === 'late') await kill()
      return ended
    },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    log: () => readLog(logFile),
    metrics: async () => {
      const deadlineMs = performance.now() + startWithinMs
      for (;;) {
        const url = readLog(logFile)
          .slice(linesBefore)
          .find((line) => line['url'] !== undefined)?.['url']
        if (url !== undefined) return (await fetch(`${String(url)}/metrics`)).text()
        if (child === null || performance.now() > deadlineMs) {
          throw new Error(`${name} serves no metrics:\n${endOf(logFile)}`)
        }
        await sleep(30)
      }
    },
    waitForLog: async (isWanted, withinMs = startWithinMs) => {
      const deadlineMs = performance.now() + withinMs
      for (;;) {
        const found = readLog(logFile).find(isWanted)
        if (found !== undefined) return found
        if (child === null || performance.now() > deadlineMs) {
          const what = child === null ? 'has ended' : `said nothing of it in ${withinMs} ms`
          throw new Error(`${name} ${what}:\n${endOf(logFile)}`)
        }
        await sleep(30)
      }
    },
  }
}

export interface CommandResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `freshet <arguments>` to its end. @param options `timeoutMs`: a minute by default */
export async function runCommand(
  args: readonly string[],
  options: {
    readonly dir: string
    readonly env?: Readonly<Record<string, string>>
    readonly timeoutMs?: number
  },
): Promise<CommandResult> {
  const child = spawn(process.execPath, [mainFile, ...args], {
    cwd: options.dir,
    env: { ...cleanEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, stdout, stderr }
}

/** Addresses that are set where the tests run are meant for `npm start`, not for processes of a test. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !name.startsWith('FRESHET_') && name !== 'REDIS_URL',
    ),
  )
}

/** A line that a kill has cut short is no JSON, nor is what Node itself prints. */
function readLog(file: string): LogLine[] {
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return line.startsWith('{') ? [JSON.parse(line) as LogLine] : []
      } catch {
        return []
      }
    })
}

function endOf(file: string): string {
  return fs.readFileSync(file, 'utf8').trimEnd().split('\n').slice(-15).join('\n')
}
