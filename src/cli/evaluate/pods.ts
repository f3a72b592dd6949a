import path from 'node:path'
import { loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/schema.ts'
import { FreshetError } from '../../errors.ts'
import type { ServerProcess } from '../../runtime/local/server-process.ts'
import { createLogger } from '../../runtime/logger.ts'
import type { Logger } from '../../runtime/ports.ts'
import { stopSignal } from '../stop-signal.ts'
import { startTemporaryServers, type TemporaryServers } from '../temporary-servers.ts'
import type { Agreement } from './agreement.ts'
import type { Scores } from './figures.ts'
import { PodServing } from './pod-serving.ts'
import { besideRow, scoresOfSeed, type Questions } from './two-tower.ts'

/** A pod shares the machine with the training here, and how fast it is is not asked. */
const redisDeadlineMs = 5_000

/** Kafka and Redis of their own for the recall pods that an evaluation asks, until it ends, fails or is interrupted. */
export class Pods {
  readonly #servers: TemporaryServers
  readonly #interrupt: AbortController
  readonly #log: Logger

  /** @throws FreshetError TOOL_MISSING, SERVER_FAILED */
  static async start(say: (text: string) => void): Promise<Pods> {
    const interrupt = new AbortController()
    stopSignal(say).addEventListener('abort', () =>
      interrupt.abort(new FreshetError('ABORTED', 'the evaluation was interrupted')),
    )
    const write = (line: string): void => void process.stderr.write(line)
    const log = createLogger({ level: 'warn', format: 'text', write })
    const servers = await startTemporaryServers('evaluate', log)
    const endWith = async (name: string, { exited }: ServerProcess): Promise<void> => {
      await exited
      const message = `${name} ended in the middle of the evaluation`
      interrupt.abort(new FreshetError('SERVER_FAILED', message))
    }
    void endWith('Kafka', servers.broker)
    void endWith('Redis', servers.redis)
    return new Pods(servers, interrupt, log)
  }

  private constructor(servers: TemporaryServers, interrupt: AbortController, log: Logger) {
    this.#servers = servers
    this.#interrupt = interrupt
    this.#log = log
  }

  /** Scores of each row of the table, and how those of one agree with a pod's. */
  async scoresOfSeed(
    questions: Questions,
    config: Config,
    seed: number,
  ): Promise<{ readonly scores: readonly Scores[]; readonly agreement: Agreement }> {
    const { signal } = this.#interrupt
    signal.throwIfAborted()
    const own = servedConfig(config, this.#servers, `seed-${seed}`)
    const serving = await PodServing.open(own, questions.items, this.#log, this.#interrupt)
    try {
      const beside = { serving, signal }
      const scores = await scoresOfSeed(questions, config, seed, 'shuffled', beside)
      const [memory, pods] = [scores[besideRow]!, scores.at(-1)!]
      const agreement = { seed, memory, pods, replies: serving.facts }
      return { scores: scores.slice(0, -1), agreement }
    } finally {
      await serving.close()
    }
  }

  close(): Promise<void> {
    return this.#servers.close()
  }
}

/** What the user says of the model, the learner and the index, with servers and topics of its own. */
export function servedConfig(
  config: Config,
  {
    dir,
    broker,
    redis,
  }: Pick<TemporaryServers, 'dir'> & {
    readonly broker: Pick<TemporaryServers['broker'], 'bootstrap'>
    readonly redis: Pick<TemporaryServers['redis'], 'url'>
  },
  prefix: string,
): Config {
  const {
    kafka,
    redis: store,
    artifacts,
    metrics,
  } = loadConfig({
    texts: [],
    environment: {},
    settings: [
      `kafka.brokers=["${broker.bootstrap}"]`,
      `kafka.topicPrefix=${prefix}`,
      // As the joiner of the evaluation joins.
      'kafka.partitions=1',
      `redis.url=${redis.url}`,
      `redis.keyPrefix=${prefix}.`,
      `artifacts.dir=${path.join(dir, prefix)}`,
      'metrics.enabled=false',
    ],
  })
  const { engine } = config.index
  return {
    ...{ ...config, kafka, redis: store, artifacts, metrics },
    recall: { ...config.recall, redisDeadlineMs, rowCacheMs: 0 },
    // The catalogue of a log is so small that it would be searched exactly.
    index: { ...config.index, engine: engine === 'auto' ? 'hnswlib' : engine },
  }
}
