import { Cluster } from 'ioredis'
import type { Redis } from 'ioredis'
import { messageOf } from '../../errors.ts'
import { connect, onFailure } from './connection.ts'
import type { RedisConfig } from './connection.ts'

export interface RedisNode {
  /** host:port */
  readonly address: string
  /** The fields of INFO. */
  readonly info: Readonly<Record<string, string>>
  /** Time there minus time here, in the middle of the question. */
  readonly clockAheadMs: number
}

export interface RedisFacts {
  readonly nodes: readonly RedisNode[]
  /** Of a cluster; null: it is none. */
  readonly clusterState: string | null
  /** Round trips, sorted, ms. */
  readonly pingMs: readonly number[]
  /** Why scripts are refused; null: they run. */
  readonly scriptProblem: string | null
  /** Generation -> its keys. */
  readonly keys: ReadonlyMap<string, number>
  /** False: there are more than were looked at. */
  readonly hasAllKeys: boolean
}

const pings = 7
const keysPerScan = 1_000
const scanMs = 5_000

/**
 * Looks at Redis, and changes nothing there.
 * @throws what the client says where it cannot be reached
 */
export async function examineRedis(config: RedisConfig, signal: AbortSignal): Promise<RedisFacts> {
  const commandTimeoutMs = Math.max(config.commandTimeoutMs, 500)
  const connection = connect({ ...config, commandTimeoutMs }, true)
  // The last failure says more than the command that gives up after it.
  let failure: unknown = null
  onFailure(connection, (error) => (failure = error))
  signal.addEventListener('abort', () => connection.disconnect(), { once: true })
  try {
    await connection.connect()
    const isCluster = connection instanceof Cluster
    const nodes = isCluster ? connection.nodes('master') : [connection]
    const pingMs = await pingsOf(connection)
    const scriptProblem = await scriptProblemOf(connection, `${config.keyPrefix}{doctor}`)
    const scanned = await scan(nodes, config.keyPrefix, signal)
    return {
      ...{ pingMs, scriptProblem, ...scanned },
      nodes: await Promise.all(nodes.map(describeNode)),
      clusterState: isCluster ? await clusterStateOf(nodes) : null,
    }
  } catch (error) {
    throw (config.cluster ? await firstNodeFailure(config) : null) ?? failure ?? error
  } finally {
    connection.disconnect()
  }
}

/** A cluster keeps to itself what becomes of its sockets, so one node is asked alone. Null: it answers. */
async function firstNodeFailure(config: RedisConfig): Promise<unknown> {
  const node = connect({ ...config, url: config.url.split(',')[0]!, cluster: false })
  let failure: unknown = null
  onFailure(node, (error) => (failure ??= error))
  await node.connect().catch((error: unknown) => (failure ??= error))
  node.disconnect()
  return failure
}

async function describeNode(node: Redis): Promise<RedisNode> {
  const info = fieldsOf(await node.info())
  const beforeMs = Date.now()
  const [seconds, micros] = await node.time()
  const hereMs = (beforeMs + Date.now()) / 2
  const { host, port } = node.options
  return {
    ...{ address: `${host}:${port}`, info },
    clockAheadMs: Number(seconds) * 1_000 + Number(micros) / 1_000 - hereMs,
  }
}

async function pingsOf(connection: Redis | Cluster): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < pings; i++) {
    const startedMs = performance.now()
    await connection.ping()
    times.push(performance.now() - startedMs)
  }
  return times.sort((a, b) => a - b)
}

/** Generations by the hash tags of the keys under our prefix. */
async function scan(
  nodes: readonly Redis[],
  keyPrefix: string,
  signal: AbortSignal,
): Promise<Pick<RedisFacts, 'keys' | 'hasAllKeys'>> {
  const keys = new Map<string, number>()
  const endsAt = performance.now() + scanMs
  for (const node of nodes) {
    let cursor = '0'
    do {
      if (signal.aborted || performance.now() > endsAt) return { keys, hasAllKeys: false }
      const [next, found] = await node.scan(cursor, 'COUNT', keysPerScan)
      for (const key of found) {
        const generation = generationOf(key, keyPrefix)
        if (generation !== null) keys.set(generation, (keys.get(generation) ?? 0) + 1)
      }
      cursor = next
    } while (cursor !== '0')
  }
  return { keys, hasAllKeys: true }
}

function generationOf(key: string, keyPrefix: string): string | null {
  if (!key.startsWith(`${keyPrefix}{`)) return null
  return /^\{([^{}]+):\d+\}:/.exec(key.slice(keyPrefix.length))?.[1] ?? null
}

/** By hash, as rows are written, and by source, as a server gets it that has forgotten the script. */
async function scriptProblemOf(connection: Redis | Cluster, key: string): Promise<string | null> {
  const byHash = await connection.evalsha('0'.repeat(40), 1, key).then(() => '', messageOf)
  if (!byHash.startsWith('NOSCRIPT')) return byHash
  return connection.eval('return 1', 1, key).then(() => null, messageOf)
}

/** `ok` where every node says so, else what the first says that does not. */
async function clusterStateOf(nodes: readonly Redis[]): Promise<string> {
  const infos = await Promise.all(nodes.map((node) => node.cluster('INFO')))
  const states = infos.map((info) => fieldsOf(String(info))['cluster_state'] ?? 'unknown')
  return states.find((state) => state !== 'ok') ?? 'ok'
}

function fieldsOf(text: string): Record<string, string> {
  const lines = text.split(/\r?\n/).filter((line) => line.includes(':'))
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  )
}
