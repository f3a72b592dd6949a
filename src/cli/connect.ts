import type { Config } from '../config/schema.ts'
import { topicNames, type TopicNames } from '../records/topics.ts'
import { createKafkaClient } from '../runtime/kafka/client.ts'
import { readLocalInstance } from '../runtime/local-instance.ts'
import { createLogger } from '../runtime/logger.ts'
import type { KafkaClient, Logger } from '../runtime/ports.ts'

export interface Connected {
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly log: Logger
}

const hintAfterMs = 3_000

/** Says what may be missing where Kafka lets one wait: whoever has not started anything would wait for ever. */
export async function reaching<T>({ kafka }: Config, connected: Promise<T>): Promise<T> {
  const remedy =
    readLocalInstance() === null
      ? 'no npm start is running in this folder: start it, or give --config FILE or FRESHET_KAFKA_BROKERS=host:port'
      : 'that is the address of the npm start in this folder: is its Kafka gone?'
  const hint = setTimeout(() => {
    process.stderr.write(`nobody answers at ${kafka.brokers.join(', ')} yet; ${remedy}\n`)
  }, hintAfterMs)
  return connected.finally(() => clearTimeout(hint))
}

/** A Kafka connection for the length of one command; warnings go to stderr. Ctrl-C ends the command, unless `use` listens to it. */
export async function withKafka<T>(
  config: Config,
  use: (connected: Connected) => Promise<T>,
): Promise<T> {
  const log = createLogger({
    level: 'warn',
    format: 'text',
    write: (line) => process.stderr.write(line),
  })
  const kafka = createKafkaClient({ config: config.kafka, log })
  try {
    await reaching(config, kafka.waitUntilReachable(new AbortController().signal))
    return await use({ kafka, topics: topicNames(config.kafka.topicPrefix), log })
  } finally {
    await kafka.close()
  }
}

/** Resolves at Ctrl-C or SIGTERM. */
export function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve())
    process.once('SIGTERM', () => resolve())
  })
}
