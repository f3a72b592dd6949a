import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, inject, onTestFinished, test, vi } from 'vitest'
import { configSchema } from '../../src/config/schema.ts'
import { fetchRedisServer } from '../../src/runtime/local/redis-server.ts'
import type { OnlineStore, OnlineWrite } from '../../src/runtime/ports.ts'
import type { RedisConfig } from '../../src/runtime/redis/connection.ts'
import { openOnlineStore, partitionKeys } from '../../src/runtime/redis/online-store.ts'
import { cacheDir, ownRedis, silentLog, temporaryDir } from '../support/own-servers.ts'

type Row = OnlineWrite['rows'][number]

async function open(url: string, settings: Partial<RedisConfig> = {}): Promise<OnlineStore> {
  const config = configSchema.parse({ redis: { url, ...settings } }).redis
  const store = openOnlineStore(config, silentLog)
  onTestFinished(() => store.close())
  await store.waitUntilReachable(AbortSignal.timeout(10_000))
  return store
}

function rawClient(url: string): Redis {
  const client = new Redis(url)
  onTestFinished(() => client.disconnect())
  return client
}

const dim = 4
const row = (userId: string, offset: number, value = offset): Row => ({
  userId,
  offset,
  eventTimeMs: offset * 1_000,
  row: new Float32Array(dim).fill(value),
  recentItems: [`item-${offset}`, 'ä-ü'],
})

function writeOf(generation: string, rows: Row[], through = 0): OnlineWrite {
  const learnedThrough = { offset: through, eventTimeMs: through * 1_000 }
  return { generation, partition: 2, runId: 'run', rows, learnedThrough }
}

async function load(store: OnlineStore, generation: string, rows: Row[] = []): Promise<void> {
  await store.beginLoad(generation, 2, 'run')
  await store.load(writeOf(generation, rows))
  const sentinel = { count: rows.length, offset: 0, runId: 'run' }
  expect(await store.writeSentinel(generation, 2, sentinel)).toBe('written')
}

const newGeneration = (): string => `g-${randomUUID()}`

test('a row comes back as it was written, with the sentinel and the position of its partition', async () => {
  const store = await open(inject('redisUrl'))
  const generation = newGeneration()
  await load(store, generation)
  expect(await store.write(writeOf(generation, [row('u', 7)], 9))).toBe('written')
  const { userId, ...expected } = row('u', 7)
  expect(await store.read(generation, 2, userId, 1_000)).toEqual({
    isLoaded: true,
    row: expected,
    learnedThrough: { offset: 9, eventTimeMs: 9_000 },
  })
  expect((await store.read(generation, 2, 'nobody', 1_000)).row).toBeNull()
})

test('an older row or position is refused, an equal one replaces, a newer one replaces', async () => {
  const store = await open(inject('redisUrl'))
  const generation = newGeneration()
  await load(store, generation)
  const valueAfter = async (offset: number, value: number): Promise<number | undefined> => {
    await store.write(writeOf(generation, [row('u', offset, value)], offset))
    return (await store.read(generation, 2, 'u', 1_000)).row?.row[0]
  }
  expect(await valueAfter(10, 1)).toBe(1)
  expect(await valueAfter(9, 2)).toBe(1)
  expect(await valueAfter(10, 3)).toBe(3)
  // The bytes of 257 as a double sort after those of 512: compared as numbers, not as text.
  expect(await valueAfter(257, 4)).toBe(4)
  expect(await valueAfter(512, 5)).toBe(5)
  expect(await valueAfter(257, 6)).toBe(5)
  expect(await valueAfter(4_294_967_306, 7)).toBe(7)
  const { learnedThrough } = await store.read(generation, 2, 'u', 1_000)
  expect(learnedThrough?.offset).toBe(4_294_967_306)
})

test('without a sentinel nothing is written, and a read says that it is not loaded', async () => {
  const store = await open(inject('redisUrl'))
  const generation = newGeneration()
  expect(await store.write(writeOf(generation, [row('u', 1)]))).toBe('not-loaded')
  expect(await store.read(generation, 2, 'u', 1_000)).toEqual({
    isLoaded: false,
    row: null,
    learnedThrough: null,
  })
  expect(await store.claim(generation, 2, 'run', -Infinity)).toBe(false)
  await load(store, generation, [row('u', 1)])
  expect((await store.read(generation, 2, 'u', 1_000)).isLoaded).toBe(true)
})

