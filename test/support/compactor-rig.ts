import { randomUUID } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import { expect, inject } from 'vitest'
import { configSchema } from '../../src/config/schema.ts'
import type { Config } from '../../src/config/schema.ts'
import { createMetrics } from '../../src/metrics/metrics.ts'
import type { Metrics } from '../../src/metrics/metrics.ts'
import {
  decodeReport,
  encodeControlDocument,
  encodeExample,
  encodeExampleHeartbeat,
  encodeItem,
} from '../../src/records/codec.ts'
import { bodyOfExample } from '../../src/records/example-codec.ts'
import type { ReportBodies } from '../../src/records/reports.ts'
import { topicNames } from '../../src/records/topics.ts'
import type { TopicNames } from '../../src/records/topics.ts'
import { noFeatures } from '../../src/records/types.ts'
import type { ControlDocument, Report } from '../../src/records/types.ts'
import { ExamplesHash, openArchive } from '../../src/runtime/archive/archive.ts'
import type { Archive, ArchivedRange } from '../../src/runtime/archive/archive.ts'
import { readExample } from '../../src/runtime/compactor-record.ts'
import { runCompactor } from '../../src/runtime/compactor.ts'
import type { CompactorDeps } from '../../src/runtime/compactor.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { bootstrapGeneration, writeGeneration } from '../../src/runtime/generation/generation.ts'
import { createKafkaClient } from '../../src/runtime/kafka/client.ts'
import { topicDefinitions } from '../../src/runtime/kafka/topics.ts'
import type { KafkaClient, Logger, Producer } from '../../src/runtime/ports.ts'
import { firstDocument } from '../../src/streams/controller.ts'
import type { SinkRecord } from '../../src/streams/stage.ts'
import { silentLog, temporaryDir } from './own-servers.ts'
import type { OnEnd } from './own-servers.ts'

/** The generation that is live. */
export const generation = 'g1'

/** What one partition of examples gets, in order: examples and heartbeats by their event times (ISO 8601), or a value as it is. */
export type Sent = string | { readonly heartbeat: string } | Buffer

export interface CompactorRig {
  readonly dir: string
  readonly config: Config
  readonly topics: TopicNames
  readonly kafka: KafkaClient
  readonly archive: Archive
  readonly producer: Producer
  /** Everything the compactors have reported, in order. */
  readonly reports: readonly Report[]
  /** Messages logged as warnings or errors, of all compactors. */
  readonly complaints: string[]
  start(changes?: Partial<CompactorDeps>): RunningCompactor
  /** Sends to a partition of examples. */
  send(partition: number, values: readonly Sent[]): Promise<void>
  items(ids: readonly string[]): Promise<void>
  /** What retention does: examples below the offset are gone. */
  forget(partition: number, offset: number): Promise<void>
  /** Writes the control document that follows from the one before. */
  control(changes: Partial<ControlDocument>): Promise<void>
  /** From now on every cut and every generation that is reported goes into the control document, at once and once, as the controller does. */
  decide(): Promise<void>
  /** Cuts reported so far, each once, in order. */
  cuts(): ReportBodies['cut'][]
  document(): ControlDocument
}

export interface RunningCompactor {
  readonly metrics: Metrics
  stop(): Promise<void>
}

