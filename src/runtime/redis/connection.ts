import { Cluster, Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import type { Config } from '../../config/schema.ts'
import { FreshetError, messageOf } from '../../errors.ts'
import type { Logger } from '../ports.ts'
import { readTlsFiles } from '../tls-files.ts'

export type RedisConfig = Config['redis']
export type RedisConnection = Redis | Cluster

/** Replies stay in RESP2 shapes, which is what `replyMapping` unset means; its type does not allow for unset. */
type ClientOptions = Omit<RedisOptions, 'replyMapping'>

const reconnectDelayMaxMs = 1_000

/**
 * A connection that fails at once while Redis is away, instead of queueing without bound, and that reconnects for ever.
 * @param isExamined a cluster is connected to also when it has failed, and then refuses commands that have keys
 * @throws FreshetError CONFIG_INVALID for an address that is not redis:// or rediss://; FILE_MISSING, FILE_INVALID for caFile
 */
export function connect(config: RedisConfig, isExamined = false): RedisConnection {
  const addresses = config.url.split(',').map((url) => parseAddress(url.trim()))
  const first = addresses[0]!
  const options: ClientOptions = {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    // A script that was sent may have run; sending it again after a reconnect is the caller's decision.
    autoResendUnfulfilledCommands: false,
    commandTimeout: config.commandTimeoutMs,
    connectTimeout: config.commandTimeoutMs,
    // Cuts a connection whose peer vanished without a FIN: timed-out commands alone would keep it for minutes.
    socketTimeout: config.commandTimeoutMs * 2,
    connectionName: 'freshet',
    lazyConnect: true,
    ...credentials(config, first),
    ...tls(config, first.isTls),
  }
  if (!config.cluster) {
    if (addresses.length > 1) {
      throw invalid('redis.url names several servers: set redis.cluster to true, or keep one')
    }
    const db = first.db === undefined ? {} : { db: first.db }
    return new Redis({ ...options, ...db, host: first.host, port: first.port, retryStrategy })
  }
  return new Cluster(
    addresses.map(({ host, port }) => ({ host, port })),
    {
      redisOptions: options,
      enableOfflineQueue: false,
      lazyConnect: true,
      clusterRetryStrategy: retryStrategy,
      clusterNodeRetryStrategy: retryStrategy,
      enableReadyCheck: !isExamined,
      slotsRefreshTimeout: config.commandTimeoutMs,
      // Names as they are: the client would connect to their addresses, which certificates do not have.
      dnsLookup: (address, found) => found(null, address),
    },
  )
}

function retryStrategy(attempt: number): number {
  return Math.min(50 * attempt, reconnectDelayMaxMs)
}

/** Says once that Redis went away and once that it is back, however often the client retries in between. */
export function logConnection(
  connection: RedisConnection,
  log: Logger,
  onUp: (isUp: boolean) => void,
): void {
  let isUp: boolean | null = null
  const change = (next: boolean, error?: unknown): void => {
    if (isUp === next) return
    isUp = next
    onUp(next)
    if (next) log.info({}, 'Redis answers')
    else log.warn({ reason: messageOf(error) }, 'Redis is away; trying again until it answers')
  }
  connection.on('ready', () => change(true))
  onFailure(connection, (error) => change(false, error))
  connection.on('close', () => change(false, 'connection closed'))
}

/** Hears of every failure, by its reason: a cluster says of itself only that no node could be asked. */
export function onFailure(connection: RedisConnection, tell: (error: unknown) => void): void {
  connection.on('error', (error: Error & { readonly lastNodeError?: unknown }) =>
    tell(error.lastNodeError ?? error),
  )
}

interface Address {
  readonly host: string
  readonly port: number
  readonly isTls: boolean
  readonly username: string
  readonly password: string
  readonly db: number | undefined
}

function parseAddress(text: string): Address {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '') {
    throw invalid('redis.url must look like redis://host:6379 or rediss://host:6379')
  }
  const database = url.pathname.replace(/^\//, '')
  if (!/^\d*$/.test(database)) {
    throw invalid('redis.url must end in a database number or nothing, e.g. redis://host:6379/0')
  }
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    isTls: url.protocol === 'rediss:',
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    db: database === '' ? undefined : Number(database),
  }
}

function credentials(config: RedisConfig, address: Address): ClientOptions {
  const username = config.username ?? address.username
  const password = config.password ?? address.password
  return {
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
  }
}

function tls(config: RedisConfig, isTls: boolean): ClientOptions {
  return isTls ? { tls: readTlsFiles('redis', { caFile: config.caFile }) } : {}
}

function invalid(message: string): FreshetError {
  return new FreshetError('CONFIG_INVALID', message)
}
