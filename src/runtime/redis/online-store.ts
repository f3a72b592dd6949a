import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import type { Redis } from 'ioredis'
import { FreshetError, invariant, messageOf } from '../../errors.ts'
import { groupBy } from '../kafka/group-by.ts'
import type { Logger, OnlineRead, OnlineStore, OnlineWrite } from '../ports.ts'
import { connect, logConnection } from './connection.ts'
import type { RedisConfig, RedisConnection } from './connection.ts'
import { decodePosition, decodeRow, encodeOffset, encodePosition, encodeRow } from './row-value.ts'
import { claimScript, sentinelScript, writeScript } from './scripts.ts'
import type { Script } from './scripts.ts'

/** A script blocks Redis while it runs: 500 rows take about 3 ms. */
const rowsPerScriptMax = 500
const nothing = Buffer.alloc(0)
const commandsInFlightMax = 4_096
const pollMs = 100
const keysPerScan = 1_000

/**
 * The online store on Redis or Redis Cluster. Returns at once, whether or not Redis answers: every call then fails with
 * REDIS_UNAVAILABLE until it does. `onUp` hears each change.
 * @throws FreshetError CONFIG_INVALID
 */
export function openOnlineStore(
  config: RedisConfig,
  log: Logger,
  onUp: (isUp: boolean) => void = () => {},
): OnlineStore {
  if (/[{}]/.test(config.keyPrefix)) {
    throw new FreshetError(
      'CONFIG_INVALID',
      'redis.keyPrefix must not contain { or }: they would change which keys share a slot',
    )
  }
  const connection = connect(config)
  logConnection(connection, log, onUp)
  // A refused first connection is retried by the client and has been logged by then.
  connection.connect().catch(() => {})
  return new RedisOnlineStore(connection, config)
}

/** The keys of one partition of one generation. All carry the same hash tag, so they share one slot of a cluster. */
export function partitionKeys(keyPrefix: string, generation: string, partition: number) {
  invariant(!/[{}]/.test(generation), `generation id ${generation} must not contain { or }`)
  const tag = `${keyPrefix}{${generation}:${partition}}`
  return {
    user: (userId: string) => `${tag}:user:${userId}`,
    learnedThrough: `${tag}:learned-through`,
    sentinel: `${tag}:sentinel`,
    loading: `${tag}:loading`,
  }
}

class RedisOnlineStore implements OnlineStore {
  readonly #connection: RedisConnection
  readonly #config: RedisConfig
  #inFlight = 0

  constructor(connection: RedisConnection, config: RedisConfig) {
    this.#connection = connection
    this.#config = config
  }

  write(write: OnlineWrite): Promise<'written' | 'not-loaded'> {
    return this.#writeRows(write, this.#keys(write).sentinel)
  }

  async claim(
    generation: string,
    partition: number,
    runId: string,
    acknowledgedOffset: number,
  ): Promise<boolean> {
    const keys = this.#keys({ generation, partition })
    const args = [runId, encodeOffset(acknowledgedOffset)]
    return (await this.#eval(claimScript, [keys.sentinel, keys.learnedThrough], args)) === 1
  }

  async beginLoad(generation: string, partition: number, runId: string): Promise<void> {
    const keys = this.#keys({ generation, partition })
    const mark = JSON.stringify({ runId })
    await this.#run('mark a load', () => this.#connection.set(keys.loading, mark))
  }

  load(write: OnlineWrite): Promise<'written' | 'not-loaded'> {
    return this.#writeRows(write, this.#keys(write).loading)
  }

  async writeSentinel(
    generation: string,
    partition: number,
    sentinel: { readonly count: number; readonly offset: number; readonly runId: string },
  ): Promise<'written' | 'not-loaded'> {
    const keys = this.#keys({ generation, partition })
    const args = [sentinel.runId, JSON.stringify(sentinel)]
    const done = await this.#eval(sentinelScript, [keys.sentinel, keys.loading], args)
    return done === 1 ? 'written' : 'not-loaded'
  }

  async drop(generation: string, partitions: number, signal: AbortSignal): Promise<number> {
    for (let partition = 0; partition < partitions; partition++) {
      const { sentinel, loading, learnedThrough } = this.#keys({ generation, partition })
      const marks = [sentinel, loading, learnedThrough]
      await this.#run('remove a sentinel', () => this.#connection.unlink(...marks))
    }
    const nodes =
      this.#connection instanceof Cluster ? this.#connection.nodes('master') : [this.#connection]
    let dropped = 0
    for (const node of nodes) dropped += await this.#dropFrom(node, generation, signal)
    return dropped
  }

  async read(
    generation: string,
    partition: number,
    userId: string,
    deadlineMs: number,
  ): Promise<OnlineRead> {
    const keys = this.#keys({ generation, partition })
    const userKey = keys.user(userId)
    // One MGET is one point in time: a row is never judged by a sentinel of another moment.
    const command = this.#run('read a user row', () =>
      this.#connection.mgetBuffer(userKey, keys.sentinel, keys.learnedThrough),
    )
    const values = await withDeadline(command, deadlineMs)
    const [row = null, sentinel = null, learnedThrough = null] = values
    return {
      isLoaded: sentinel !== null,
      row: row === null ? null : decodeRow(row, userKey),
      learnedThrough:
        learnedThrough === null ? null : decodePosition(learnedThrough, keys.learnedThrough),
    }
  }