test('only the run that loaded or claimed a partition last can write to it', async () => {
  const store = await open(inject('redisUrl'))
  const generation = newGeneration()
  await load(store, generation)
  const write = (runId: string) => store.write({ ...writeOf(generation, [row('u', 1)]), runId })
  expect(await write('next')).toBe('not-loaded')
  expect(await store.claim(generation, 2, 'next', -Infinity)).toBe(true)
  expect([await write('next'), await write('run')]).toEqual(['written', 'not-loaded'])
})

test('a store that has lost acknowledged writes takes no more, and cannot be claimed', async () => {
  const store = await open(inject('redisUrl'))
  const generation = newGeneration()
  await load(store, generation)
  await store.write(writeOf(generation, [], 40))
  const write = (acknowledgedOffset: number) =>
    store.write({ ...writeOf(generation, [row('u', 50)], 50), acknowledgedOffset })
  expect(await write(41)).toBe('not-loaded')
  expect(await store.claim(generation, 2, 'run', 41)).toBe(false)
  expect(await store.claim(generation, 2, 'run', 40)).toBe(true)
  // A write that was applied but never answered is sent again: the store then holds more.
  expect([await write(40), await write(40)]).toEqual(['written', 'written'])
})

test('rows of users who are gone are removed with the write that says so, by their run alone', async () => {
  const store = await open(inject('redisUrl'))
  const generation = newGeneration()
  const names = Array.from({ length: 700 }, (_, i) => `u${i}`)
  await load(
    store,
    generation,
    names.map((name) => row(name, 1)),
  )
  const rowsOf = async (): Promise<number> => {
    const reads = names.map((name) => store.read(generation, 2, name, 5_000))
    return (await Promise.all(reads)).filter((read) => read.row !== null).length
  }
  const removal = { ...writeOf(generation, [row('u699', 2)], 2), removedUsers: names.slice(0, 650) }
  expect(await store.write({ ...removal, runId: 'other' })).toBe('not-loaded')
  expect(await rowsOf()).toBe(700)
  expect(await store.write(removal)).toBe('written')
  expect(await rowsOf()).toBe(50)
  const { row: last, learnedThrough } = await store.read(generation, 2, 'u699', 1_000)
  expect([last?.offset, learnedThrough?.offset]).toEqual([2, 2])
})

test('dropping a generation removes its keys and no other, and nobody writes to it after that', async () => {
  const store = await open(inject('redisUrl'), { keyPrefix: 'a[b]*:' })
  const generation = newGeneration()
  // Names that a careless pattern would take along.
  const others = [`${generation}0`, `x${generation}`, generation.replace('-', 'x')]
  for (const id of [generation, ...others]) {
    const rows = Array.from({ length: 30 }, (_, i) => row(strangeIds[i] ?? `u${i}`, 1))
    await load(store, id, rows)
  }
  const foreign = await open(inject('redisUrl'), { keyPrefix: 'ab:' })
  await load(foreign, generation, [row('u', 1)])

  expect(await store.drop(generation, 3, AbortSignal.timeout(10_000))).toBe(30)
  expect(await store.read(generation, 2, 'u20', 1_000)).toEqual({
    ...{ isLoaded: false, row: null, learnedThrough: null },
  })
  for (const id of others) expect((await store.read(id, 2, 'u20', 1_000)).row).not.toBeNull()
  expect((await foreign.read(generation, 2, 'u', 1_000)).row).not.toBeNull()
  expect(await store.write(writeOf(generation, [row('u', 1)]))).toBe('not-loaded')
  await expect(store.drop(others[0]!, 3, AbortSignal.abort())).rejects.toMatchObject({
    code: 'ABORTED',
  })
})

test('a batch larger than one script is written whole, its position last', async () => {
  const store = await open(inject('redisUrl'))
  const generation = newGeneration()
  await load(store, generation)
  for (const count of [500, 1_203]) {
    const rows = Array.from({ length: count }, (_, i) => row(`u${i}`, count))
    expect(await store.write(writeOf(generation, rows, count))).toBe('written')
    const last = await store.read(generation, 2, `u${count - 1}`, 1_000)
    expect([last.row?.offset, last.learnedThrough?.offset]).toEqual([count, count])
  }
})

