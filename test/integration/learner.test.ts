import fs from 'node:fs/promises'
import path from 'node:path'
import { Redis } from 'ioredis'
import { expect, onTestFinished, test, vi } from 'vitest'
import { FreshetError } from '../../src/errors.ts'
import { decodeDeadLetter, decodeOverride, decodeReport } from '../../src/records/codec.ts'
import { partitionOf } from '../../src/records/partition.ts'
import type { OnlineStore } from '../../src/runtime/ports.ts'
import type { Learner } from '../../src/streams/learner.ts'
import { partitionKeys } from '../../src/runtime/redis/online-store.ts'
import { encodePosition } from '../../src/runtime/redis/row-value.ts'
import { copyOf, generation, learnerRig, tablesOf } from '../support/learner-rig.ts'
import type { LearnerRig } from '../support/learner-rig.ts'
import { ownRedis, temporaryDir } from '../support/own-servers.ts'

const within = { timeout: 20_000, interval: 50 }

/** Until every example sent so far is learnt and in Redis. */
async function untilVisible(rig: LearnerRig): Promise<void> {
  const ends = await rig.kafka.offsets(rig.topics.examples)
  await vi.waitFor(async () => {
    for (const { partition, high } of ends) {
      const read = await rig.store.read(generation, partition, 'nobody', 1_000)
      expect(read.isLoaded).toBe(true)
      expect(read.learnedThrough?.offset).toBeGreaterThanOrEqual(high)
    }
  }, within)
}

/** Every row of the learner's table is what Redis holds, to the bit. */
async function expectRowsInRedis(rig: LearnerRig, learner: Learner): Promise<void> {
  let count = 0
  for (const { userId, ...row } of learner.users.all()) {
    const partition = partitionOf(userId, rig.partitions)
    expect((await rig.store.read(generation, partition, userId, 1_000)).row).toEqual(row)
    count++
  }
  expect(count).toBeGreaterThan(0)
}

/** Item vectors as pods have them: the newest of whole sets, in the order of the log. */
async function publishedVectors(rig: LearnerRig) {
  const vectors = new Map<string, Float32Array | null>()
  const sequences: number[] = []
  const tail = await rig.kafka.tail({
    topics: [rig.topics.overrides],
    from: 'earliest',
    onBatch: ({ records }) => {
      for (const { value } of records) {
        const record = decodeOverride(value!)
        if (record.kind === 'override') vectors.set(record.itemId, record.vector)
        else sequences.push(record.sequence)
      }
    },
  })
  await tail.caughtUp
  await tail.close()
  return { vectors, sequences }
}

/** What is published differs from the table by no more than skewEpsilon. */
async function expectVectorsPublished(rig: LearnerRig, learner: Learner): Promise<void> {
  const { vectors } = await publishedVectors(rig)
  const { table, published, isRecallable } = learner.items
  const dim = table.dim
  expect(vectors.size).toBe(table.size)
  for (const [itemId, vector] of vectors) {
    const slot = table.find(itemId)
    expect(isRecallable[slot]).toBe(1)
    const now = published.subarray(slot * dim, (slot + 1) * dim)
    const cosine = now.reduce((sum, value, i) => sum + value * vector![i]!, 0)
    expect(1 - cosine).toBeLessThanOrEqual(2 * rig.config.learner.skewEpsilon + 1e-6)
  }
}

test('rows, item vectors and reports appear; tables equal a replay of the cut log to the bit, over restarts and changed options', async () => {
  const rig = await learnerRig(onTestFinished)
  await rig.items(50)
  await rig.examples(300)
  const first = rig.start()
  await untilVisible(rig)
  await rig.examples(100)
  await untilVisible(rig)
  await first.stop()

  await rig.examples(100)
  const changed = { ...rig.config, learner: { ...rig.config.learner, learningRate: 0.01 } }
  const second = rig.start({ config: changed })
  await untilVisible(rig)
  await rig.examples(50)
  await untilVisible(rig)
  await second.stop()

  const replayed = await rig.replayed()
  expect(replayed.counters.examples).toBe(550)
  // The state the second run left, through its checkpoint alone, beside all cuts replayed from the generation.
  const session = await rig.open({ config: changed })
  expect(tablesOf(session.learner)).toEqual(tablesOf(replayed))
  await expectRowsInRedis(rig, replayed)
  await session.learner.sync()
  await expectVectorsPublished(rig, session.learner)
  const { sequences } = await publishedVectors(rig)
  expect(sequences).toEqual(sequences.map((_, i) => i + 1))
  expect(rig.complaints).toEqual([])
  await expectReport(rig)
}, 60_000)

