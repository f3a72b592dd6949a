import { randomUUID } from 'node:crypto'
import fs from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, inject, vi } from 'vitest'
import { configSchema } from '../../src/config/schema.ts'
import type { Config } from '../../src/config/schema.ts'
import { FreshetError } from '../../src/errors.ts'
import { createMetrics } from '../../src/metrics/metrics.ts'
import type { Metrics } from '../../src/metrics/metrics.ts'
import type { ModelSpec } from '../../src/model/spec.ts'
import {
  decodeReport,
  encodeControlDocument,
  encodeExample,
  encodeExampleHeartbeat,
  encodeItem,
} from '../../src/records/codec.ts'
import { partitionOf } from '../../src/records/partition.ts'
import { topicNames } from '../../src/records/topics.ts'
import type { TopicNames } from '../../src/records/topics.ts'
import { noFeatures } from '../../src/records/types.ts'
import type { ControlDocument, Report } from '../../src/records/types.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import {
  bootstrapGeneration,
  loadGeneration,
  writeGeneration,
} from '../../src/runtime/generation/generation.ts'
import { createKafkaClient } from '../../src/runtime/kafka/client.ts'
import { topicDefinitions } from '../../src/runtime/kafka/topics.ts'
import { learnerDir, learnerOptions, replayCutLog } from '../../src/runtime/learner-state.ts'
import { OverrideLedger } from '../../src/runtime/learner-ledger.ts'
import { LearnerOwner } from '../../src/runtime/learner-owner.ts'
import { LearnerSession } from '../../src/runtime/learner-session.ts'
import { Turns } from '../../src/runtime/learner-turns.ts'
import { runLearner } from '../../src/runtime/learner.ts'
import type { LearnerDeps } from '../../src/runtime/learner.ts'
import type { KafkaClient, Logger, OnlineStore, Producer } from '../../src/runtime/ports.ts'
import { openOnlineStore } from '../../src/runtime/redis/online-store.ts'
import { firstDocument } from '../../src/streams/controller.ts'
import type { Learner } from '../../src/streams/learner.ts'
import { silentLog, temporaryDir } from './own-servers.ts'
import type { OnEnd } from './own-servers.ts'
import { withItems } from './generations.ts'
import { randomFrom } from './vectors.ts'

const model: ModelSpec = {
  dim: 8,
  outputDim: 8,
  temperature: 0.2,
  user: { features: [], hidden: [8] },
  item: {
    features: [{ kind: 'categorical', name: 'genre', buckets: 16, dim: 4 }],
    hidden: [8],
  },
}

export const generation = 'g1'
const partitions = 3

export interface LearnerRig {
  readonly config: Config
  readonly topics: TopicNames
  readonly kafka: KafkaClient
  readonly store: OnlineStore
  readonly producer: Producer
  readonly stateDir: string
  readonly partitions: number
  /** Messages logged as warnings or errors, of all learners. */
  readonly complaints: string[]
  /** What a learner is made of, to be changed for one test. */
  depsOf(changes?: Partial<LearnerDeps>): LearnerDeps & { readonly metrics: Metrics }
  start(changes?: Partial<LearnerDeps>): RunningLearner
  /** One lineage alone, opened and not running. */
  open(changes?: Partial<LearnerDeps>, options?: OpenOptions): Promise<LearnerSession>
  items(count: number): Promise<void>
  /** Sends so many examples; returns their users. */
  examples(count: number): Promise<ReadonlySet<string>>
  /** Says in every partition that event time has come to here. */
  heartbeat(eventTimeMs: number): Promise<void>
  /** Makes a generation of a full update, with rows of these users; its online training begins at the end of the topic as of now. */
  fullGeneration(id: string, day: string, userIds: readonly string[]): Promise<number[]>
  /** Publishes the next control document. */
  control(changes: Partial<ControlDocument>): Promise<void>
  /** Every report of learners of this kind, in order. */
  reports(kind: string): Promise<Report[]>
  /** The tables computed again from the log of cuts; `dir`: another state folder. */
  replayed(dir?: string, id?: string): Promise<Learner>
}

export interface OpenOptions {
  /** By default the first. */
  readonly generation?: string
  /** Another learner has taken over. */
  readonly onLost?: (error: unknown) => void
}

export interface RunningLearner {
  readonly metrics: Metrics
  /** Ends it cleanly, checkpoint included. */
  stop(): Promise<void>
  /** From now on nothing of it reaches Kafka or Redis, as if it had been killed. @returns what it leaves on its disk */
  crash(): Promise<string>
}