test('Redis emptied between two writes refuses the second; emptied during a load, it does not declare the load whole', async () => {
  const redis = await ownRedis(onTestFinished)
  const store = await open(redis.address)
  const raw = rawClient(redis.address)
  await load(store, 'g', [row('u', 1)])
  await raw.flushall()
  expect(await store.write(writeOf('g', [row('v', 2)]))).toBe('not-loaded')
  expect(await store.claim('g', 2, 'run', -Infinity)).toBe(false)

  await store.beginLoad('g', 2, 'run')
  expect(await store.load(writeOf('g', [row('u', 1)]))).toBe('written')
  await raw.flushall()
  expect(await store.load(writeOf('g', [row('v', 2)]))).toBe('not-loaded')
  const sentinel = { count: 2, offset: 0, runId: 'run' }
  expect(await store.writeSentinel('g', 2, sentinel)).toBe('not-loaded')
  expect((await store.read('g', 2, 'v', 1_000)).isLoaded).toBe(false)
})

test('a load that another run has taken over cannot be closed by the first', async () => {
  const store = await open(inject('redisUrl'))
  const generation = newGeneration()
  await store.beginLoad(generation, 2, 'first')
  await store.beginLoad(generation, 2, 'second')
  const close = (runId: string) =>
    store.writeSentinel(generation, 2, { count: 0, offset: 0, runId })
  expect(await close('first')).toBe('not-loaded')
  expect(await close('second')).toBe('written')
})

test('a script that Redis has forgotten is sent again', async () => {
  const redis = await ownRedis(onTestFinished)
  const store = await open(redis.address)
  await load(store, 'g')
  await rawClient(redis.address).script('FLUSH')
  expect(await store.write(writeOf('g', [row('u', 1)]))).toBe('written')
})

test('while Redis is gone every call fails at once; after its restart they work again', async () => {
  const redis = await ownRedis(onTestFinished)
  const store = await open(redis.address)
  await load(store, 'g', [row('u', 1)])
  await redis.kill()
  const started = performance.now()
  await vi.waitFor(
    () =>
      expect(store.read('g', 2, 'u', 1_000)).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' }),
    { timeout: 5_000 },
  )
  await expect(store.write(writeOf('g', []))).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  expect(performance.now() - started).toBeLessThan(2_000)
  await redis.restart()
  await store.waitUntilReachable(AbortSignal.timeout(10_000))
  // Not persisted: it came back empty, and says so.
  expect((await store.read('g', 2, 'u', 1_000)).isLoaded).toBe(false)
})

test('a Redis that stands still costs a read its deadline and no more, and a write its time limit', async () => {
  const redis = await ownRedis(onTestFinished)
  const store = await open(redis.address, { commandTimeoutMs: 3_000 })
  await load(store, 'g', [row('u', 1)])
  process.kill(redis.pid(), 'SIGSTOP')
  try {
    const started = performance.now()
    await expect(store.read('g', 2, 'u', 50)).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(performance.now() - started).toBeLessThan(2_500)
    const write = store.write(writeOf('g', [row('u', 2)], 2))
    await expect(write).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  } finally {
    process.kill(redis.pid(), 'SIGCONT')
  }
  await store.waitUntilReachable(AbortSignal.timeout(10_000))
  expect((await store.read('g', 2, 'u', 1_000)).isLoaded).toBe(true)
})

const strangeIds = ['', 'a:b', '{x}', '}{', '{other:1}:user:u', '名前 😀', 'line\nbreak', '\u0000']

test('strange user ids keep their bytes and never leave the slot of their partition', async () => {
  const url = inject('redisUrl')
  const store = await open(url)
  const generation = newGeneration()
  await load(store, generation)
  await store.write(
    writeOf(
      generation,
      strangeIds.map((id, i) => row(id, i + 1)),
    ),
  )
  for (const [i, id] of strangeIds.entries()) {
    expect((await store.read(generation, 2, id, 1_000)).row?.offset).toBe(i + 1)
  }
})

test('on a cluster every key of a partition lies in one slot, and reads and writes work', async () => {
  const { url, raw } = await ownClusterNode()
  const keys = partitionKeys('team:', 'g', 2)
  const names = [keys.sentinel, keys.loading, keys.learnedThrough, ...strangeIds.map(keys.user)]
  const slots = await Promise.all(names.map((name) => raw.cluster('KEYSLOT', name)))
  expect(new Set(slots)).toEqual(new Set([await raw.cluster('KEYSLOT', 'g:2')]))

  const store = await open(url, { cluster: true, keyPrefix: 'team:' })
  await load(store, 'g')
  expect(
    await store.write(
      writeOf(
        'g',
        strangeIds.map((id, i) => row(id, i + 1)),
      ),
    ),
  ).toBe('written')
  expect((await store.read('g', 2, '}{', 1_000)).row?.offset).toBe(4)
  await raw.script('FLUSH')
  expect(await store.write(writeOf('g', [row('}{', 20)]))).toBe('written')

  const other = { generation: 'g', partition: 1, runId: 'run' }
  await store.beginLoad('g', 1, 'run')
  const learnedThrough = { offset: 0, eventTimeMs: 0 }
  await store.load({ ...other, rows: [row('u', 1)], learnedThrough })
  expect(await store.drop('g', 3, AbortSignal.timeout(10_000))).toBe(strangeIds.length + 1)
  expect(await raw.dbsize()).toBe(0)
})

