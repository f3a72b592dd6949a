import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fetchBroker, startBroker, type Broker } from '../runtime/local/kafka-broker.ts'
import { fetchRedisServer, startRedis, type RedisServer } from '../runtime/local/redis-server.ts'
import type { Logger } from '../runtime/ports.ts'

export interface TemporaryServers {
  /** For whatever else is to go with them. */
  readonly dir: string
  readonly broker: Broker
  readonly redis: RedisServer
  /** Ends the servers and removes the folder. */
  close(): Promise<void>
}

const cacheDir = '.freshet/cache'

/**
 * Kafka and Redis for the length of one command, in a folder of their own.
 * @throws FreshetError TOOL_MISSING, SERVER_FAILED, FILE_MISSING
 */
export async function startTemporaryServers(name: string, log: Logger): Promise<TemporaryServers> {
  const dir = await mkdtemp(path.join(tmpdir(), `freshet-${name}-`))
  const closing: (() => Promise<void>)[] = [() => rm(dir, { recursive: true, force: true })]
  const close = async (): Promise<void> => {
    for (const one of closing.splice(0).reverse()) await one()
  }
  try {
    const runDir = path.join(dir, 'run')
    const libsDir = await fetchBroker(cacheDir)
    const broker = await startBroker({ libsDir, dataDir: path.join(dir, 'kafka'), runDir, log })
    closing.push(() => broker.stop())
    const binary = await fetchRedisServer(cacheDir)
    const dataDir = path.join(dir, 'redis')
    const redis = await startRedis({ binary, dataDir, runDir, persist: false, log })
    closing.push(() => redis.stop())
    return { dir, broker, redis, close }
  } catch (error) {
    await close()
    throw error
  }
}
