import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { type Broker, fetchBroker, startBroker } from '../../src/runtime/local/kafka-broker.ts'
import {
  fetchRedisServer,
  type RedisServer,
  startRedis,
} from '../../src/runtime/local/redis-server.ts'
import type { Logger } from '../../src/runtime/ports.ts'

/** Downloads are shared with `npm start`; everything else of a test's servers lies in a folder of its own. */
export const cacheDir = path.resolve(import.meta.dirname, '../../.freshet/cache')

export const silentLog: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLog,
}

/** What a test context offers to clean up: vitest's `onTestFinished`, or an array's push in a hook. */
export type OnEnd = (cleanUp: () => Promise<void>) => void

/** A folder that is removed at the end. Register it before the servers that live in it: clean-up runs in reverse. */
export async function temporaryDir(onEnd: OnEnd): Promise<string> {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-test-'))
  onEnd(() => fs.rm(dir, { recursive: true, force: true }))
  return dir
}

export interface OwnServer<Server> {
  /** host:port of the broker, or the URL of Redis; the same after `restart`. */
  readonly address: string
  /** The running server's process. */
  pid(): number
  /** SIGKILL, as a crash would; resolves when the process is gone. */
  kill(): Promise<void>
  /** Clean stop. */
  stop(): Promise<void>
  /** Starts it again on the same data and port. */
  restart(): Promise<Server>
}

/** A broker of the test's own, to be killed and restarted; started in about two seconds. */
export async function ownBroker(onEnd: OnEnd, dir?: string): Promise<OwnServer<Broker>> {
  const base = dir ?? (await temporaryDir(onEnd))
  const libsDir = await fetchBroker(cacheDir)
  const start = (port?: number): Promise<Broker> =>
    startBroker({
      ...{ libsDir, dataDir: path.join(base, 'kafka'), runDir: path.join(base, 'run') },
      ...{ log: silentLog, ...(port === undefined ? {} : { port }) },
    })
  return ownServer(onEnd, start, (broker) => broker.bootstrap)
}

/** A Redis of the test's own; `persist` decides whether a restart finds its data again. */
export async function ownRedis(
  onEnd: OnEnd,
  options: { readonly persist?: boolean; readonly dir?: string } = {},
): Promise<OwnServer<RedisServer>> {
  const base = options.dir ?? (await temporaryDir(onEnd))
  const binary = await fetchRedisServer(cacheDir)
  const start = (port?: number): Promise<RedisServer> =>
    startRedis({
      ...{ binary, dataDir: path.join(base, 'redis'), runDir: path.join(base, 'run') },
      ...{ persist: options.persist ?? false, log: silentLog },
      ...(port === undefined ? {} : { port }),
    })
  return ownServer(onEnd, start, (redis) => redis.url)
}

async function ownServer<Server extends Broker | RedisServer>(
  onEnd: OnEnd,
  start: (port?: number) => Promise<Server>,
  addressOf: (server: Server) => string,
): Promise<OwnServer<Server>> {
  let running = await start()
  onEnd(() => running.stop())
  const address = addressOf(running)
  const port = Number(address.slice(address.lastIndexOf(':') + 1))
  return {
    address,
    pid: () => running.pid,
    kill: async () => {
      process.kill(running.pid, 'SIGKILL')
      await running.exited
    },
    stop: () => running.stop(),
    restart: async () => (running = await start(port)),
  }
}
