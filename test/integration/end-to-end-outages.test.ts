import { expect, inject, onTestFinished, test } from 'vitest'
import { describeStrike } from '../support/kill-plan.ts'
import { killRun } from '../support/kill-run.ts'
import { deployment } from '../support/deployment.ts'
import { liveSystem } from '../support/live-system.ts'
import { eventually } from '../support/recall-rig.ts'
import { ownBroker, ownRedis } from '../support/own-servers.ts'
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
