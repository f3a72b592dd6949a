import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { inject } from 'vitest'
import { configSchema } from '../../src/config/schema.ts'
import type { Config } from '../../src/config/schema.ts'
import { createMetrics } from '../../src/metrics/metrics.ts'
import type { Metrics } from '../../src/metrics/metrics.ts'
import type { ModelSpec } from '../../src/model/spec.ts'
import {
  decodeControlDocument,
  decodeDeadLetter,
  decodeReport,
  encodeControlDocument,
  encodeItem,
  encodeOverride,
} from '../../src/records/codec.ts'
import { partitionOf } from '../../src/records/partition.ts'
import { topicNames } from '../../src/records/topics.ts'
import type { TopicNames } from '../../src/records/topics.ts'
import { noFeatures } from '../../src/records/types.ts'
import type { ControlDocument, DeadLetter, Report } from '../../src/records/types.ts'
import { openEngine } from '../../src/runtime/engines/index.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { bootstrapGeneration, writeGeneration } from '../../src/runtime/generation/generation.ts'
import type { TrainableGeneration } from '../../src/runtime/generation/generation.ts'
import { createKafkaClient } from '../../src/runtime/kafka/client.ts'
import { topicDefinitions } from '../../src/runtime/kafka/topics.ts'
import type {
  KafkaClient,
  OnlineStore,
  Producer,
  Tail,
  TransactionalProducer,
} from '../../src/runtime/ports.ts'
import { runIndexer } from '../../src/runtime/indexer.ts'
import { RecallClient } from '../../src/runtime/recall-client.ts'
import { runRecall } from '../../src/runtime/recall.ts'
import { openOnlineStore } from '../../src/runtime/redis/online-store.ts'
import { encodeParts } from '../../src/runtime/snapshot/parts.ts'
import type { SnapshotContent } from '../../src/runtime/snapshot/parts.ts'
import { publishSnapshot } from '../../src/runtime/snapshot/publish.ts'
import type { SinkRecord } from '../../src/streams/stage.ts'
import { withItems } from './generations.ts'
import { silentLog, temporaryDir } from './own-servers.ts'
import type { OnEnd } from './own-servers.ts'
import { randomFrom, unitVector } from './vectors.ts'

export const dim = 8

export const model: ModelSpec = {
  dim,
  outputDim: dim,
  temperature: 0.2,
  user: { features: [{ kind: 'categorical', name: 'device', buckets: 16, dim: 4 }], hidden: [8] },
  item: { features: [], hidden: [8] },
}

/** A random model with `count` random items, named `<prefix>0`, `<prefix>1`, ... */
export function randomGeneration(id: string, prefix: string, count: number): TrainableGeneration {
  const random = randomFrom(id.length + count)
  const vectors = Array.from({ length: count }, () => [...unitVector(dim, random)]).flat()
  const ids = vectors.slice(0, count).map((_, i) => `${prefix}${i}`)
  const bootstrap = bootstrapGeneration(id, model, 3, 1_700_000_000_000)
  return withItems(bootstrap, ids, Float32Array.from(vectors))
}

export interface RecallRig {
  readonly config: Config
  readonly topics: TopicNames
  readonly kafka: KafkaClient
  readonly store: OnlineStore
  readonly producer: Producer
  /** Where generations and the parts of large snapshots lie. */
  readonly artifactsDir: string
  readonly metrics: Metrics
  /** What the pods logged as errors. */
  readonly errors: string[]
  readonly client: RecallClient
  /** Starts a pod; resolves with what ends it when it is ready. */
  startPod(): Promise<() => Promise<void>>
  /** Starts an indexer; resolves with what ends it when it is active. */
  startIndexer(options?: IndexerToStart): Promise<() => Promise<void>>
  /** Every report so far, oldest first. */
  reports(): Promise<Report[]>
  /** Writes a generation to the artifact store, as a full update does. */
  write(generation: TrainableGeneration): Promise<void>
  /** Sends an exact snapshot of a generation, as the indexer does; `damage` changes its records on the way. */
  publish(
    generation: SnapshotContent & { readonly id: string },
    options?: SnapshotToSend,
  ): Promise<void>
  control(document: Partial<ControlDocument>): Promise<void>
  /** Closes the load of every partition, so that an absent user is a cold one. */
  sentinels(generation: string): Promise<void>
  user(generation: string, userId: string, row: StoredRow): Promise<void>
  item(itemId: string, title: string | null, genres?: readonly string[]): Promise<void>
  /** Null withdraws. With `isWhole: false` the end record stays out. */
  overrides(set: OverrideSetToSend): Promise<void>
  deadLetters(): Promise<DeadLetter[]>
  counter(name: 'recalls' | 'recallsDropped', labels: Record<string, string>): Promise<number>
}

export interface IndexerToStart {
  readonly instance?: string
  readonly index?: Partial<Config['index']>
  readonly silentMs?: number
}

export interface SnapshotToSend {
  readonly revision?: number
  readonly overrideSequence?: number
  readonly chunkBytes?: number
  readonly inlineBytesMax?: number
  readonly damage?: (record: SinkRecord) => SinkRecord | null
}

