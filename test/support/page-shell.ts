import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from './documented-commands.ts'
import { cacheDir } from './own-servers.ts'
import { cleanEnvironment } from './role-process.ts'

const runWithinMs = 180_000
const stopWithinMs = 30_000
/** What a process may answer to Ctrl-C: npm hands the signal on and says so. */
const stoppedCodes: readonly (number | null)[] = [0, 130]

/** Makes a folder like a clone: everything of the repository by link, and a `.freshet` of its own, or that of another one. */
export async function linkClone(dir: string, sharedWith?: string): Promise<void> {
  for (const name of await fs.readdir(root)) {
    if (name !== '.git' && name !== '.freshet')
      await fs.symlink(path.join(root, name), path.join(dir, name))
  }
  if (sharedWith !== undefined) {
    await fs.symlink(path.join(sharedWith, '.freshet'), path.join(dir, '.freshet'))
    return
  }
  await fs.mkdir(path.join(dir, '.freshet'))
  await fs.symlink(cacheDir, path.join(dir, '.freshet', 'cache'))
}

export interface RunOptions {
  /** The command goes on; it is left running once it has printed this. */
  readonly until?: RegExp
  /** What has to be printed: until then the command is run again, since what it shows takes a moment. */
  readonly shows?: RegExp
}

/** Runs the commands of a page in one folder, as somebody types them into one or two terminals. */
export class PageShell {
  readonly #dir: string
  readonly #env: NodeJS.ProcessEnv
  /** What goes on. */
  readonly #running = new Map<ChildProcess, Printed>()
  readonly #alive = new Set<ChildProcess>()
  #variables = ''

  constructor(dir: string, env: Readonly<Record<string, string>> = {}) {
    this.#dir = dir
    this.#env = { ...cleanEnvironment(), ...env }
    process.once('exit', this.#endAll)
  }

  /**
   * @returns what it printed
   * @throws when it fails, prints nothing of what it has to, or does not end; the message has the end of what it printed
   */
  async run(text: string, { until, shows }: RunOptions = {}): Promise<string> {
    if (/^[a-z]+=\S/.test(text)) {
      this.#variables += `${text}\n`
      return ''
    }
    if (until !== undefined) return this.#start(text, until)
    const deadlineMs = performance.now() + runWithinMs
    for (;;) {
      const printed = new Printed(this.#spawn(text))
      const code = await printed.endedBy(deadlineMs - performance.now())
      if (code !== 0) throw new Error(`ended with ${code ?? 'a signal'}:\n${printed.end}`)
      if (shows === undefined || shows.test(printed.text)) return printed.text
      if (performance.now() > deadlineMs) throw new Error(`never printed ${shows}:\n${printed.end}`)
      await sleep(300)
    }
  }

  /** Ctrl-C in every terminal. @throws when something does not stop, or not cleanly */
  async stop(): Promise<void> {
    const all = [...this.#running].reverse()
    this.#running.clear()
    const codes = all.map(async ([child, printed]) => {
      signal(child, 'SIGINT')
      const code = await printed.endedBy(stopWithinMs)
      if (!stoppedCodes.includes(code)) throw new Error(`stopped with ${code}:\n${printed.end}`)
    })
    await Promise.all(codes)
  }

  /** Ends what an error has left running: with its servers, which a kill would leave behind. */
  async close(): Promise<void> {
    await this.stop().catch(() => undefined)
    process.off('exit', this.#endAll)
  }

  async #start(text: string, until: RegExp): Promise<string> {
    const child = this.#spawn(text)
    const printed = new Printed(child)
    this.#running.set(child, printed)
    const deadlineMs = performance.now() + runWithinMs
    while (!until.test(printed.text)) {
      if (printed.hasEnded || performance.now() > deadlineMs) {
        throw new Error(`never printed ${until}:\n${printed.end}`)
      }
      await sleep(50)
    }
    return printed.text
  }

  /** In a process group of its own, so that a signal reaches all of it, as from a terminal. */
  #spawn(text: string): ChildProcess {
    const child = spawn('bash', ['-c', `set -o pipefail\n${this.#variables}${text}`], {
      ...{ cwd: this.#dir, env: this.#env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
    })
    this.#alive.add(child)
    child.once('close', () => this.#alive.delete(child))
    return child
  }

  readonly #endAll = (): void => {
    for (const child of this.#alive) signal(child, 'SIGTERM')
  }
}

/** Standard output and errors of a process, as a terminal shows them. */
class Printed {
  readonly #child: ChildProcess
  readonly #ended: Promise<number | null>
  text = ''
  hasEnded = false

  constructor(child: ChildProcess) {
    this.#child = child
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.text += text))
    }
    this.#ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.hasEnded = true
        // What a shell makes of it.
        resolve(signal === 'SIGINT' ? 130 : code)
      })
    })
  }

  get end(): string {
    return this.text.trimEnd().split('\n').slice(-15).join('\n')
  }

  /** @returns the exit code; null where it had to be killed */
  async endedBy(withinMs: number): Promise<number | null> {
    const timer = setTimeout(() => signal(this.#child, 'SIGKILL'), Math.max(0, withinMs))
    return this.#ended.finally(() => clearTimeout(timer))
  }
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  try {
    process.kill(-child.pid!, name)
  } catch {
    // The group is gone already.
  }
}