/** Topics of its own on the shared broker, a bootstrap generation that is live, and compactors on it. */
export async function compactorRig(
  onEnd: OnEnd,
  options: {
    readonly partitions?: number
    readonly settings?: object
    readonly kafka?: Partial<Config['kafka']>
    /** Examples come in transactions, as a joiner sends them: the log then has offsets without records. */
    readonly isTransactional?: boolean
  } = {},
): Promise<CompactorRig> {
  const { partitions = 3, settings = {} } = options
  const topicPrefix = `compactor-${randomUUID().slice(0, 8)}`
  const dir = await temporaryDir(onEnd)
  const config = configSchema.parse({
    stateDir: `${dir}/state`,
    artifacts: { dir: `${dir}/artifacts` },
    kafka: {
      ...{ brokers: inject('kafkaBrokers'), topicPrefix, partitions, heartbeatIntervalMs: 100 },
      ...options.kafka,
    },
    metrics: { enabled: false },
    model: { dim: 8 },
    ...settings,
  })
  const topics = topicNames(topicPrefix)
  const kafka = createKafkaClient({ config: config.kafka, log: silentLog })
  onEnd(() => kafka.close())
  await kafka.createTopics(topicDefinitions(config))
  const producer = await kafka.producer()
  const artifacts = openDirectoryStore(config.artifacts.dir)
  const { seed, engine: _, ...model } = config.model
  await writeGeneration(artifacts, bootstrapGeneration(generation, model, seed, 1_700_000_000_000))

  const complaints: string[] = []
  const complain = (_: object, message: string): void => void complaints.push(message)
  const log: Logger = { ...silentLog, warn: complain, error: complain, child: () => log }
  const { reports, control, document, decide } = await controlOf(onEnd, kafka, producer, topics)
  await control({})
  const owner =
    options.isTransactional === true
      ? await kafka.transactionalProducer(`${topicPrefix}-joiner-test`)
      : null
  const recordsOf = (partition: number, values: readonly Sent[]): SinkRecord[] =>
    values.map((sent, i) => ({
      ...{ topic: topics.examples, partition, key: `u${i}`, timestampMs: Date.now() },
      value: valueOf(sent, partition),
    }))
  return {
    ...{ dir, config, topics, kafka, producer, reports, complaints },
    ...{ control, document, decide },
    archive: openArchive(artifacts),
    start: (changes) => {
      const ending = new AbortController()
      const metrics = createMetrics()
      const running = runCompactor({
        ...{ kafka, artifacts, config, topics, metrics, log },
        ...{ clock: { nowMs: () => Date.now() }, instance: 'compactor-0', signal: ending.signal },
        ...changes,
      })
      running.catch((error: unknown) => complaints.push(`ended: ${String(error)}`))
      const stop = async () => {
        ending.abort()
        await running
      }
      onEnd(() => stop().catch(() => {}))
      return { metrics, stop }
    },
    send: (partition, values) => {
      const records = recordsOf(partition, values)
      return owner === null ? producer.send(records) : owner.transact(records)
    },
    items: (ids) =>
      producer.send(
        ids.map((itemId) => {
          const item = { itemId, title: itemId, createdAtMs: 1_000, features: noFeatures }
          const value = encodeItem(item)
          return { topic: topics.items, key: itemId, value, timestampMs: Date.now() }
        }),
      ),
    forget: async (partition, offset) => {
      const brokers = [...config.kafka.brokers]
      const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin()
      await admin.connect()
      // Also makes it know the topic, which the next call takes for granted.
      await admin.fetchTopicOffsets(topics.examples)
      const partitions = [{ partition, offset: String(offset) }]
      await admin.deleteTopicRecords({ topic: topics.examples, partitions })
      await admin.disconnect()
    },
    cuts: () => {
      const bodies = reports.filter(({ kind }) => kind === 'cut').map(({ body }) => body)
      const texts = new Set(bodies.map((body) => JSON.stringify(body)))
      return [...texts].map((text) => JSON.parse(text) as ReportBodies['cut'])
    },
  }
}