/** What the tables are a function of the cuts in: everything but what was published. */
export function tablesOf(learner: Learner): unknown {
  const { users, items, positions, streamTimeMs, counters } = learner.snapshot()
  const { table, admission, sampler, firstClickMs, bits, features } = items
  const withoutDirty = (entries: typeof table) => ({ ...entries, dirty: null })
  return {
    users: { ...users, table: withoutDirty(users.table) },
    items: { table: withoutDirty(table), admission, sampler, firstClickMs, bits, features },
    ...{ positions, streamTimeMs, counters },
  }
}

/** Topics of its own on the shared broker, a bootstrap generation that is live, and learners on it. */
export async function learnerRig(
  onEnd: OnEnd,
  options: {
    readonly redisUrl?: string
    readonly learner?: Partial<Config['learner']>
    readonly rollbackWindowMs?: number
  } = {},
): Promise<LearnerRig> {
  const topicPrefix = `learner-${randomUUID().slice(0, 8)}`
  const stateDir = await temporaryDir(onEnd)
  const artifacts = openDirectoryStore(await temporaryDir(onEnd))
  const config = configSchema.parse({
    stateDir,
    kafka: { brokers: inject('kafkaBrokers'), topicPrefix, partitions },
    redis: { url: options.redisUrl ?? inject('redisUrl'), keyPrefix: `${topicPrefix}:` },
    generations: { rollbackWindowMs: options.rollbackWindowMs ?? 3_600_000 },
    learner: { batchMax: 32, negatives: 16, syncMs: 50, ...options.learner },
  })
  const topics = topicNames(topicPrefix)
  const kafka = createKafkaClient({ config: config.kafka, log: silentLog })
  onEnd(() => kafka.close())
  await kafka.createTopics(topicDefinitions(config))
  const store = openOnlineStore(config.redis, silentLog)
  onEnd(() => store.close())
  const producer = await kafka.producer()
  await writeGeneration(artifacts, bootstrapGeneration(generation, model, 3, 1_700_000_000_000))
  let document = firstDocument(generation, 0)
  const control = async (changes: Partial<ControlDocument>): Promise<void> => {
    document = { ...document, ...changes, epoch: document.epoch + 1 }
    const value = encodeControlDocument(document)
    await producer.send([{ topic: topics.control, key: 'control', value, timestampMs: Date.now() }])
  }
  await control({})

  const complaints: string[] = []
  const complain = (_: object, message: string): void => void complaints.push(message)
  const log: Logger = { ...silentLog, warn: complain, error: complain, child: () => log }
  const depsOf = (changes: Partial<LearnerDeps> = {}) => ({
    ...{ kafka, store, artifacts, config, topics, log },
    engine: openEngine('onnx'),
    metrics: createMetrics(),
    clock: { nowMs: () => Date.now() },
    instance: 'learner-0',
    signal: new AbortController().signal,
    ...changes,
  })
  return {
    ...{ config, topics, kafka, store, producer, stateDir, partitions, complaints, depsOf },
    start: (changes) => {
      const ending = new AbortController()
      const own = createKafkaClient({ config: config.kafka, log: silentLog })
      const mortal = mortalStore(changes?.store ?? store)
      let hasCrashed = false
      const quiet = { ...log, warn: (_: object, text: string) => hasCrashed || complain(_, text) }
      const deps = depsOf({
        ...{ kafka: own, log: quiet },
        ...changes,
        ...{ store: mortal.store, signal: ending.signal },
      })
      const running = runLearner(deps)
      running.catch((error: unknown) => hasCrashed || complaints.push(`ended: ${String(error)}`))
      const stop = async () => {
        ending.abort()
        await running
        await own.close()
      }
      onEnd(() => stop().catch(() => {}))
      const crash = async (): Promise<string> => {
        hasCrashed = true
        mortal.kill()
        // Its transactions end at once; leaving the group takes a while.
        void own.close()
        return copyOf(deps.config.stateDir, await temporaryDir(onEnd))
      }
      return { metrics: deps.metrics, stop, crash }
    },
    open: async (changes, { generation: id = generation, onLost = () => {} } = {}) => {
      const deps = depsOf(changes)
      const owner = await LearnerOwner.open(kafka, topicPrefix, onLost)
      onEnd(() => owner.close())
      const overrides = await OverrideLedger.open(kafka, topics.overrides)
      const setup = { generation: id, cuts: {}, role: 'live' } as const
      const shared = { ...deps, owner, overrides, turns: new Turns() }
      const session = await LearnerSession.open(shared, setup, () => {})
      onEnd(() => session.stop(false))
      return session
    },
    ...inputsOf(producer, topics),
    control,
    reports: (kind) => reportsOf(kafka, topics.reports, kind),
    fullGeneration: async (id, day, userIds) => {
      const ends = (await kafka.offsets(topics.examples)).map(({ high }) => high)
      const random = randomFrom(11)
      const bootstrap = bootstrapGeneration(id, model, 5, 1_700_000_000_000)
      const items = ['long-ago', 'longer-ago']
      const vectors = Float32Array.from({ length: 2 * model.dim }, (_, i) =>
        Number(i % model.dim === 0),
      )
      const withClicked = withItems(bootstrap, items, vectors)
      await writeGeneration(artifacts, {
        ...withClicked,
        recent: {
          counts: Uint32Array.from(userIds, () => 2),
          items: Uint32Array.from({ length: 2 * userIds.length }, (_, i) => i % 2),
          timesMs: Float64Array.from({ length: 2 * userIds.length }, (_, i) => 1e12 - (i % 2)),
        },
        ...{ kind: 'full', day, userIds, cuts: { examples: ends, items: [0, 0, 0] } },
        userRows: Float32Array.from({ length: userIds.length * model.dim }, () => random() - 0.5),
        userSeenMs: Float64Array.from(userIds, () => 1_700_000_000_000),
        optimiser: {
          ...withClicked.optimiser,
          userAccumulators: new Float32Array(userIds.length),
        },
      })
      return ends
    },
    replayed: async (dir = stateDir, id = generation) => {
      const loaded = await loadGeneration(artifacts, id)
      const engine = await openEngine('onnx').open(loaded.model, loaded.dense)
      onEnd(() => engine.close())
      const setup = { generation: loaded, engine, kafka, topics, log }
      return replayCutLog(
        { ...setup, options: learnerOptions(config.learner) },
        learnerDir(dir, id),
      )
    },
  }
}