export interface StoredRow {
  readonly row: Float32Array
  readonly offset: number
  readonly eventTimeMs?: number
  readonly recentItems?: readonly string[]
}

export interface OverrideSetToSend {
  readonly generation: string
  readonly sequence: number
  readonly vectors: Readonly<Record<string, Float32Array | null>>
  readonly isWhole?: boolean
}

/** Topics of its own on the shared broker, and everything a pod and its clients need. */
export async function recallRig(
  onEnd: OnEnd,
  options: {
    readonly brokers?: readonly string[]
    readonly redisUrl?: string
    readonly recall?: Partial<Config['recall']>
  } = {},
): Promise<RecallRig> {
  const topicPrefix = `recall-${randomUUID().slice(0, 8)}`
  const config = configSchema.parse({
    kafka: { brokers: options.brokers ?? inject('kafkaBrokers'), topicPrefix, partitions: 3 },
    redis: { url: options.redisUrl ?? inject('redisUrl'), keyPrefix: `${topicPrefix}:` },
    // Pod and test share a process: by the default deadline a test that is held up would make a reply DEGRADED.
    recall: { redisDeadlineMs: 2_000, ...options.recall },
  })
  const topics = topicNames(topicPrefix)
  const kafka = createKafkaClient({ config: config.kafka, log: silentLog })
  onEnd(() => kafka.close())
  await kafka.createTopics(topicDefinitions(config))
  const store = openOnlineStore(config.redis, silentLog)
  onEnd(() => store.close())
  const learner = await kafka.transactionalProducer(`${topicPrefix}-learner-0`)
  const indexer = await kafka.transactionalProducer(`${topicPrefix}-test-indexer`)
  const { brokers } = config.kafka
  const client = await RecallClient.connect({ brokers, topicPrefix, timeoutMs: 5_000 })
  onEnd(() => client.close())
  const parts = {
    ...{ config, topics, kafka, store, client },
    producer: await kafka.producer(),
    artifactsDir: await temporaryDir(onEnd),
    metrics: createMetrics(),
    errors: [] as string[],
  }
  return {
    ...parts,
    ...inputsOf(parts, learner),
    write: async (generation) => {
      await writeGeneration(openDirectoryStore(parts.artifactsDir), generation)
    },
    publish: (generation, options) => publish(parts, indexer, generation, options),
    startPod: () => startPod(parts, onEnd),
    startIndexer: (options) => startIndexer(parts, onEnd, options),
    reports: () => readReports(kafka, topics.reports),
    deadLetters: () => readDeadLetters(kafka, topics.deadLetters),
    counter: async (name, labels) => {
      const { values } = await parts.metrics[name].get()
      const matches = values.filter((value) =>
        Object.entries(labels).every(([label, is]) => Object(value.labels)[label] === is),
      )
      return matches.reduce((sum, { value }) => sum + value, 0)
    },
  }
}

type Parts = Pick<
  RecallRig,
  | 'config'
  | 'topics'
  | 'kafka'
  | 'store'
  | 'producer'
  | 'artifactsDir'
  | 'metrics'
  | 'errors'
  | 'client'
>

async function startPod(parts: Parts, onEnd: OnEnd): Promise<() => Promise<void>> {
  const { config, topics, kafka, store, artifactsDir, metrics, errors } = parts
  return untilReady(onEnd, (ending) =>
    runRecall({
      ...{ config, topics, kafka, store, metrics, ...ending },
      engine: openEngine('onnx'),
      artifacts: openDirectoryStore(artifactsDir),
      watchControl: (onDocument) => followControl(parts, onDocument),
      clock: { nowMs: () => Date.now() },
      log: { ...silentLog, error: (_, message) => void errors.push(message) },
      instance: 'pod-0',
    }),
  )
}

function startIndexer(
  parts: Parts,
  onEnd: OnEnd,
  { instance = 'indexer-0', index, ...options }: IndexerToStart = {},
): Promise<() => Promise<void>> {
  const { config, topics, kafka, artifactsDir, metrics, errors } = parts
  return untilReady(onEnd, (ending) =>
    runIndexer({
      ...{ topics, kafka, metrics, instance, ...ending, ...options },
      config: { ...config, index: { ...config.index, ...index } },
      artifacts: openDirectoryStore(artifactsDir),
      watchControl: (onDocument) => followControl(parts, onDocument),
      clock: { nowMs: () => Date.now() },
      log: { ...silentLog, error: (_, message) => void errors.push(message) },
    }),
  )
}

async function untilReady(
  onEnd: OnEnd,
  run: (ending: { readonly onReady: () => void; readonly signal: AbortSignal }) => Promise<void>,
): Promise<() => Promise<void>> {
  const ending = new AbortController()
  let onReady!: () => void
  const ready = new Promise<void>((resolve) => (onReady = resolve))
  const running = run({ onReady, signal: ending.signal })
  const stop = async () => {
    ending.abort()
    await running
  }
  onEnd(stop)
  await Promise.race([ready, running])
  return stop
}

