import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, inject, onTestFinished, test, vi } from 'vitest'
import { readControl } from '../../src/runtime/control.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import { loadGeneration } from '../../src/runtime/generation/generation.ts'
import { liveSystem } from '../support/live-system.ts'
import { silentLog } from '../support/own-servers.ts'

const within = { timeout: 60_000, interval: 100 }

test('a generation that was exported is imported under another id, goes live and is rolled back', async () => {
  const { target, topics, client } = await liveSystem(onTestFinished, {
    ...{ brokers: inject('kafkaBrokers'), redisUrl: inject('redisUrl'), eventsPerSecond: 100 },
  })
  const { kafka, config, dir, run } = target
  const document = async () => (await readControl(kafka, topics.control, silentLog))!
  const first = (await document()).live!
  const folder = path.join(dir, 'exported')
  expect(await run('export', first, folder)).toMatchObject({ code: 0, stderr: '' })

  const imported = await run('import', folder, '--id', 'theirs')
  expect(imported).toMatchObject({ code: 0, stderr: '' })
  expect(imported.stdout).toContain('theirs goes live once it is indexed, loaded and has caught up')
  await vi.waitFor(async () => expect((await document()).live).toBe('theirs'), within)
  expect((await document()).states).toMatchObject({ theirs: 'live', [first]: 'retired' })
  const store = openDirectoryStore(config.artifacts.dir)
  const [theirs, ours] = await Promise.all(
    ['theirs', first].map((id) => loadGeneration(store, id, { for: 'training' })),
  )
  expect(theirs!.dense).toEqual(ours!.dense)
  expect(theirs!.itemVectors).toEqual(ours!.itemVectors)
  await vi.waitFor(async () => {
    const reply = await client.recall({ userId: 'somebody', k: 5 })
    expect(reply).toMatchObject({ generation: 'theirs' })
    expect(reply.items).toHaveLength(5)
  }, within)
  expect((await run('generations')).stdout).toMatch(/theirs +- +live +- +- +imported/)

  const early = await run('import', folder, '--day', '2020-01-01', '--id', 'early')
  expect(early.code).toBe(2)
  expect(early.stderr).toContain('--id imported-2020-01-01-NAME')
  const again = await run('import', folder, '--id', 'theirs')
  expect(again.code).toBe(1)
  expect(again.stderr).toContain('it exists already')
  expect((await run('import', folder, '--id', 'later', '--no-offer')).stdout).toContain(
    'freshet approve later lets it go live',
  )
  expect((await document()).states).not.toHaveProperty('later')

  expect(await run('rollback')).toMatchObject({
    ...{ code: 0, stdout: `${first} is live again; theirs is rejected\n` },
  })
  expect(await run('approve', 'later')).toMatchObject({ code: 0 })
  await vi.waitFor(async () => expect((await document()).live).toBe('later'), within)
  await fs.rm(folder, { recursive: true })
})
