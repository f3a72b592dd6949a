import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { FreshetError, messageOf } from '../../errors.ts'
import { parseExposition, type Series } from '../../metrics/exposition.ts'
import { atExit } from '../../runtime/local/at-exit.ts'
import { usageOf, type Usage } from './usage.ts'

/** A `freshet` process that the benchmark runs. */
export interface Child {
  readonly name: string
  readonly pid: number
  /** False once it has ended, whatever the reason. */
  isRunning(): boolean
  /** @throws FreshetError SERVER_FAILED with the end of its output when it has ended */
  check(): void
  /** @throws FreshetError SERVER_FAILED while it does not serve metrics */
  metrics(): Promise<Series[]>
  isReady(): Promise<boolean>
  usage(): Promise<Usage | null>
  /** SIGTERM, and SIGKILL when that does not end it in time. */
  stop(): Promise<void>
}

export interface ChildOptions {
  readonly name: string
  /** Arguments of `freshet`. */
  readonly args: readonly string[]
  readonly cwd: string
  readonly metricsPort: number
  /** null: where the system wants. */
  readonly core: number | null
  readonly nodeOptions: readonly string[]
}

const stopMs = 8_000
const askMs = 3_000
const outputMax = 4_000
const main = fileURLToPath(new URL('../../main.js', import.meta.url))

export function startChild(options: ChildOptions): Child {
  const { name, cwd, metricsPort, core } = options
  const node = [process.execPath, ...options.nodeOptions, main, ...options.args]
  const [command, ...args] = core === null ? node : ['taskset', '-c', String(core), ...node]
  const child = spawn(command!, args, {
    cwd,
    env: withoutSettings(process.env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const keep = (text: Buffer): void => void (output = (output + text.toString()).slice(-outputMax))
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', (error) => {
      output += messageOf(error)
      resolve()
    })
  })
  const isRunning = (): boolean =>
    child.pid !== undefined && child.exitCode === null && child.signalCode === null
  void exited.then(atExit(() => void child.kill('SIGKILL')))
  const failed = (what: string): FreshetError =>
    new FreshetError('SERVER_FAILED', `${name} ${what}; the end of its output:\n${output}`)
  const ask = (path: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${metricsPort}${path}`, { signal: AbortSignal.timeout(askMs) })
  return {
    name,
    pid: child.pid ?? 0,
    isRunning,
    check: () => {
      if (!isRunning())
        throw failed(`ended with ${child.signalCode ?? child.exitCode ?? 'an error'}`)
    },
    metrics: async () => {
      const answer = await ask('/metrics').catch((error: unknown) => {
        throw failed(`does not serve metrics (${messageOf(error)})`)
      })
      return parseExposition(await answer.text())
    },
    isReady: () =>
      ask('/readyz').then(
        ({ ok }) => ok,
        () => false,
      ),
    usage: () => usageOf(child.pid ?? 0),
    stop: async () => {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), stopMs)
      await exited
      clearTimeout(timer)
    },
  }
}

/** Settings of the shell must not lead a measured process to another Kafka. */
function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith('FRESHET_')),
  )
}