async function expectReport(rig: LearnerRig): Promise<void> {
  const reports: ReturnType<typeof decodeReport>[] = []
  const tail = await rig.kafka.tail({
    topics: [rig.topics.reports],
    from: 'earliest',
    onBatch: ({ records }) => {
      for (const { value } of records) reports.push(decodeReport(value!))
    },
  })
  await tail.caughtUp
  await tail.close()
  const learned = reports.filter(({ kind }) => kind === 'learned').at(-1)
  expect(learned).toMatchObject({ role: 'learner', generation, body: { users: 40 } })
  expect(learned!.body['learnedThrough']).toHaveLength(rig.partitions)
}

test('a crash right after Redis has the rows, before the checkpoint, leaves no row and no item vector stale', async () => {
  const rig = await learnerRig(onTestFinished, { learner: { checkpointMs: 400 } })
  await rig.items(50)
  const crash = await temporaryDir(onTestFinished)
  const crashed = crashingStore(rig.store, 6, async () => void (await copyOf(rig.stateDir, crash)))
  const first = rig.start({ store: crashed.store })
  for (let i = 0; i < 20 && !crashed.hasCrashed(); i++) {
    await rig.examples(40)
    await new Promise((resolve) => setTimeout(resolve, 150))
  }
  await vi.waitFor(() => expect(crashed.hasCrashed()).toBe(true), within)
  const ended = first.stop()

  const second = rig.start({ config: { ...rig.config, stateDir: crash } })
  await rig.examples(40)
  await untilVisible(rig)
  await second.stop()
  await ended
  const replayed = await rig.replayed(crash)
  await expectRowsInRedis(rig, replayed)
  const session = await rig.open({ config: { ...rig.config, stateDir: crash } })
  expect(tablesOf(session.learner)).toEqual(tablesOf(replayed))
  await session.learner.sync()
  await expectVectorsPublished(rig, session.learner)
}, 60_000)

/** After the n-th acknowledged write of rows nothing reaches Redis any more, as if the learner had died: `atCrash` sees its disk. */
function crashingStore(store: OnlineStore, writes: number, atCrash: () => Promise<void>) {
  let left = writes
  let hasCrashed = false
  const dead = () => Promise.reject(new FreshetError('REDIS_UNAVAILABLE', 'gone'))
  const wrapped: OnlineStore = {
    write: async (write) => {
      if (left <= 0) return dead()
      const result = await store.write(write)
      // Partitions are written side by side: only the one that makes it the n-th sees the crash.
      if (write.rows.length === 0 || left <= 0 || --left > 0) return result
      await atCrash()
      hasCrashed = true
      return dead()
    },
    claim: (...args) => (left <= 0 ? dead() : store.claim(...args)),
    load: (write) => (left <= 0 ? dead() : store.load(write)),
    beginLoad: (...args) => (left <= 0 ? dead() : store.beginLoad(...args)),
    writeSentinel: (...args) => (left <= 0 ? dead() : store.writeSentinel(...args)),
    drop: (...args) => store.drop(...args),
    read: (...args) => store.read(...args),
    waitUntilReachable: (signal) => store.waitUntilReachable(signal),
    close: () => Promise.resolve(),
  }
  return { store: wrapped, hasCrashed: () => hasCrashed }
}

test('a Redis that was emptied or fell back is loaded again, without new examples, and one that was away catches up', async () => {
  const redis = await ownRedis(onTestFinished)
  const rig = await learnerRig(onTestFinished, { redisUrl: redis.address })
  await rig.items(20)
  await rig.examples(200)
  const learner = rig.start()
  await untilVisible(rig)

  const raw = new Redis(redis.address)
  onTestFinished(() => raw.disconnect())
  await raw.flushall()
  expect((await rig.store.read(generation, 0, 'u1', 1_000)).isLoaded).toBe(false)
  await untilVisible(rig)
  await expectRowsInRedis(rig, await rig.replayed())
  const reloads = async () => (await learner.metrics.redisReloads.get()).values[0]!.value
  expect(await reloads()).toBe(rig.partitions)

  // As after a failover to a replica that lacks the last writes: an older state, sentinel and all.
  const partition = partitionOf('u1', rig.partitions)
  const keys = partitionKeys(rig.config.redis.keyPrefix, generation, partition)
  const old = encodePosition({ offset: 1, eventTimeMs: 0 })
  await raw.multi().del(keys.user('u1')).set(keys.learnedThrough, old).exec()
  await vi.waitFor(async () => expect(await reloads()).toBe(rig.partitions + 1), within)
  await untilVisible(rig)
  await expectRowsInRedis(rig, await rig.replayed())

  await redis.kill()
  const learnt = async () => (await learner.metrics.examples.get()).values[0]?.value ?? 0
  const before = await learnt()
  await rig.examples(200)
  await vi.waitFor(async () => expect(await learnt()).toBe(before + 200), within)
  await redis.restart()
  await untilVisible(rig)
  await learner.stop()
  await expectRowsInRedis(rig, await rig.replayed())
}, 60_000)