  async waitUntilReachable(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#run('ping', () => this.#connection.ping())
        return
      } catch {
        await sleep(pollMs, undefined, { signal }).catch(() => {})
      }
    }
    throw new FreshetError('ABORTED', 'Stopped while waiting for Redis')
  }

  async close(): Promise<void> {
    // Leaving is no outage, so nobody needs to hear of it.
    this.#connection.removeAllListeners('close')
    // disconnect, not quit: quit waits for an answer that a Redis which went away never gives.
    this.#connection.disconnect()
  }

  /** A command of a cluster is for one slot, so keys go by hash tag. */
  async #dropFrom(node: Redis, generation: string, signal: AbortSignal): Promise<number> {
    const pattern = `${escapeGlob(this.#config.keyPrefix)}{${escapeGlob(generation)}:*`
    let cursor = '0'
    let dropped = 0
    do {
      if (signal.aborted) throw new FreshetError('ABORTED', 'Stopped while removing rows')
      const [next, keys] = await this.#run('list keys', () =>
        node.scan(cursor, 'MATCH', pattern, 'COUNT', keysPerScan),
      )
      const slots = groupBy(keys, (key) => key.slice(0, key.indexOf('}')))
      for (const sameSlot of slots.values()) {
        dropped += await this.#run('remove keys', () => node.unlink(...sameSlot))
      }
      cursor = next
    } while (cursor !== '0')
    return dropped
  }

  #keys({ generation, partition }: { generation: string; partition: number }) {
    return partitionKeys(this.#config.keyPrefix, generation, partition)
  }

  /** Rows first, the position last: `learnedThrough` never promises a row that is not there yet. */
  async #writeRows(write: OnlineWrite, guard: string): Promise<'written' | 'not-loaded'> {
    const keys = this.#keys(write)
    const acknowledged = encodeOffset(write.acknowledgedOffset ?? -Infinity)
    const removed = write.removedUsers ?? []
    const count = removed.length + write.rows.length
    for (let from = 0; from <= count; from += rowsPerScriptMax) {
      const gone = removed.slice(from, from + rowsPerScriptMax)
      const rows = write.rows.slice(
        Math.max(0, from - removed.length),
        Math.max(0, from + rowsPerScriptMax - removed.length),
      )
      const names = [...gone, ...rows.map(({ userId }) => userId)].map((id) => keys.user(id))
      const values = [...gone.map(() => nothing), ...rows.map(encodeRow)]
      if (from + rowsPerScriptMax > count) {
        names.push(keys.learnedThrough)
        values.push(encodePosition(write.learnedThrough))
      }
      const written = await this.#eval(
        writeScript,
        [guard, keys.learnedThrough, ...names],
        [write.runId, acknowledged, ...values],
      )
      if (written === -1) return 'not-loaded'
    }
    return 'written'
  }

  /** By hash, and by source where Redis has forgotten the script (restart, failover, SCRIPT FLUSH). */
  async #eval(script: Script, keys: string[], args: (string | Buffer)[]): Promise<unknown> {
    return this.#run('run a script', async () => {
      try {
        return await this.#connection.evalsha(script.sha1, keys.length, ...keys, ...args)
      } catch (error) {
        if (!messageOf(error).startsWith('NOSCRIPT')) throw error
        return await this.#connection.eval(script.source, keys.length, ...keys, ...args)
      }
    })
  }

  async #run<T>(what: string, command: () => Promise<T>): Promise<T> {
    if (this.#inFlight >= commandsInFlightMax) {
      throw unavailable(what, `${this.#inFlight} commands already wait for an answer`)
    }
    this.#inFlight++
    try {
      return await command()
    } catch (cause) {
      throw unavailable(what, messageOf(cause), cause)
    } finally {
      this.#inFlight--
    }
  }
}

function escapeGlob(text: string): string {
  return text.replaceAll(/[\\*?[\]^-]/g, '\\$&')
}

async function withDeadline<T>(result: Promise<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new FreshetError('TIMEOUT', `Redis did not answer within ${deadlineMs} ms`))
    }, deadlineMs)
  })
  try {
    return await Promise.race([result, deadline])
  } finally {
    clearTimeout(timer)
  }
}

function unavailable(what: string, why: string, cause?: unknown): FreshetError {
  return new FreshetError('REDIS_UNAVAILABLE', `Redis could not ${what}: ${why}`, { cause })
}
