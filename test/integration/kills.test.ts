import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, inject, onTestFinished, test } from 'vitest'
import { describeStrike } from '../support/kill-plan.ts'
import { killRun } from '../support/kill-run.ts'
import { liveSystem } from '../support/live-system.ts'
import { ownRedis } from '../support/own-servers.ts'
import { askUntil, clickTrial } from '../support/trials.ts'

// bench/kills.ts runs many more seeds, and longer.
test.for([101, 102])(
  'seed %i: whatever is killed, frozen or emptied, nothing is lost, doubled or stale',
  async (seed) => {
    const redis = await ownRedis(onTestFinished)
    const report = await killRun(onTestFinished, {
      ...{ seed, brokers: inject('kafkaBrokers'), redisUrl: redis.address },
      ...{ events: 12_000, perSecond: 2_000 },
    })
    expect(report.problems, report.strikes.map(describeStrike).join('\n')).toEqual([])
    expect(report.examples).toBe(report.expected)
    // Each of these would make the comparison empty.
    expect(report.expected).toBeGreaterThan(4_000)
    expect(report.cuts).toBeGreaterThan(10)
    expect(report.rows).toBeGreaterThan(200)
    expect(report.recalls['OK']).toBeGreaterThan(5)
  },
)

test('Redis emptied while the learner sleeps: DEGRADED until it has loaded everything, and nobody is cold', async () => {
  const redis = await ownRedis(onTestFinished)
  const system = await liveSystem(onTestFinished, {
    ...{ brokers: inject('kafkaBrokers'), redisUrl: redis.address, eventsPerSecond: 100 },
  })
  const { client, roles } = system
  await clickTrial(system, 'known', 'first')
  const ask = () => client.recall({ userId: 'known', k: 10, timeoutMs: 10_000 })
  const before = await ask()
  expect(before.status).toBe('OK')

  roles.learner.freeze()
  const admin = new Redis(redis.address)
  await admin.flushall()
  admin.disconnect()
  for (let i = 0; i < 20; i++) {
    const reply = await ask()
    expect(reply).toMatchObject({ status: 'DEGRADED', userEventTime: before.userEventTime })
    expect((await client.recall({ userId: 'stranger', k: 1, timeoutMs: 10_000 })).status).toBe(
      'DEGRADED',
    )
    await sleep(20)
  }
  roles.learner.thaw()
  const seen = new Set<string>()
  const healed = await askUntil(
    async () => {
      const reply = await ask()
      seen.add(reply.status)
      return reply
    },
    ({ status }) => status === 'OK',
    'the reload',
  )
  seen.delete('DEGRADED')
  expect([...seen]).toEqual(['OK'])
  expect(healed.userEventTime).toEqual(before.userEventTime)
})