async function controlOf(onEnd: OnEnd, kafka: KafkaClient, producer: Producer, topics: TopicNames) {
  const reports: Report[] = []
  let document = firstDocument(generation, 0)
  let isDeciding = false
  const control = async (changes: Partial<ControlDocument>): Promise<void> => {
    document = { ...document, ...changes, epoch: document.epoch + 1 }
    const value = encodeControlDocument(document)
    await producer.send([{ topic: topics.control, key: 'control', value, timestampMs: Date.now() }])
  }
  const decideOn = async ({ kind, generation: id, body }: Report): Promise<void> => {
    if (kind === 'cut') {
      const { day, examples, items } = body as unknown as ReportBodies['cut']
      if (day in document.cuts) return
      const cuts = { ...document.cuts, [day]: examples }
      await control({ cuts, catalogueCuts: { ...document.catalogueCuts, [day]: items } })
    }
    if (kind === 'trained' && !(id in document.states)) {
      const state = body['verdict'] === 'failed' ? 'rejected' : 'trained'
      const states = { ...document.states, [id]: state } as const
      await control({ states, kept: [...document.kept, id] })
    }
  }
  const tail = await kafka.tail({
    topics: [topics.reports],
    from: 'earliest',
    onBatch: async ({ records }) => {
      for (const { value } of records) {
        const report = decodeReport(value!)
        reports.push(report)
        if (isDeciding) await decideOn(report)
      }
    },
  })
  onEnd(() => tail.close())
  const decide = async (): Promise<void> => {
    isDeciding = true
    for (const report of [...reports]) await decideOn(report)
  }
  return { reports, control, decide, document: () => document }
}

let sentExamples = 0

function valueOf(sent: Sent, partition: number): Buffer {
  if (Buffer.isBuffer(sent)) return sent
  if (typeof sent === 'object') return encodeExampleHeartbeat(Date.parse(sent.heartbeat))
  const eventTimeMs = Date.parse(sent)
  return encodeExample({
    ...{ kind: 'example', requestId: `r${sentExamples++}`, userId: `u${partition}`, eventTimeMs },
    ...{ itemId: `i${sentExamples % 7}`, impressionTimeMs: eventTimeMs - 500, position: 0 },
    ...{ weight: 1, scenario: 'home', hardNegatives: [], features: noFeatures },
  })
}

export interface DayContent {
  readonly examples: number
  readonly hash: string
}

/** What the log holds of each day, by the cuts and nothing else. */
export async function daysOfLog(
  rig: CompactorRig,
  cuts: ControlDocument['cuts'],
): Promise<Record<string, DayContent>> {
  const { kafka, topics } = rig
  const days: Record<string, DayContent> = {}
  const from = (await kafka.offsets(topics.examples)).map(({ low }) => low)
  for (const day of Object.keys(cuts).sort()) {
    const hash = new ExamplesHash()
    for (const [partition, to] of cuts[day]!.entries()) {
      const place = { topic: topics.examples, partition }
      await kafka.readRange(place, from[partition]!, to, ({ records }) => {
        for (const { value } of records) {
          if (readExample(value)?.kind === 'example') hash.add(partition, bodyOfExample(value!)!)
        }
      })
      from[partition] = to
    }
    days[day] = { examples: hash.count, hash: hash.digest() }
  }
  return days
}

/** What the archive holds of each day. */
export async function daysOfArchive(
  { archive }: Pick<CompactorRig, 'archive'>,
  days: readonly string[],
): Promise<Record<string, DayContent>> {
  const found: Record<string, DayContent> = {}
  for (const day of days) {
    const hash = new ExamplesHash()
    const ranges = await archive.ranges(day)
    let file = 0
    for await (const bodies of archive.read(day)) {
      for (const body of bodies) hash.add(ranges[file]!.partition, body)
      file++
    }
    found[day] = { examples: hash.count, hash: hash.digest() }
  }
  return found
}

/** Of every partition, the files of all days follow each other without a gap. */
export async function expectContiguous({ archive }: Pick<CompactorRig, 'archive'>): Promise<void> {
  const files: ArchivedRange[] = []
  for (const day of await archive.days()) files.push(...(await archive.files(day)))
  files.sort((a, b) => a.partition - b.partition || a.from - b.from)
  const joins = files.flatMap((file, i) => {
    const before = files[i - 1]
    return before?.partition === file.partition ? [{ end: before.to, begin: file.from }] : []
  })
  expect(joins.map(({ begin }) => begin)).toEqual(joins.map(({ end }) => end))
}
