import { Console, type ConsoleDeps } from '../console/console.ts'
import { remotePage, type MetricsPage } from '../console/metrics-feed.ts'
import { serveOperators, type OperatorServer } from '../console/server.ts'
import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import { createMetrics } from '../metrics/metrics.ts'
import { openDirectoryStore } from '../runtime/generation/artifact-store.ts'
import { Health } from '../runtime/health.ts'
import { RecallClient } from '../runtime/recall-client.ts'
import { openOnlineStore } from '../runtime/redis/online-store.ts'
import { recallClientOptions } from './commands/recall.ts'
import { interrupted, withKafka, type Connected } from './connect.ts'
import type { OpenContext } from './role-context.ts'

type Close = () => Promise<void>

/**
 * The console of a process that runs every role, on its operator port. Null where it is off. One that cannot be opened is no reason not
 * to run.
 */
export async function mountConsole({ context, operators }: OpenContext): Promise<Close | null> {
  const { config, kafka, topics, log, metrics } = context
  if (operators === null || !config.console.enabled) return null
  const own: MetricsPage = { name: 'this process', read: () => metrics.registry.metrics() }
  try {
    const close = await mount(config, { kafka, topics, log }, operators, [own])
    log.info({ url: `${operators.url}/console/` }, 'serving the console')
    return close
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'the console cannot be opened')
    return null
  }
}

/**
 * The console as a process of its own, until Ctrl-C.
 * @throws FreshetError PORT_TAKEN, TOPIC_INVALID
 */
export async function runConsole(config: Config, metricsUrls: readonly string[]): Promise<void> {
  const { host } = config.metrics
  const { port } = config.console
  const metrics = createMetrics()
  const health = new Health(metrics)
  health.set('console', false, 'waiting for Kafka')
  const operators = await serveOperators(metrics, health, host, port, 'console')
  try {
    await withKafka(config, async (connected) => {
      const { controlHistory } = connected.topics
      if (!(await connected.kafka.topicExists(controlHistory))) {
        throw new FreshetError(
          'TOPIC_INVALID',
          `topic ${controlHistory} does not exist: is freshet running on these brokers, and is kafka.topicPrefix right?`,
        )
      }
      const close = await mount(config, connected, operators, metricsUrls.map(remotePage))
      health.set('console', true, 'running')
      process.stdout.write(`console: ${operators.url}/console/\n`)
      if (metricsUrls.length === 0) {
        process.stdout.write(
          'no metrics are known, so there are no delays, rates and recall: give console.metricsUrls\n',
        )
      }
      await interrupted()
      await close()
    })
  } finally {
    await operators.close()
  }
}

async function mount(
  config: Config,
  { kafka, topics, log }: Connected,
  operators: OperatorServer,
  pages: readonly MetricsPage[],
): Promise<Close> {
  const store = openOnlineStore(config.redis, log)
  const asking = new AskingPods(config)
  const deps: ConsoleDeps = {
    ...{ config, kafka, topics, store, pages },
    artifacts: openDirectoryStore(config.artifacts.dir),
    recall: (userId, k) => asking.recall(userId, k),
  }
  const closeBelow = async (): Promise<void> => {
    await asking.close()
    await store.close()
  }
  try {
    const opened = await Console.open(deps)
    operators.mountConsole(opened.routes)
    return async () => {
      operators.mountConsole(null)
      await opened.close()
      await closeBelow()
    }
  } catch (error) {
    await closeBelow()
    throw error
  }
}

const recallTimeoutMs = 2_000

/** A client that is connected when it is first needed. */
class AskingPods {
  readonly #config: Config
  #client: Promise<RecallClient> | null = null

  constructor(config: Config) {
    this.#config = config
  }

  async recall(userId: string, k: number): ReturnType<RecallClient['recall']> {
    this.#client ??= RecallClient.connect(recallClientOptions(this.#config))
    try {
      const client = await this.#client
      return await client.recall({ userId, k, timeoutMs: recallTimeoutMs })
    } catch (error) {
      if (error instanceof FreshetError && error.code === 'TIMEOUT') throw error
      const broken = this.#client
      this.#client = null
      void broken.then((client) => client.close()).catch(() => undefined)
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#client?.then(
      (client) => client.close(),
      () => undefined,
    )
  }
}
