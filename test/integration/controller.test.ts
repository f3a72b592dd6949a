import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { encodeControlDocument } from '../../src/records/codec.ts'
import { watchControl } from '../../src/runtime/control.ts'
import {
  bootstrapGeneration,
  listGenerations,
  loadGeneration,
  writeGeneration,
} from '../../src/runtime/generation/generation.ts'
import { firstDocument } from '../../src/streams/controller.ts'
import { controllerRig as rig, within } from '../support/controller-rig.ts'
import { silentLog } from '../support/own-servers.ts'

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

test('with generations.first it begins with a copy of that generation, under an id that no other deployment has had', async () => {
  const { config, topics, artifacts, start, documents } = await rig({
    generations: { first: 'history' },
  })
  const { seed, engine: _, ...model } = config.model
  const history = bootstrapGeneration('history', model, seed, 0)
  const cuts = { examples: [7, 7], items: [7] }
  await writeGeneration(artifacts, { ...history, cuts })
  await start('a')
  const [document] = await documents(topics.control)
  expect(document!.live).toMatch(/^history-\d{8}-\d{6}-[0-9a-f]{4}$/)
  expect((await listGenerations(artifacts)).sort()).toEqual(['history', document!.live])
  const first = await loadGeneration(artifacts, document!.live!, { for: 'training' })
  const { id: _id, parent, cuts: none, createdAtMs: _at, ...contents } = first
  expect({ parent, none }).toEqual({ parent: 'history', none: null })
  expect(history).toMatchObject(contents)
})

test('a generations.first that is not there ends the controller, which names it and says what to do', async () => {
  const { topics, start, documents } = await rig({ generations: { first: 'histroy' } })
  await expect(start('a')).rejects.toThrow(/generations\.first is histroy: .*freshet generations/)
  expect(await documents(topics.control)).toEqual([])
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
  const first = await start('a', { silentMs: 5_000 })
  const second = await start('b', { silentMs: 5_000 })
  await vi.waitFor(() => {
    expect(first.messages).toContain('another controller has taken over: standing by')
  }, within)
  await new Promise((resolve) => setTimeout(resolve, 6_000))
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