/** A one-node cluster that owns all slots. */
async function ownClusterNode(): Promise<{ url: string; raw: Redis }> {
  const dir = await temporaryDir(onTestFinished)
  const binary = await fetchRedisServer(cacheDir)
  const port = await freePort()
  const persistence = ['--save', '', '--appendonly', 'no', '--dir', dir]
  const network = [
    '--cluster-announce-ip',
    '127.0.0.1',
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--cluster-enabled',
    'yes',
  ]
  const server = spawn(binary, [...network, ...persistence], { stdio: 'ignore' })
  onTestFinished(() => void server.kill('SIGKILL'))
  const url = `redis://127.0.0.1:${port}`
  const raw = rawClient(url)
  await raw.cluster('ADDSLOTS', ...Array.from({ length: 16_384 }, (_, slot) => slot))
  await vi.waitFor(async () => expect(await raw.cluster('INFO')).toContain('cluster_state:ok'), {
    timeout: 10_000,
  })
  return { url, raw }
}

/** Low enough that the cluster bus, ten thousand ports above, has a number, and free as well. */
async function freePort(): Promise<number> {
  for (let port = 20_000 + (process.pid % 10_000); ; port++) {
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = net.createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}

test('the rights that the documentation names are enough, and a wrong password is an error', async () => {
  const redis = await ownRedis(onTestFinished)
  const raw = rawClient(redis.address)
  const connecting = ['+hello', '+auth', '+client|setname', '+client|setinfo', '+ping', '+info']
  const learner = ['+get', '+set', '+getrange', '+del', '+scan', '+unlink', '+eval', '+evalsha']
  const user = ['on', '>s:cr/t', '~team:*', '-@all', ...connecting]
  await raw.call('ACL', 'SETUSER', 'fresh', ...user, ...learner)
  await raw.call('ACL', 'SETUSER', 'pod', ...user, '+mget')
  const port = new URL(redis.address).port
  const as = (name: string) =>
    open(`redis://${name}:s%3Acr%2Ft@127.0.0.1:${port}/0`, { keyPrefix: 'team:' })
  const store = await as('fresh')
  await load(store, 'g', [row('u', 1)])
  expect(await store.write(writeOf('g', [row('u', 2)]))).toBe('written')
  expect(await store.claim('g', 2, 'run', -Infinity)).toBe(true)
  await load(store, 'old', [row('u', 1)])
  expect(await store.drop('old', 3, AbortSignal.timeout(10_000))).toBe(1)
  const pod = await as('pod')
  expect((await pod.read('g', 2, 'u', 1_000)).row?.offset).toBe(2)
  await expect(pod.claim('g', 2, 'run', 0)).rejects.toThrow('no permissions')
  const config = configSchema.parse({ redis: { url: `redis://fresh:wrong@127.0.0.1:${port}` } })
  const refused = openOnlineStore(config.redis, silentLog)
  onTestFinished(() => refused.close())
  await sleep(200)
  await expect(refused.claim('g', 2, 'run', 0)).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
})

test('addresses, files and prefixes that cannot work are refused with what to write instead', async () => {
  const dir = await temporaryDir(onTestFinished)
  await fs.writeFile(path.join(dir, 'x'), '')
  const messageOf = (redis: Partial<RedisConfig>): string => {
    try {
      void openOnlineStore(configSchema.parse({ redis }).redis, silentLog).close()
      return ''
    } catch (error) {
      return String(error)
    }
  }
  expect(messageOf({ url: 'http://h:1' })).toContain('redis://host:6379')
  expect(messageOf({ url: 'redis://h/x' })).toContain('database number')
  expect(messageOf({ url: 'redis://a,redis://b' })).toContain('redis.cluster')
  expect(messageOf({ url: 'rediss://h', caFile: path.join(dir, 'none') })).toContain('caFile')
  expect(messageOf({ keyPrefix: '{a}' })).toContain('keyPrefix')
})
