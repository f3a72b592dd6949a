import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, inject, onTestFinished, test, vi } from 'vitest'
import { readControl } from '../../src/runtime/control.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { bootstrapGeneration, writeGeneration } from '../../src/runtime/generation/generation.ts'
import { importGeneration } from '../../src/runtime/generation/import.ts'
import type { Deployment } from '../support/deployment.ts'
import { liveSystem, type LiveSystem } from '../support/live-system.ts'
import { opaqueExport } from '../support/opaque.ts'
import { silentLog } from '../support/own-servers.ts'
import { askUntil, clickTrial, idsOf, itemTrial } from '../support/trials.ts'

const within = { timeout: 60_000, interval: 100 }

test('with gradient graphs a click changes recall; without them rows stay frozen, and all say so', async () => {
  const system = await liveSystem(onTestFinished, {
    ...{ brokers: inject('kafkaBrokers'), redisUrl: inject('redisUrl'), eventsPerSecond: 50 },
    settings: { generations: { first: 'theirs' } },
    prepare: ({ dir, config }) => importTheirs(dir, config),
  })
  const { target, topics, roles } = system
  const { kafka, dir, run } = target
  await clickTrial(system, 'outside', 'click-1')
  await itemTrial(system, 'outside', 'item-1')

  for (const side of ['user', 'item']) {
    await fs.rm(path.join(dir, 'elsewhere', `${side}-tower-gradient.onnx`))
  }
  const imported = await run('import', path.join(dir, 'elsewhere'), '--id', 'frozen')
  expect(imported).toMatchObject({ code: 0, stderr: '' })
  expect(imported.stdout).toContain('note: user and item rows stay frozen: import it with user-to')
  expect(imported.stdout).not.toContain('rows learn online')
  await vi.waitFor(async () => {
    expect((await readControl(kafka, topics.control, silentLog))!.live).toBe('frozen')
  }, within)
  await roles.learner.waitForLog(({ msg }) => msg?.startsWith('user and item rows stay') === true)
  await frozenTrial(system, 'outside', 'click-2')
  await itemTrial(system, 'outside', 'item-2')
  const [status, generations] = await Promise.all([run('status'), run('generations')])
  expect(status.stdout).toMatch(/learner .* frozen user and item rows/)
  expect(generations.stdout).toContain('note: frozen: user and item rows stay frozen: import it')
})

async function importTheirs(dir: string, { model, artifacts }: Deployment['config']) {
  const { seed, engine: _, ...own } = model
  await opaqueExport(bootstrapGeneration('source', own, seed, 0), path.join(dir, 'elsewhere'))
  const names = (side: 'user' | 'item') => own[side].features.map(({ name }) => name)
  const { generation } = await importGeneration(openDirectoryStore(dir), 'elsewhere', {
    ...{ id: 'theirs', day: null, rowNormMax: 10, nowMs: 0 },
    features: { user: names('user'), item: names('item') },
  })
  await writeGeneration(openDirectoryStore(artifacts.dir), generation)
}

/** A click, after which the clicked item is left out, and nothing else is another than before. */
async function frozenTrial(system: LiveSystem, userId: string, name: string): Promise<void> {
  const { client, producer, topics } = system
  const ask = () => client.recall({ userId, k: 20, timeoutMs: 10_000 })
  const isOurs = ({ generation }: { generation: string }) => generation === 'frozen'
  const before = await askUntil(ask, (reply) => isOurs(reply) && reply.items.length === 20, 'items')
  const items = idsOf(before)
  const message = (body: object) => ({ key: userId, value: JSON.stringify(body) })
  const about = { request_id: name, user_id: userId, event_time: Date.now() }
  await producer.send({ topic: topics.impressions, messages: [message({ ...about, items })] })
  const click = { ...about, item_id: items[3], event_time: Date.now() }
  await producer.send({ topic: topics.clicks, messages: [message(click)] })
  const after = await askUntil(ask, (reply) => !idsOf(reply).includes(items[3]!), 'the click')
  expect(after).toMatchObject({ status: 'OK', userEventTime: null, learnedThrough: null })
  const scores = new Map(after.items.map(({ itemId, score }) => [itemId, score]))
  const known = before.items.filter(({ itemId }) => scores.has(itemId))
  expect(known.length).toBeGreaterThan(15)
  for (const { itemId, score } of known) expect(scores.get(itemId)).toBe(score)
}