function mortalStore(store: OnlineStore): { store: OnlineStore; kill(): void } {
  let isDead = false
  const gone = () => Promise.reject(new FreshetError('REDIS_UNAVAILABLE', 'gone'))
  const get = (_: OnlineStore, name: keyof OnlineStore) =>
    isDead ? gone : (store[name] as () => unknown).bind(store)
  return { store: new Proxy(store, { get: get as () => unknown }), kill: () => (isDead = true) }
}

/** Files may come and go meanwhile. */
export async function copyOf(from: string, to: string): Promise<string> {
  for (let attempts = 0; ; attempts++) {
    try {
      await fs.rm(to, { recursive: true, force: true })
      await fs.cp(from, to, { recursive: true })
      return to
    } catch (error) {
      if (attempts >= 50) throw error
      await sleep(10)
    }
  }
}

/** Until the learner has heard that this generation is live: who scores what comes then is no longer chance. */
export async function untilLive(rig: LearnerRig, generation: string): Promise<void> {
  await vi.waitFor(
    async () => expect((await rig.reports('learned')).at(-1)?.generation).toBe(generation),
    { timeout: 20_000, interval: 25 },
  )
}

async function reportsOf(kafka: KafkaClient, topic: string, wanted: string): Promise<Report[]> {
  const found: Report[] = []
  const [range] = await kafka.offsets(topic)
  await kafka.readRange({ topic, partition: 0 }, range!.low, range!.high, ({ records }) => {
    for (const { value } of records) {
      const report = decodeReport(value!)
      if (report.role === 'learner' && report.kind === wanted) found.push(report)
    }
  })
  return found
}

function inputsOf(
  producer: Producer,
  topics: TopicNames,
): Pick<LearnerRig, 'items' | 'examples' | 'heartbeat'> {
  const random = randomFrom(7)
  let sent = 0
  return {
    items: (count) =>
      producer.send(
        Array.from({ length: count }, (_, i) => {
          const features = { ...noFeatures, categorical: new Map([['genre', [`genre${i % 5}`]]]) }
          const item = { itemId: `i${i}`, title: `Item ${i}`, createdAtMs: 1_000, features }
          const value = encodeItem(item)
          return { topic: topics.items, key: item.itemId, value, timestampMs: Date.now() }
        }),
      ),
    heartbeat: (eventTimeMs) =>
      producer.send(
        Array.from({ length: partitions }, (_, partition) => {
          const value = encodeExampleHeartbeat(eventTimeMs)
          return { topic: topics.examples, key: null, value, partition, timestampMs: Date.now() }
        }),
      ),
    examples: async (count) => {
      const users = new Set<string>()
      const records = Array.from({ length: count }, () => {
        const userId = `u${Math.floor(random() * 40)}`
        users.add(userId)
        const eventTimeMs = 1_700_000_000_000 + sent++ * 1_000
        const value = encodeExample({
          ...{ kind: 'example', requestId: `r${sent}`, userId, eventTimeMs },
          itemId: `i${Math.floor(random() ** 2 * 60)}`,
          ...{ impressionTimeMs: eventTimeMs - 500, position: 0, weight: 1, scenario: 'home' },
          ...{ hardNegatives: [], features: noFeatures },
        })
        const partition = partitionOf(userId, partitions)
        return { topic: topics.examples, key: userId, value, partition, timestampMs: Date.now() }
      })
      await producer.send(records)
      return users
    },
  }
}
