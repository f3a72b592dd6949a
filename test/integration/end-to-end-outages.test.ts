import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { expect, inject, onTestFinished, test, vi } from 'vitest'
import { endOrphans } from '../../src/runtime/local/orphans.ts'
import { describeStrike } from '../support/kill-plan.ts'
import { killRun } from '../support/kill-run.ts'
import { deployment } from '../support/deployment.ts'
import { liveSystem } from '../support/live-system.ts'
import { eventually } from '../support/recall-rig.ts'
import { cacheDir, ownBroker, ownRedis, temporaryDir } from '../support/own-servers.ts'
import { startRole } from '../support/role-process.ts'
import { clickTrial } from '../support/trials.ts'

test('the broker and Redis killed in the middle of it all: everything recovers, nothing is lost', async () => {
  const broker = await ownBroker(onTestFinished)
  const redis = await ownRedis(onTestFinished)
  const report = await killRun(onTestFinished, {
    ...{ seed: 201, brokers: [broker.address], redisUrl: redis.address },
    ...{ servers: { broker, redis }, events: 10_000, perSecond: 2_000 },
  })
  expect(report.problems, report.strikes.map(describeStrike).join('\n')).toEqual([])
  expect(report.examples).toBe(report.expected)
  expect(report.expected).toBeGreaterThan(3_000)
})

test('Redis away at the start: recall is DEGRADED, and what was clicked meanwhile shows when it comes', async () => {
  const redis = await ownRedis(onTestFinished)
  await redis.stop()
  const system = await liveSystem(onTestFinished, {
    ...{ brokers: inject('kafkaBrokers'), redisUrl: redis.address, eventsPerSecond: 50 },
  })
  const { client, roles } = system
  await roles.pod.waitForLog(({ msg }) => msg.startsWith('Redis is away'))
  const reply = await client.recall({ userId: 'somebody', k: 5, timeoutMs: 10_000 })
  expect(reply.status).toBe('DEGRADED')
  const comesBack = (async () => {
    await roles.learner.waitForLog(({ msg }) => msg.startsWith('Redis is away'))
    await redis.restart()
  })()
  await clickTrial(system, 'somebody', 'while-away')
  await comesBack
})

test('the broker away at the start: a role says what it waits for, and works when it comes', async () => {
  const broker = await ownBroker(onTestFinished)
  await broker.stop()
  const target = await deployment(onTestFinished, {
    ...{ brokers: [broker.address], redisUrl: inject('redisUrl'), hasTopics: false },
  })
  const controller = target.role('controller')
  const { url } = await controller.waitForLog((line) => line['url'] !== undefined)
  const ready = async () => {
    const response = await fetch(`${String(url)}/readyz`)
    return { status: response.status, text: await response.text() }
  }
  expect(await ready()).toMatchObject({ status: 503 })
  expect((await ready()).text).toContain(`waiting for ${broker.address}`)
  await controller.waitForLog(({ msg }) => msg.includes('Kafka'))
  await broker.restart()
  await controller.waitForLog(({ msg }) => msg === 'controlling')
  expect(await eventually(ready, ({ status }) => status === 200)).toMatchObject({ status: 200 })
  expect(await controller.stop()).toBe(0)
})

test('a start whose servers were killed ends when it is told to and says what it leaves; its stateDir holds all it stored', async () => {
  const dir = await temporaryDir(onTestFinished)
  const runDir = path.join(dir, '.freshet/run')
  mkdirSync(path.join(dir, '.freshet'))
  symlinkSync(cacheDir, path.join(dir, '.freshet/cache'))
  onTestFinished(async () => void (await endOrphans(runDir)))
  const settings = ['--set', 'stateDir=runs/a', '--set', 'metrics.port=0']
  const start = startRole(onTestFinished, {
    ...{ name: 'start', dir, args: ['start', '--rate', '20', ...settings] },
  })
  const said = () => readFileSync(start.logFile, 'utf8')
  await vi.waitFor(() => expect(said()).toContain('pod: recall is ready'), 60_000)

  for (const server of ['kafka', 'redis']) {
    const { pid } = JSON.parse(readFileSync(path.join(runDir, `${server}.json`), 'utf8')) as {
      pid: number
    }
    process.kill(pid, 'SIGKILL')
  }
  for (const heard of ['Redis is away', 'waiting for Kafka at']) {
    await vi.waitFor(() => expect(said()).toContain(heard), 30_000)
  }
  expect(await start.stop(60_000)).toBe(1)
  expect(said()).toMatch(
    /controller: stopped before it had finished; nothing is lost .*again=deciding/,
  )
  expect(said()).toMatch(/learner: stopped before it had finished; nothing is lost/)
  expect(said()).toMatch(
    /^freshet: stopped before everything was written \(.*\)\. Nothing is lost/m,
  )

  expect(existsSync(path.join(dir, '.freshet/data'))).toBe(false)
  expect(await readdir(path.join(dir, 'runs/a/data'))).toEqual(['kafka', 'profile', 'redis'])
  expect(await readdir(path.join(dir, 'runs/a/artifacts/generations'))).toHaveLength(1)
})
