import { randomUUID } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, inject, onTestFinished, test, vi } from 'vitest'
import { configSchema } from '../../src/config/schema.ts'
import { FreshetError } from '../../src/errors.ts'
import { createMetrics } from '../../src/metrics/metrics.ts'
import { decodeControlDocument, encodeControlDocument } from '../../src/records/codec.ts'
import { topicNames } from '../../src/records/topics.ts'
import type { ControlDocument } from '../../src/records/types.ts'
import { watchControl } from '../../src/runtime/control.ts'
import { runController } from '../../src/runtime/controller.ts'
import type { ControllerDeps } from '../../src/runtime/controller.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { listGenerations, loadGeneration } from '../../src/runtime/generation/generation.ts'
import { createKafkaClient } from '../../src/runtime/kafka/client.ts'
import { topicDefinitions } from '../../src/runtime/kafka/topics.ts'
import type { Logger } from '../../src/runtime/ports.ts'
import { firstDocument } from '../../src/streams/controller.ts'
import { silentLog, temporaryDir } from '../support/own-servers.ts'

const within = { timeout: 15_000, interval: 50 }

async function rig() {
  const topicPrefix = `control-${randomUUID().slice(0, 8)}`
  const config = configSchema.parse({ kafka: { brokers: inject('kafkaBrokers'), topicPrefix } })
  const topics = topicNames(topicPrefix)
  const kafka = createKafkaClient({ config: config.kafka, log: silentLog })
  onTestFinished(() => kafka.close())
  await kafka.createTopics(topicDefinitions(config))
  const dir = await temporaryDir(onTestFinished)
  const artifacts = openDirectoryStore(dir)

  const start = async (instance: string, changes: Partial<ControllerDeps> = {}) => {
    const ending = new AbortController()
    const messages: string[] = []
    const note = (_: object, message: string): void => void messages.push(message)
    const log: Logger = { ...silentLog, info: note, warn: note, error: note }
    let takeovers = 0
    const deps = {
      ...{ kafka, topics, config, artifacts, log, instance, metrics: createMetrics() },
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
    return { stop, messages, takeovers: () => takeovers }
  }
  const documents = async (topic: string): Promise<ControlDocument[]> => {
    const found: ControlDocument[] = []
    const [range] = await kafka.offsets(topic)
    await kafka.readRange({ topic, partition: 0 }, 0, range!.high, ({ records }) => {
      for (const { value } of records) found.push(decodeControlDocument(value!))
    })
    return found
  }
  return { config, topics, kafka, artifacts, dir, start, documents }
}

test('without a document it makes a bootstrap generation and the first document, once', async () => {
  const { topics, artifacts, start, documents } = await rig()
  const first = await start('a')
  const [document, ...more] = await documents(topics.control)
  expect(more).toEqual([])
  expect(document).toEqual(firstDocument(document!.live!, document!.liveSinceMs))
  expect(await documents(topics.controlHistory)).toEqual([document])
  expect(await listGenerations(artifacts)).toEqual([document!.live])
  expect(await loadGeneration(artifacts, document!.live!)).toMatchObject({
    kind: 'bootstrap',
    seed: 17,
  })
  await first.stop()
  await (await start('a')).stop()
  expect(await documents(topics.control)).toEqual([document])
})

test('a generation that could not be written whole is never named by a document', async () => {
  const { topics, artifacts, start, documents } = await rig()
  const failing = {
    ...artifacts,
    put: (name: string, parts: readonly Uint8Array[]) =>
      name.endsWith('manifest.json')
        ? Promise.reject(new Error('disk full'))
        : artifacts.put(name, parts),
  }
  await expect(start('a', { artifacts: failing })).rejects.toThrow('disk full')
  expect(await documents(topics.control)).toEqual([])
  expect(await listGenerations(artifacts)).toEqual([])
  await start('b')
  const [document] = await documents(topics.control)
  expect(await listGenerations(artifacts)).toEqual([document!.live])
}, 40_000)

test('of two controllers the second takes over and the first stands by until the second is gone', async () => {
  const { topics, start, documents } = await rig()
  const first = await start('a', { silentMs: 2_500 })
  const second = await start('b', { silentMs: 2_500 })
  await vi.waitFor(() => {
    expect(first.messages).toContain('another controller has taken over: standing by')
  }, within)
  await new Promise((resolve) => setTimeout(resolve, 3_500))
  expect([first.takeovers(), second.takeovers()]).toEqual([1, 1])
  expect(second.messages).not.toContain('another controller has taken over: standing by')
  await second.stop()
  await vi.waitFor(() => expect(first.takeovers()).toBe(2), within)
  expect(await documents(topics.control)).toHaveLength(1)
}, 40_000)

test('a live generation whose files are gone is said, with what to do', async () => {
  const { start, dir } = await rig()
  await (await start('a')).stop()
  await fs.rm(path.join(dir, 'generations'), { recursive: true })
  const { messages } = await start('a')
  expect(messages).toContainEqual(expect.stringContaining('freshet reset'))
})

test('a watcher gets the newest document, then each newer one, and nothing that cannot be read', async () => {
  const { topics, kafka } = await rig()
  const producer = await kafka.producer()
  const send = (value: Buffer) =>
    producer.send([{ topic: topics.control, key: 'control', value, timestampMs: 0 }])
  const document = (epoch: number) => ({ ...firstDocument(`g${epoch}`, 0), epoch })
  await send(encodeControlDocument(document(1)))
  await send(encodeControlDocument(document(2)))
  const epochs: number[] = []
  const watch = await watchControl(kafka, topics.control, silentLog, ({ epoch }) => {
    epochs.push(epoch)
  })
  onTestFinished(() => watch.close())
  expect(epochs).toEqual([2])
  await send(Buffer.from('garbage'))
  await send(encodeControlDocument(document(1)))
  await send(encodeControlDocument(document(3)))
  await vi.waitFor(() => expect(epochs).toEqual([2, 3]), within)
})
