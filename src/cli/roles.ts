import { setTimeout as pause } from 'node:timers/promises'
import { FreshetError, messageOf } from '../errors.ts'
import { groupName } from '../records/topics.ts'
import { checkEngine, openEngine, openServingEngine } from '../runtime/engines/index.ts'
import { openDirectoryStore } from '../runtime/generation/artifact-store.ts'
import { watchControl } from '../runtime/control.ts'
import { runCompactor } from '../runtime/compactor.ts'
import { runController } from '../runtime/controller.ts'
import { runGateway } from '../runtime/gateway/gateway.ts'
import { runIndexer } from '../runtime/indexer.ts'
import { runIngest } from '../runtime/ingest.ts'
import { runJoiner } from '../runtime/joiner.ts'
import { runLearner } from '../runtime/learner.ts'
import { runRecall } from '../runtime/recall.ts'
import { RecallClient } from '../runtime/recall-client.ts'
import { openOnlineStore } from '../runtime/redis/online-store.ts'
import type { Config } from '../config/schema.ts'
import { createLogger } from '../runtime/logger.ts'
import { recallClientOptions } from './commands/recall.ts'
import { mountConsole } from './console.ts'
import { openContext, type RoleContext } from './role-context.ts'
import { endOf, throwFailure } from './role-ending.ts'
import { roleNames, type RoleName } from './role-names.ts'
import { stopSignal } from './stop-signal.ts'

/** Runs until the signal of the context, then closes what it opened. */
type Role = (context: RoleContext) => Promise<void>

const roles: Readonly<Record<RoleName, Role>> = {
  compactor,
  controller,
  gateway,
  indexer,
  ingest,
  joiner,
  learner,
  pod,
}

async function ingest(context: RoleContext): Promise<void> {
  const { config, kafka, topics, metrics, log, clock, signal } = context
  await runIngest({
    ...{ kafka, topics, metrics, log, clock, signal },
    config: config.ingest,
    sources: config.sources,
    partitions: config.kafka.partitions,
    groupId: groupName(config.kafka.topicPrefix, 'ingest'),
  })
}

async function joiner(context: RoleContext): Promise<void> {
  const { config, kafka, topics, metrics, log, clock, signal } = context
  await runJoiner({
    ...{ kafka, topics, metrics, log, clock, signal },
    config: config.joiner,
    groupId: groupName(config.kafka.topicPrefix, 'joiner'),
    transactionalIdPrefix: config.kafka.topicPrefix,
  })
}

async function controller(context: RoleContext): Promise<void> {
  const { config, kafka, topics, metrics, log, clock, signal, instance } = context
  const artifacts = openDirectoryStore(config.artifacts.dir)
  await runController({
    ...{ config, kafka, topics, metrics, log, clock, signal, instance, artifacts },
    onReady: () => context.health.set('controller', true, 'running'),
  })
}

async function compactor(context: RoleContext): Promise<void> {
  const { config, kafka, topics, metrics, log, clock, signal, instance } = context
  checkEngine(config.model.engine)
  await runCompactor({
    ...{ config, kafka, topics, metrics, log, clock, signal, instance },
    artifacts: openDirectoryStore(config.artifacts.dir),
    onReady: () => context.health.set('compactor', true, 'running'),
  })
}

async function indexer(context: RoleContext): Promise<void> {
  const { config, kafka, topics, metrics, log, clock, signal, instance } = context
  await runIndexer({
    ...{ config, kafka, topics, metrics, log, clock, signal, instance },
    artifacts: openDirectoryStore(config.artifacts.dir),
    onReady: () => context.health.set('indexer', true, 'running'),
    watchControl: (onDocument) => watchControl(kafka, topics.control, log, onDocument),
  })
}

async function learner(context: RoleContext): Promise<void> {
  const { config, kafka, topics, metrics, log, clock, signal, instance } = context
  let isRedisUp = true
  const store = openOnlineStore(config.redis, log, (isUp) => {
    isRedisUp = isUp
    redisUp(context)(isUp)
  })
  const artifacts = openDirectoryStore(config.artifacts.dir)
  try {
    await runLearner({
      ...{ config, kafka, topics, store, artifacts, metrics, log, clock, signal, instance },
      engine: openEngine(config.model.engine),
      onReady: () => context.health.set('learner', true, 'running'),
    })
    if (!isRedisUp) throw new FreshetError('REDIS_UNAVAILABLE', 'Redis does not answer')
  } finally {
    await store.close()
  }
}

