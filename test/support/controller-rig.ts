import { randomUUID } from 'node:crypto'
import { expect, inject, onTestFinished, vi } from 'vitest'
import { configSchema } from '../../src/config/schema.ts'
import { FreshetError } from '../../src/errors.ts'
import { createMetrics } from '../../src/metrics/metrics.ts'
import { decodeControlDocument, encodeReport } from '../../src/records/codec.ts'
import { topicNames } from '../../src/records/topics.ts'
import type { ControlDocument, Report } from '../../src/records/types.ts'
import { runController } from '../../src/runtime/controller.ts'
import type { ControllerDeps } from '../../src/runtime/controller.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { createKafkaClient } from '../../src/runtime/kafka/client.ts'
import { topicDefinitions } from '../../src/runtime/kafka/topics.ts'
import type { Logger } from '../../src/runtime/ports.ts'
import { silentLog, temporaryDir } from './own-servers.ts'

export const within = { timeout: 15_000, interval: 20 }

/** Controllers on topics and a store of their own; `settings` as in a configuration file. */
export async function controllerRig(settings: Record<string, unknown> = {}) {
  const topicPrefix = `control-${randomUUID().slice(0, 8)}`
  const kafkaSettings = { brokers: inject('kafkaBrokers'), topicPrefix, partitions: 2 }
  const config = configSchema.parse({ ...settings, kafka: kafkaSettings })
  const topics = topicNames(topicPrefix)
  const kafka = createKafkaClient({ config: config.kafka, log: silentLog })
  onTestFinished(() => kafka.close())
  await kafka.createTopics(topicDefinitions(config))
  const dir = await temporaryDir(onTestFinished)
  const artifacts = openDirectoryStore(dir)
  const producer = await kafka.producer()
  onTestFinished(() => producer.close())

  const start = async (instance: string, changes: Partial<ControllerDeps> = {}) => {
    const ending = new AbortController()
    const messages: string[] = []
    const note = (_: object, message: string): void => void messages.push(message)
    const log: Logger = { ...silentLog, info: note, warn: note, error: note }
    const metrics = createMetrics()
    let takeovers = 0
    const deps = {
      ...{ kafka, topics, config, artifacts, log, instance, metrics },
      clock: { nowMs: () => Date.now() },
      signal: ending.signal,
      onReady: () => takeovers++,
      ...changes,
    }
    // As roles are run: one that fails for a reason that may pass is started again.
    const run = async (): Promise<void> => {
      try {
        await runController(deps)
      } catch (error) {
        if (!(error instanceof FreshetError) || error.disposition !== 'retry') throw error
        await run()
      }
    }
    const running = run()
    const stop = async () => {
      ending.abort()
      await running
    }
    onTestFinished(() => stop().catch(() => {}))
    const ready = vi.waitFor(() => expect(takeovers).toBeGreaterThan(0), within)
    await Promise.race([ready, running])
    return { stop, messages, metrics, takeovers: () => takeovers }
  }
  const documents = async (topic: string): Promise<ControlDocument[]> => {
    const found: ControlDocument[] = []
    const [range] = await kafka.offsets(topic)
    await kafka.readRange({ topic, partition: 0 }, 0, range!.high, ({ records }) => {
      for (const { value } of records) found.push(decodeControlDocument(value!))
    })
    return found
  }
  const send = async (...reports: readonly Report[]): Promise<void> => {
    const atMs = Date.now()
    await producer.send(
      reports.map((report) => ({
        ...{ topic: topics.reports, key: `${report.role}/${report.instance}`, timestampMs: atMs },
        value: encodeReport({ ...report, atMs }),
      })),
    )
  }
  return { config, topics, kafka, artifacts, dir, start, documents, send }
}
