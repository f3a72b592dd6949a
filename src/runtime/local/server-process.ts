import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { FreshetError } from '../../errors.ts'
import type { Logger } from '../ports.ts'
import { atExit } from './at-exit.ts'
import type { RunClaim } from './orphans.ts'

export interface ServerCommand {
  /** Names the server in messages and its run record: `kafka`, `redis`. */
  readonly name: string
  readonly command: string
  /** Holds the claim's marker. */
  readonly args: readonly string[]
  readonly claim: RunClaim
  /** The server's own state; its output goes to `<dataDir>/<name>.log`. */
  readonly dataDir: string
  /** Tried again and again until it resolves true. */
  readonly isReady: () => Promise<boolean>
  readonly readyWithinMs: number
  readonly stopWithinMs: number
  readonly log: Logger
}

export interface ServerProcess {
  readonly pid: number
  /** Resolves when the process is gone, with its exit code, or null when a signal ended it. */
  readonly exited: Promise<number | null>
  /** SIGTERM, and SIGKILL when that does not end it in time. Repeated calls wait for the same end. */
  stop(): Promise<void>
}

const readyPollMs = 25

/**
 * Starts a server and resolves when it is ready. It leaves with this process, except when that one is killed by
 * SIGKILL: then the run record lets the next start end it.
 * @throws FreshetError TOOL_MISSING, SERVER_FAILED (with the end of the server's own log)
 */
export async function startServer(server: ServerCommand): Promise<ServerProcess> {
  await fs.mkdir(server.dataDir, { recursive: true })
  const logFile = path.join(server.dataDir, `${server.name}.log`)
  const output = await fs.open(logFile, 'w')
  // Detached: Ctrl-C reaches the whole foreground group, and the servers must takeBack the roles that still write.
  const child = spawn(server.command, server.args, {
    stdio: ['ignore', output.fd, output.fd],
    detached: true,
  })
  const spawnError = new Promise<Error | null>((resolve) => {
    child.once('error', resolve)
    child.once('spawn', () => resolve(null))
  })
  const failed = await spawnError
  await output.close()
  if (failed !== null || child.pid === undefined) {
    await server.claim.forget()
    const text = `Cannot run ${server.command} for ${server.name}: ${failed?.message ?? 'no pid'}`
    throw new FreshetError('TOOL_MISSING', text, { cause: failed })
  }
  const running = superviseServer(child, child.pid, server)
  try {
    await server.claim.write(child.pid)
    await waitUntilReady(child, server, logFile)
  } catch (error) {
    await running.stop()
    throw error
  }
  return running
}

function superviseServer(child: ChildProcess, pid: number, server: ServerCommand): ServerProcess {
  const takeBack = atExit(() => void child.kill('SIGTERM'))
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => {
      takeBack()
      resolve(server.claim.forget().then(() => code))
    })
  })
  let stopped: Promise<void> | null = null
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    const inTime = await Promise.race([
      exited.then(() => true),
      delay(server.stopWithinMs, false, { ref: false }),
    ])
    if (!inTime) {
      server.log.warn({ pid }, `${server.name} did not stop in time and is killed`)
      child.kill('SIGKILL')
    }
    await exited
  }
  return { pid, exited, stop: () => (stopped ??= stop()) }
}

async function waitUntilReady(
  child: ChildProcess,
  server: ServerCommand,
  logFile: string,
): Promise<void> {
  const deadlineMs = performance.now() + server.readyWithinMs
  for (;;) {
    const isReady = await server.isReady()
    // Another process may answer on a port that this one failed to bind.
    const hasEnded = child.exitCode !== null || child.signalCode !== null
    if (isReady && !hasEnded) return
    if (hasEnded || performance.now() > deadlineMs) {
      const what = hasEnded
        ? `ended with ${child.signalCode ?? child.exitCode}`
        : `was not ready within ${server.readyWithinMs / 1_000} s`
      const tail = await lastLines(logFile)
      throw new FreshetError('SERVER_FAILED', `${server.name} ${what}; end of ${logFile}:\n${tail}`)
    }
    await delay(readyPollMs)
  }
}

async function lastLines(file: string): Promise<string> {
  const text = await fs.readFile(file, 'utf8').catch(() => '')
  return text.trimEnd().split('\n').slice(-12).join('\n')
}
