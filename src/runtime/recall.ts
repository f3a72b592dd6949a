import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/schema.ts'
import { messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { TensorEngine } from '../model/engine.ts'
import { encodeReport } from '../records/codec.ts'
import { groupName } from '../records/topics.ts'
import type { TopicNames } from '../records/topics.ts'
import type { ControlDocument } from '../records/types.ts'
import { Catalogue } from '../streams/catalogue.ts'
import type { ArtifactStore } from './generation/artifact-store.ts'
import { OverrideLog } from './override-log.ts'
import type { Clock, KafkaClient, Logger, OnlineStore, Producer } from './ports.ts'
import { RecallDesk } from './recall-desk.ts'
import { ExactChecks } from './recall-exact-checks.ts'
import { ServingGeneration } from './recall-generation.ts'
import { Generations } from './recall-generations.ts'
import { RecallIntake } from './recall-intake.ts'
import { followItems } from './recall-items.ts'
import { ReplyTopics } from './recall-reply-topics.ts'
import { UserReader } from './recall-users.ts'
import { SnapshotSource } from './snapshot/source.ts'
import { whenAborted } from './when-aborted.ts'

export interface RecallDependencies {
  readonly config: Pick<Config, 'kafka' | 'recall' | 'index'>
  readonly topics: TopicNames
  readonly kafka: KafkaClient
  readonly store: Pick<OnlineStore, 'read'>
  readonly engine: TensorEngine
  /** For snapshots that are too large for the topic, and for nothing else. */
  readonly artifacts: Pick<ArtifactStore, 'get'>
  /** Resolves when the newest document has been handed over; then each further one. */
  readonly watchControl: (
    onDocument: (document: ControlDocument) => void,
  ) => Promise<{ close(): Promise<void> }>
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Logger
  /** Name of this process in the reports. */
  readonly instance: string
  readonly signal: AbortSignal
  /** Called once, when requests are being taken. */
  readonly onReady?: () => void
}

/** How soon a snapshot that could not be loaded is tried again. */
const retryMs = 5_000
const cadenceMs = 1_000
/** How long a pod that starts waits for the snapshot of the live generation before it takes requests without one. */
const firstSnapshotMs = 10_000
/** How long replies under way may take when the pod ends. */
const drainMs = 2_000

/**
 * One recall pod: takes requests, answers each with the row of its user, the tower and the items of the one live
 * generation. Resolves when `signal` aborts and everything is closed. It outlives whatever it depends on: with Redis away
 * it answers DEGRADED, with Kafka away it waits, and a generation that cannot be loaded replaces nothing.
 */
export async function runRecall(dependencies: RecallDependencies): Promise<void> {
  const { kafka, signal, log } = dependencies
  await kafka.waitUntilReachable(signal)
  if (signal.aborted) return
  const closers: (() => Promise<void>)[] = []
  const ended = whenAborted(signal).promise
  try {
    await Promise.race([serve(dependencies, closers), ended])
    await ended
  } catch (error) {
    // What is being opened when the role ends fails, and that is no news.
    if (!signal.aborted) throw error
  } finally {
    for (const close of closers.reverse()) {
      await close().catch((error: unknown) =>
        log.warn({ error: messageOf(error) }, 'closing the recall pod'),
      )
    }
  }
}

/** Opens everything, in the order in which it is needed; `closers` close it in the reverse one. */
async function serve(
  dependencies: RecallDependencies,
  closers: (() => Promise<void>)[],
): Promise<void> {
  const { config, topics, kafka, log, signal } = dependencies
  const producer = await kafka.producer()
  closers.push(() => producer.close())

  const catalogue = new Catalogue()
  const items = await followItems(kafka, topics.items, catalogue, log)
  closers.push(() => items.close())
  await items.caughtUp

  const overrideLog = await OverrideLog.open(kafka, topics.overrides)
  closers.push(() => overrideLog.close())
  const { artifacts } = dependencies
  const { efSearch } = config.index
  const source = { kafka, topic: topics.snapshots, artifacts, efSearch, log }
  const snapshots = await SnapshotSource.open(source)
  closers.push(() => snapshots.close())
  const exactChecks = exactChecksOf(dependencies)
  const parts = { catalogue, overrideLog, snapshots, exactChecks, producer }
  const generations = generationsOf(dependencies, parts)
  closers.push(() => generations.close())
  snapshots.follow(() => generations.look())
  const control = await dependencies.watchControl((document) => generations.follow(document))
  closers.push(() => control.close())
  // Requests go to other pods meanwhile; but where nobody makes a snapshot, saying so is better than silence.
  await Promise.race([generations.settled(), sleep(firstSnapshotMs, undefined, { ref: false })])

  const intake = new RecallIntake({
    kafka,
    topic: topics.recallRequests,
    groupId: groupName(config.kafka.topicPrefix, 'recall'),
    desk: deskOf(dependencies, generations, parts),
    metrics: dependencies.metrics,
    log,
  })
  await intake.open()
  closers.push(() => intake.close(drainMs))
  if (signal.aborted) return

  const stop = every(cadenceMs, log, async () => {
    await intake.commit()
    await report(dependencies, generations, parts)
  })
  closers.push(stop)
  log.info({ generation: generations.current?.generation ?? null }, 'recall is ready')
  dependencies.onReady?.()
}

interface Parts {
  readonly catalogue: Catalogue
  readonly overrideLog: OverrideLog
  readonly snapshots: SnapshotSource
  readonly exactChecks: ExactChecks
  readonly producer: Producer
}

function generationsOf(dependencies: RecallDependencies, parts: Parts): Generations {
  const { config, kafka, engine, metrics, clock, log, signal } = dependencies
  const { catalogue, overrideLog, snapshots } = parts
  const { rowCacheMax } = config.recall
  const serving = { kafka, engine, overrideLog, rowCacheMax, catalogue, metrics, clock, log }
  const generations: Generations = new Generations({
    newest: (id) => snapshots.newest(id),
    open: async (id, ending) => ServingGeneration.open(await snapshots.load(id, ending), serving),
    refresh: async (open, ending) => open.rebase(await snapshots.load(open.generation, ending)),
    // At once: a switch waits for it.
    onChange: () =>
      void report(dependencies, generations, parts).catch((error: unknown) =>
        log.warn({ error: messageOf(error) }, 'could not report what is loaded'),
      ),
    ...{ retryMs, signal, metrics, log },
  })
  return generations
}

function deskOf(
  { config, topics, kafka, store, metrics, clock, log }: RecallDependencies,
  generations: Generations,
  { exactChecks, producer }: Parts,
): RecallDesk {
  const { redisDeadlineMs, rowCacheMs } = config.recall
  const { partitions } = config.kafka
  const ownTopics = new Set<string>(Object.values(topics))
  ownTopics.delete(topics.recallReplies)
  return new RecallDesk({
    recall: config.recall,
    topics,
    generations,
    users: new UserReader({ store, clock, partitions, redisDeadlineMs, rowCacheMs }),
    replyTopics: new ReplyTopics(kafka, (topic) => ownTopics.has(topic)),
    exactChecks,
    producer,
    metrics,
    clock,
    log,
  })
}

function exactChecksOf({ config, metrics, clock, log }: RecallDependencies): ExactChecks {
  return new ExactChecks({
    ...{ perSecondMax: config.recall.exactChecksPerSecondMax, metrics, clock, log },
  })
}

async function report(
  { topics, clock, instance }: RecallDependencies,
  { current: serving, verified }: Pick<Generations, 'current' | 'verified'>,
  { exactChecks, producer }: Pick<Parts, 'exactChecks' | 'producer'>,
): Promise<void> {
  serving?.publishFigures()
  const atMs = clock.nowMs()
  const value = encodeReport({
    role: 'recall',
    instance,
    kind: 'loaded',
    generation: serving?.generation ?? '',
    atMs,
    body: {
      verified,
      revision: serving?.revision ?? 0,
      overrideSequence: serving?.overrideSequence ?? 0,
      items: serving?.index.size ?? 0,
      annRecall: exactChecks.annRecall,
    },
  })
  await producer.send([
    { topic: topics.reports, key: `recall/${instance}`, value, timestampMs: atMs },
  ])
}

/** One call at a time; a failure is logged and the next call comes all the same. @returns what stops it */
function every(periodMs: number, log: Logger, work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null
  const timer = setInterval(() => {
    running ??= work()
      .catch((error: unknown) => log.warn({ error: messageOf(error) }, 'recall pod: housekeeping'))
      .finally(() => (running = null))
  }, periodMs)
  return async () => {
    clearInterval(timer)
    await Promise.race([running, sleep(cadenceMs, undefined, { ref: false })])
  }
}