/** Whatever a test sends counts, also a document with an epoch that was there before. */
async function followControl(
  { kafka, topics }: Parts,
  onDocument: (document: ControlDocument) => void,
): Promise<Tail> {
  const tail = await kafka.tail({
    topics: [topics.control],
    from: 'earliest',
    onBatch: ({ records }) => {
      const value = records.at(-1)?.value
      if (value instanceof Buffer) onDocument(decodeControlDocument(value))
    },
  })
  await tail.caughtUp
  return tail
}

async function publish(
  { topics, artifactsDir }: Parts,
  producer: TransactionalProducer,
  generation: SnapshotContent & { readonly id: string },
  options: SnapshotToSend = {},
): Promise<void> {
  const { revision = 1, overrideSequence = 0, damage = (record) => record } = options
  const { chunkBytes = 10_000, inlineBytesMax = Infinity } = options
  const facts = { generation: generation.id, revision, overrideSequence, engine: 'exact' } as const
  const items = generation.itemIds.length
  await publishSnapshot(
    {
      manifest: { ...facts, dim, items, createdAtMs: Date.now(), recall: 1 },
      parts: encodeParts(generation, null),
    },
    {
      ...{ topic: topics.snapshots, chunkBytes, inlineBytesMax },
      artifacts: openDirectoryStore(artifactsDir),
      signal: new AbortController().signal,
      transact: (records) =>
        producer.transact(records.map(damage).filter((record) => record !== null)),
      epilogue: () => [],
    },
  )
}

function inputsOf(
  { config, topics, store, producer }: Parts,
  learner: TransactionalProducer,
): Pick<RecallRig, 'control' | 'sentinels' | 'user' | 'item' | 'overrides'> {
  const { partitions } = config.kafka
  return {
    control: async (document) => {
      const empty = {
        live: null,
        candidate: null,
        previous: null,
        kept: [],
        cuts: {},
        catalogueCuts: {},
        states: {},
        liveSinceMs: 0,
      }
      const value = encodeControlDocument({ epoch: 1, ...empty, ...document })
      await producer.send([
        { topic: topics.control, key: 'control', value, timestampMs: Date.now() },
      ])
    },
    sentinels: async (generation) => {
      for (let partition = 0; partition < partitions; partition++) {
        await store.beginLoad(generation, partition, 'run')
        await store.writeSentinel(generation, partition, { count: 0, offset: 0, runId: 'run' })
      }
    },
    user: async (generation, userId, { row, offset, eventTimeMs = 0, recentItems = [] }) => {
      const partition = partitionOf(userId, partitions)
      await store.beginLoad(generation, partition, 'run')
      await store.load({
        ...{ generation, partition, runId: 'run' },
        rows: [{ userId, row, offset, eventTimeMs, recentItems }],
        learnedThrough: { offset, eventTimeMs },
      })
    },
    item: async (itemId, title, genres = []) => {
      const features = { ...noFeatures, categorical: new Map([['genre', genres]]) }
      const value = title === null ? null : encodeItem({ itemId, title, createdAtMs: 0, features })
      await producer.send([{ topic: topics.items, key: itemId, value, timestampMs: Date.now() }])
    },
    overrides: async ({ generation, sequence, vectors, isWhole = true }) => {
      const entries = Object.entries(vectors)
      const records = entries.map(([itemId, vector]) => ({
        key: `${generation}/${itemId}`,
        value: encodeOverride({
          kind: 'override',
          ...{ generation, sequence, itemId, vector, eventTimeMs: 0 },
        }),
      }))
      const end = { generation, sequence, count: entries.length, eventTimeMs: 0 }
      if (isWhole) {
        records.push({ key: `${generation}/`, value: encodeOverride({ kind: 'set-end', ...end }) })
      }
      const timestampMs = Date.now()
      await learner.transact(
        records.map((record) => ({ topic: topics.overrides, timestampMs, ...record })),
      )
    },
  }
}

async function readReports(kafka: KafkaClient, topic: string): Promise<Report[]> {
  const reports: Report[] = []
  const [end] = await kafka.offsets(topic)
  await kafka.readRange({ topic, partition: 0 }, end!.low, end!.high, ({ records }) => {
    for (const { value } of records) if (value !== null) reports.push(decodeReport(value))
  })
  return reports
}

async function readDeadLetters(kafka: KafkaClient, topic: string): Promise<DeadLetter[]> {
  const letters: DeadLetter[] = []
  for (const { partition, low, high } of await kafka.offsets(topic)) {
    await kafka.readRange({ topic, partition }, low, high, ({ records }) => {
      for (const { value } of records) if (value !== null) letters.push(decodeDeadLetter(value))
    })
  }
  return letters
}

/** Asks again until the answer is as wanted, at most ten seconds. @returns the last answer */
export async function eventually<T>(
  ask: () => Promise<T> | T,
  isWanted: (answer: T) => boolean,
  deadlineMs = 10_000,
): Promise<T> {
  const endsAt = performance.now() + deadlineMs
  for (;;) {
    const got = await ask()
    if (isWanted(got) || performance.now() > endsAt) return got
    await sleep(30)
  }
}
