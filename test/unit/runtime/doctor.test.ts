import fs from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { configSchema } from '../../../src/config/schema.ts'
import { examineFolder, storedGenerations } from '../../../src/runtime/doctor/disk.ts'
import { examineHost } from '../../../src/runtime/doctor/host.ts'
import { told, untold, within } from '../../../src/runtime/doctor/told.ts'
import { openDirectoryStore } from '../../../src/runtime/generation/artifact-store.ts'
import { bootstrapGeneration, writeGeneration } from '../../../src/runtime/generation/generation.ts'
import { temporaryDir } from '../../support/own-servers.ts'

const model = { dim: 4, outputDim: 4, temperature: 0.1, user: { features: [], hidden: [4] } }

test('what fails or takes too long is told as why, and never thrown', async () => {
  expect(await within(1_000, () => Promise.resolve(3))).toEqual(told(3))
  const failing = () => Promise.reject(new Error('refused'))
  expect(await within(1_000, failing)).toEqual(untold('refused'))
  const pending = () => new Promise<never>(() => {})
  expect(await within(10, pending)).toEqual(untold('no answer within 0.01 s'))
})

test('a folder is looked at, also one that is still to be made, and what a writer left there', async () => {
  const dir = await temporaryDir(onTestFinished)
  await fs.mkdir(path.join(dir, 'deep'))
  await fs.writeFile(path.join(dir, 'deep', 'rows.7.tmp'), '')
  const nowMs = Date.now() + 3_600_000
  const found = await examineFolder(dir, nowMs)
  expect(found).toMatchObject({ folder: dir, problem: null })
  expect(found.freeBytes).toBeGreaterThan(0)
  expect(found.leftovers.map(({ file }) => file)).toEqual([path.join(dir, 'deep', 'rows.7.tmp')])
  expect(found.leftovers[0]!.ageMs).toBeGreaterThan(3_500_000)
  const missing = await examineFolder(path.join(dir, 'not', 'yet'), nowMs)
  expect(missing).toMatchObject({ problem: null, leftovers: [] })
})

test('a folder that cannot be made, because a file is in its place, is said', async () => {
  const dir = await temporaryDir(onTestFinished)
  const file = path.join(dir, 'file')
  await fs.writeFile(file, '')
  expect((await examineFolder(file, 0)).problem).toBe(`${file} is not a folder`)
  expect((await examineFolder(path.join(file, 'below'), 0)).problem).toBe(`${file} is not a folder`)
})

test('a stored generation is held against the sizes in its manifest', async () => {
  const store = openDirectoryStore(await temporaryDir(onTestFinished))
  const spec = { ...model, item: model.user, popularityHalfLifeHours: 24 }
  await writeGeneration(store, bootstrapGeneration('g1', spec, 1, 0))
  await writeGeneration(store, bootstrapGeneration('g2', spec, 1, 0))
  await store.put('generations/g2/item-ids.avro', [Buffer.from('cut')])
  await store.put('generations/g3/manifest.json', [Buffer.from('{')])
  const found = await storedGenerations(store)
  expect(found.map(({ id, problems }) => [id, problems.length])).toEqual([
    ['g1', 0],
    ['g2', 1],
    ['g3', 1],
  ])
  expect(found[1]!.problems[0]).toMatch(/^item-ids.avro has 3 bytes, the manifest says \d+$/)
})

test('a metrics port that another program holds is told from one that freshet holds', async () => {
  const examine = async (answer: string) => {
    const server = net.createServer((socket) => {
      socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\n\r\n${answer}`))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const { port } = server.address() as net.AddressInfo
    return (await examineHost(configSchema.parse({ metrics: { port } }))).metricsPort
  }
  expect(await examine('hello')).toEqual({ holder: 'another', problem: null })
  expect(await examine('# TYPE freshet_events_total counter\n')).toMatchObject({
    holder: 'freshet',
  })
  const free = await examineHost(configSchema.parse({ metrics: { port: 0 } }))
  expect(free.metricsPort).toEqual({ holder: 'nobody', problem: null })
  expect(free.memoryBytes).toBeGreaterThan(0)
  const elsewhere = await examineHost(configSchema.parse({ metrics: { host: '192.0.2.1' } }))
  expect(elsewhere.metricsPort).toMatchObject({ problem: expect.stringContaining('192.0.2.1') })
})
