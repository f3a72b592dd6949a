import path from 'node:path'
import { type OnProgress, fetchRedis } from '../../../scripts/fetch-servers.js'
import type { Logger } from '../ports.ts'
import { fetched } from './fetched.ts'
import { askPort, choosePorts, loopback } from './loopback-ports.ts'
import { claimRun } from './orphans.ts'
import { type ServerProcess, startServer } from './server-process.ts'

export interface RedisOptions {
  /** What `fetchRedisServer` returned. */
  readonly binary: string
  readonly dataDir: string
  readonly runDir: string
  /** True: an append-only file in dataDir, read again at the next start. */
  readonly persist: boolean
  readonly port?: number
  /** Further settings, as on the command line of redis-server. */
  readonly args?: readonly string[]
  readonly log: Logger
}

export interface RedisServer extends ServerProcess {
  readonly url: string
}

/**
 * A redis-server to run: from the PATH when it is 6.2 or newer, else fetched once into `cacheDir`.
 * @throws FreshetError FILE_MISSING
 */
export function fetchRedisServer(cacheDir: string, onProgress?: OnProgress): Promise<string> {
  return fetched(fetchRedis(cacheDir, onProgress))
}

/**
 * A Redis on loopback, at the address of its last start where that is still free.
 * @throws FreshetError PORT_TAKEN, ALREADY_RUNNING, TOOL_MISSING, SERVER_FAILED
 */
export async function startRedis(options: RedisOptions): Promise<RedisServer> {
  const startedMs = performance.now()
  const dataDir = path.resolve(options.dataDir)
  const claim = await claimRun('redis', dataDir, options.runDir)
  const [port] = await choosePorts(dataDir, 1, options.port, 'Redis')
  const running = await startServer({
    name: 'redis',
    command: options.binary,
    args: [
      ...['--port', String(port), '--bind', loopback, '--dir', dataDir, '--save', ''],
      ...['--appendonly', options.persist ? 'yes' : 'no'],
      // Redis overwrites its command line, so the word that identifies this run has to be part of the template.
      ...['--proc-title-template', `{title} {listen-addr} ${claim.marker}`],
      ...(options.args ?? []),
    ],
    claim,
    dataDir,
    isReady: async () => {
      const answer = await askPort(port!, Buffer.from('PING\r\n'), 1_000)
      // One that asks for a password first answers as well.
      return /^(\+PONG|-NOAUTH)/.test(String(answer))
    },
    readyWithinMs: 60_000,
    stopWithinMs: 10_000,
    log: options.log,
  })
  const tookMs = Math.round(performance.now() - startedMs)
  options.log.info({ pid: running.pid, port, tookMs }, 'Redis is ready')
  return { ...running, url: `redis://${loopback}:${port}` }
}
