import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { fetchBroker, startBroker } from '../../../src/runtime/local/kafka-broker.ts'
import { fetchRedisServer, startRedis } from '../../../src/runtime/local/redis-server.ts'
import { endOrphans } from '../../../src/runtime/local/orphans.ts'
import { cacheDir, silentLog, temporaryDir } from '../../support/own-servers.ts'
import { startRole } from '../../support/role-process.ts'

test('a broker whose owner was killed is ended by the next start, which goes on with its data', async () => {
  const dir = await temporaryDir(onTestFinished)
  const orphan = await orphanOf('kafka', dir)
  const broker = await startBroker({
    ...{ libsDir: await fetchBroker(cacheDir), dataDir: path.join(dir, 'kafka') },
    ...{ runDir: path.join(dir, 'run'), log: silentLog },
  })
  onTestFinished(() => broker.stop())
  expect(isAlive(orphan.pid)).toBe(false)
  expect(broker.bootstrap).toBe(orphan.address)
})

test('reset ends orphans and forgets their records', async () => {
  const dir = await temporaryDir(onTestFinished)
  const orphan = await orphanOf('redis', dir)
  const ended = await endOrphans(path.join(dir, 'run'))
  expect(ended).toMatchObject([{ name: 'redis', pid: orphan.pid }])
  expect(isAlive(orphan.pid)).toBe(false)
  expect(await fs.readdir(path.join(dir, 'run'))).toEqual([])
})

test('after a start that was killed, freshet reset ends its servers and forgets all that it stored', async () => {
  const dir = await temporaryDir(onTestFinished)
  const folder = path.join(dir, '.freshet')
  await fs.mkdir(folder)
  await fs.symlink(cacheDir, path.join(folder, 'cache'))
  const args = ['start', '--set', 'metrics.port=0']
  const start = startRole(onTestFinished, { name: 'start', dir, args })
  const instance = () => fs.readFile(path.join(folder, 'instance.json'), 'utf8')
  await vi.waitFor(instance, { timeout: 60_000, interval: 100 })
  await start.kill()
  const reset = startRole(onTestFinished, { name: 'reset', dir, args: ['reset'] })
  const said = () => fs.readFile(reset.logFile, 'utf8')
  await vi.waitFor(async () => expect(await said()).toContain('forgotten: .freshet/data'), 30_000)
  expect(await said()).toMatch(/^ended kafka .*\nended redis .*\n/)
  expect(await fs.readdir(folder)).toEqual(['cache'])
})

test('a record that cannot be read is named', async () => {
  const dir = await temporaryDir(onTestFinished)
  for (const text of ['', '{"name":"redis"}']) {
    await fs.writeFile(path.join(dir, 'redis.json'), text)
    await expect(endOrphans(dir)).rejects.toMatchObject({
      code: 'FILE_INVALID',
      message: `${path.join(dir, 'redis.json')} is no run record: delete it`,
    })
  }
})

test('a process that merely has the recorded pid is left alone', async () => {
  const dir = await temporaryDir(onTestFinished)
  const bystander = spawn('sleep', ['60'])
  onTestFinished(() => void bystander.kill('SIGKILL'))
  const record = {
    name: 'redis',
    pid: bystander.pid,
    ownerPid: 1,
    marker: 'freshet-other',
    dataDir: dir,
  }
  await fs.writeFile(path.join(dir, 'redis.json'), JSON.stringify(record))
  expect(await endOrphans(dir)).toEqual([])
  expect(isAlive(bystander.pid!)).toBe(true)
})

test('a second start on the same data is refused while the first runs', async () => {
  const options = await redisOptions(await temporaryDir(onTestFinished))
  const first = await startRedis(options)
  onTestFinished(() => first.stop())
  const second = startRedis(options)
  await expect(second).rejects.toMatchObject({
    code: 'ALREADY_RUNNING',
    message: expect.stringContaining(String(process.pid)),
  })
  expect(isAlive(first.pid)).toBe(true)
})

test('a port that somebody else holds is named', async () => {
  const port = await takePort()
  const dir = await temporaryDir(onTestFinished)
  const expected = { code: 'PORT_TAKEN', message: expect.stringContaining(`Port ${port}`) }
  await expect(startRedis({ ...(await redisOptions(dir)), port })).rejects.toMatchObject(expected)
  const libsDir = await fetchBroker(cacheDir)
  const brokerOptions = { libsDir, dataDir: dir, runDir: dir, log: silentLog, port }
  await expect(startBroker(brokerOptions)).rejects.toMatchObject(expected)
})

test('a server that ends at once fails with the end of its own log', async () => {
  const dir = await temporaryDir(onTestFinished)
  const options = await redisOptions(dir)
  await fs.mkdir(path.join(options.dataDir, 'appendonlydir'), { recursive: true })
  await fs.writeFile(path.join(options.dataDir, 'appendonly.aof'), 'no commands at all')
  await expect(startRedis({ ...options, persist: true })).rejects.toMatchObject({
    code: 'SERVER_FAILED',
    message: expect.stringMatching(/Bad file format/),
  })
})

async function redisOptions(dir: string): Promise<Parameters<typeof startRedis>[0]> {
  const binary = await fetchRedisServer(cacheDir)
  const folders = { dataDir: path.join(dir, 'redis'), runDir: path.join(dir, 'run') }
  return { binary, ...folders, persist: false, log: silentLog }
}

/** Starts a server in a process of its own, kills that process by SIGKILL, and says what it left behind. */
async function orphanOf(
  kind: 'kafka' | 'redis',
  dir: string,
): Promise<{ readonly pid: number; readonly address: string }> {
  const script = path.resolve(import.meta.dirname, '../../support/start-one-server.js')
  const owner = spawn(process.execPath, [script, kind, dir, cacheDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void owner.kill('SIGKILL'))
  const line = await new Promise<string>((resolve, reject) => {
    owner.stdout.setEncoding('utf8').once('data', resolve)
    owner.once('exit', (code) => reject(new Error(`the owner ended with ${code}`)))
  })
  const started = JSON.parse(line) as { readonly pid: number; readonly address: string }
  onTestFinished(() => void (isAlive(started.pid) && process.kill(started.pid, 'SIGKILL')))
  const gone = new Promise((resolve) => owner.once('close', resolve))
  owner.kill('SIGKILL')
  await gone
  await delay(100) // a server that left with its owner would be gone by now
  expect(isAlive(started.pid)).toBe(true)
  return started
}

/** A zombie is dead: where nothing reaps orphans, a signal still reaches its pid. */
function isAlive(pid: number): boolean {
  const state = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout
  return state.trim() !== '' && !state.startsWith('Z')
}

function takePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = net.createServer()
    onTestFinished(() => void server.close())
    server.listen(0, '127.0.0.1', () => resolve((server.address() as net.AddressInfo).port))
  })
}
