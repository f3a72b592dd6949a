import { collectDefaultMetrics } from 'prom-client'
import { serveOperators, type OperatorServer } from '../console/server.ts'
import type { Config } from '../config/schema.ts'
import { createMetrics, type Metrics } from '../metrics/metrics.ts'
import { topicNames, type TopicNames } from '../records/topics.ts'
import { systemClock } from '../runtime/clock.ts'
import { Health } from '../runtime/health.ts'
import { createKafkaClient } from '../runtime/kafka/client.ts'
import { topicDefinitions } from '../runtime/kafka/topics.ts'
import type { Clock, KafkaClient, Logger } from '../runtime/ports.ts'
import { endWithinMs } from './role-ending.ts'

/** What every role of a process shares. */
export interface RoleContext {
  readonly config: Config
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly metrics: Metrics
  readonly health: Health
  readonly clock: Clock
  readonly log: Logger
  /** Names this process in reports. */
  readonly instance: string
  readonly signal: AbortSignal
  /** Whether it answered when it was last asked. */
  isKafkaUp(): boolean
}

export interface OpenContext {
  readonly context: RoleContext
  /** Null where metrics are off. */
  readonly operators: OperatorServer | null
  close(): Promise<void>
}

/**
 * Opens what the roles share: the operator port first, so that /readyz can say what is waited for, then Kafka and its topics.
 * @throws FreshetError PORT_TAKEN, TOPIC_INVALID
 */
export async function openContext(
  config: Config,
  log: Logger,
  signal: AbortSignal,
): Promise<OpenContext> {
  const metrics = createMetrics()
  collectDefaultMetrics({ register: metrics.registry })
  const health = new Health(metrics)
  health.set('kafka', false, `waiting for ${config.kafka.brokers.join(', ')}`)
  const { enabled, host, port } = config.metrics
  const operators = enabled ? await serveOperators(metrics, health, host, port) : null
  if (operators !== null) log.info({ url: operators.url }, 'serving metrics and health')
  let isKafkaUp = true
  const onUp = (isUp: boolean): void => {
    isKafkaUp = isUp
    metrics.isUp.set({ dependency: 'kafka' }, isUp ? 1 : 0)
  }
  const kafka = createKafkaClient({ config: config.kafka, log, onUp })
  // Whatever is being opened then waits for a Kafka that may be gone.
  let late: NodeJS.Timeout | undefined
  const giveUp = (): void => {
    late = setTimeout(() => void kafka.close(), endWithinMs).unref()
  }
  signal.addEventListener('abort', giveUp, { once: true })
  const close = async (): Promise<void> => {
    signal.removeEventListener('abort', giveUp)
    clearTimeout(late)
    await kafka.close()
    await operators?.close()
  }
  try {
    await kafka.waitUntilReachable(signal)
    if (!signal.aborted) await kafka.createTopics(topicDefinitions(config))
  } catch (error) {
    await close()
    throw error
  }
  health.set('kafka', true, 'reachable')
  const topics = topicNames(config.kafka.topicPrefix)
  const context = {
    config,
    kafka,
    topics,
    metrics,
    health,
    clock: systemClock,
    log,
    instance: `${process.pid}`,
    signal,
    isKafkaUp: () => isKafkaUp,
  }
  return { context, operators, close }
}
