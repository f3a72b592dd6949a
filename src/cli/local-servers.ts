import path from 'node:path'
import { fetchBroker, startBroker } from '../runtime/local/kafka-broker.ts'
import { fetchRedisServer, startRedis } from '../runtime/local/redis-server.ts'
import type { Logger } from '../runtime/ports.ts'

export interface LocalServers {
  readonly brokers: string
  readonly redisUrl: string
  stop(): Promise<void>
}

const runDir = '.freshet/run'
const cacheDir = '.freshet/cache'

/**
 * Kafka and Redis, with what they stored in `dataDir` last time. Addresses in the environment win: what they name is
 * used as it is, and nothing is started in its place.
 */
export async function startLocalServers(
  environment: NodeJS.ProcessEnv,
  dataDir: string,
  log: Logger,
): Promise<LocalServers> {
  const stops: (() => Promise<void>)[] = []
  const stop = async (): Promise<void> => {
    for (const one of stops.splice(0).reverse()) await one()
  }
  const kafka = async (): Promise<string> => {
    const given = environment['FRESHET_KAFKA_BROKERS']
    if (given !== undefined) return given
    const libsDir = await fetchBroker(cacheDir)
    const broker = await startBroker({ libsDir, dataDir: path.join(dataDir, 'kafka'), runDir, log })
    stops.push(() => broker.stop())
    return broker.bootstrap
  }
  const redis = async (): Promise<string> => {
    const given = environment['FRESHET_REDIS_URL'] ?? environment['REDIS_URL']
    if (given !== undefined) return given
    const binary = await fetchRedisServer(cacheDir)
    const server = await startRedis({
      binary,
      dataDir: path.join(dataDir, 'redis'),
      runDir,
      persist: true,
      log,
    })
    stops.push(() => server.stop())
    return server.url
  }
  const [brokers, redisUrl] = await Promise.allSettled([kafka(), redis()])
  if (brokers.status === 'fulfilled' && redisUrl.status === 'fulfilled')
    return { brokers: brokers.value, redisUrl: redisUrl.value, stop }
  await stop()
  throw brokers.status === 'rejected' ? brokers.reason : (redisUrl as PromiseRejectedResult).reason
}