test('a second learner shuts the first out: of the overrides topic and of Redis', async () => {
  const rig = await learnerRig(onTestFinished)
  await rig.items(20)
  await rig.examples(30)
  const failures: unknown[] = []
  const first = await rig.open({}, { onLost: (error) => failures.push(error) })
  const running = first.run().catch(() => {})
  await untilVisible(rig)
  const users = Array.from({ length: 40 }, (_, i) => `u${i}`)
  const rowsOf = () => Promise.all(users.map((userId) => rowOf(rig, userId)))
  const before = await rowsOf()

  await rig.open()
  await rig.examples(60)
  await vi.waitFor(
    () => expect(failures).toEqual([expect.objectContaining({ code: 'PRODUCER_FENCED' })]),
    within,
  )
  await first.stop(false)
  await running
  expect(await rowsOf()).toEqual(before)
})

async function rowOf(rig: LearnerRig, userId: string) {
  const partition = partitionOf(userId, rig.partitions)
  return (await rig.store.read(generation, partition, userId, 1_000)).row
}

test('of two learners one learns; when it ends, the other goes on from its state', async () => {
  const rig = await learnerRig(onTestFinished)
  await rig.items(20)
  await rig.examples(100)
  const one = rig.start()
  await untilVisible(rig)
  const other = rig.start()
  await rig.examples(100)
  await untilVisible(rig)
  await one.stop()
  await rig.examples(100)
  await untilVisible(rig)
  await other.stop()
  const replayed = await rig.replayed()
  expect(replayed.counters.examples).toBe(300)
  await expectRowsInRedis(rig, replayed)
}, 60_000)

test('a torn cut log and a damaged checkpoint cost time, not truth', async () => {
  const rig = await learnerRig(onTestFinished, { learner: { checkpointMs: 100 } })
  await rig.items(20)
  const learner = rig.start()
  for (let i = 0; i < 4; i++) {
    await rig.examples(60)
    await untilVisible(rig)
    await new Promise((resolve) => setTimeout(resolve, 150))
  }
  await learner.stop()
  const dir = path.join(rig.stateDir, 'learner', generation)
  const newest = (await fs.readdir(path.join(dir, 'checkpoints'))).sort().at(-1)!
  await fs.truncate(path.join(dir, 'checkpoints', newest, 'state.safetensors'), 100)
  const cutLogs = (await fs.readdir(dir)).filter((name) => name.startsWith('cuts-')).sort()
  await fs.appendFile(path.join(dir, cutLogs.at(-1)!), Buffer.from([30, 0, 0, 0, 1, 2]))

  const again = rig.start()
  await rig.examples(60)
  await untilVisible(rig)
  await again.stop()
  expect(rig.complaints).toEqual([
    expect.stringContaining('torn frame'),
    expect.stringContaining('a checkpoint cannot be used'),
  ])
  const replayed = await rig.replayed()
  expect(replayed.counters.examples).toBe(300)
  await expectRowsInRedis(rig, replayed)
}, 60_000)

test('a record that is no example becomes a dead letter, once, and learning goes on', async () => {
  const rig = await learnerRig(onTestFinished)
  await rig.items(20)
  const learner = rig.start()
  const original = Buffer.from('{"not":"an example"}')
  await rig.producer.send([
    { topic: rig.topics.examples, key: 'u1', value: original, partition: 1, timestampMs: 5 },
  ])
  await rig.examples(50)
  await untilVisible(rig)
  await learner.stop()
  const letters: ReturnType<typeof decodeDeadLetter>[] = []
  const [range] = await rig.kafka.offsets(rig.topics.deadLetters)
  await rig.kafka.readRange(
    { topic: rig.topics.deadLetters, partition: 0 },
    0,
    range!.high,
    ({ records }) => void letters.push(...records.map(({ value }) => decodeDeadLetter(value!))),
  )
  expect(letters).toEqual([
    expect.objectContaining({ role: 'learner', partition: 1, offset: 0, original }),
  ])
  expect((await rig.replayed()).counters.examples).toBe(50)
})