function redisUp({ metrics }: RoleContext): (isUp: boolean) => void {
  return (isUp) => metrics.isUp.set({ dependency: 'redis' }, isUp ? 1 : 0)
}

async function pod(context: RoleContext): Promise<void> {
  const { config, kafka, topics, metrics, log, clock, signal, instance } = context
  const store = openOnlineStore(config.redis, log, redisUp(context))
  const artifacts = openDirectoryStore(config.artifacts.dir)
  try {
    await runRecall({
      ...{ config, kafka, topics, store, metrics, log, clock, signal, instance },
      engine: openServingEngine(config.model.engine),
      artifacts,
      onReady: () => context.health.set('pod', true, 'running'),
      watchControl: (onDocument) => watchControl(kafka, topics.control, log, onDocument),
    })
  } finally {
    await store.close()
  }
}

async function gateway(context: RoleContext): Promise<void> {
  const { config, kafka, topics, metrics, log, clock, signal, health } = context
  await runGateway({
    ...{ config, kafka, topics, metrics, log, clock, signal },
    connectRecall: (options) =>
      RecallClient.connect({ ...recallClientOptions(config), ...options }),
    onReadiness: (isReady, detail) => health.set('gateway', isReady, detail),
  })
}

/** These roles as a process of their own, until Ctrl-C or SIGTERM. */
export async function runUntilStopped(config: Config, names: readonly RoleName[]): Promise<void> {
  const log = createLogger({
    level: config.log.level,
    format: process.stdout.isTTY ? 'text' : 'json',
    write: (line) => process.stdout.write(line),
  })
  const stop = stopSignal((message) => log.info({}, message))
  const opened = await openContext(config, log, stop)
  // One role alone knows too little of the others.
  const closeConsole =
    names.length >= roleNames.length && !stop.aborted ? await mountConsole(opened) : null
  try {
    if (!stop.aborted) await runRoles(opened.context, names)
  } finally {
    await closeConsole?.()
    await opened.close()
  }
}

/**
 * Runs the roles side by side. One that ends by an error that may pass is started again; one that ends by a fatal error
 * ends them all.
 * @throws FreshetError STOP_UNFINISHED where the signal came and its servers were away, and whatever else was fatal
 */
export async function runRoles(context: RoleContext, names: readonly RoleName[]): Promise<void> {
  const failed = new AbortController()
  const signal = AbortSignal.any([context.signal, failed.signal])
  const results = await Promise.allSettled(
    names.map((name) =>
      keepRunning(name, { ...context, signal, log: context.log.child({ role: name }) }).catch(
        (error: unknown) => {
          failed.abort()
          throw error
        },
      ),
    ),
  )
  throwFailure(results)
}

/** Roles that have something to wait for before they are of use; the others work as soon as they run. */
const saysWhenReady: ReadonlySet<RoleName> = new Set([
  'compactor',
  'controller',
  'gateway',
  'indexer',
  'learner',
  'pod',
])

const restartMinMs = 500
const restartMaxMs = 10_000

async function keepRunning(name: RoleName, context: RoleContext): Promise<void> {
  const { health, log, signal } = context
  for (let failures = 0; !signal.aborted;) {
    const isReady = !saysWhenReady.has(name)
    health.set(name, isReady, isReady ? 'running' : 'starting')
    const startedMs = context.clock.nowMs()
    try {
      return await endOf(name, roles[name](context), context)
    } catch (error) {
      if (!(error instanceof FreshetError) || error.disposition !== 'retry') throw error
      health.set(name, false, messageOf(error))
      failures = context.clock.nowMs() - startedMs > restartMaxMs ? 1 : failures + 1
      const waitMs = Math.min(restartMaxMs, restartMinMs * 2 ** (failures - 1))
      log.warn(
        { code: error.code, error: error.message, waitMs },
        'the role failed and is started again',
      )
      await pause(waitMs, undefined, { signal }).catch(() => undefined)
    }
  }
  // Told to end before it was started again.
  await endOf(name, Promise.resolve(), context)
}
