import { Redis } from 'ioredis'
import { expect, onTestFinished, test } from 'vitest'
import { ownBroker, ownRedis } from '../support/own-servers.ts'
import { dim, eventually, randomGeneration, recallRig } from '../support/recall-rig.ts'
import type { RecallRig } from '../support/recall-rig.ts'
import { randomFrom, unitVector } from '../support/vectors.ts'

const row = unitVector(dim, randomFrom(8))

async function withUser(rig: RecallRig): Promise<void> {
  await rig.store.waitUntilReachable(AbortSignal.timeout(5_000))
  await rig.sentinels('g1')
  await rig.user('g1', 'known', { row, offset: 7, eventTimeMs: 5_000 })
}

function statusesOf(replies: readonly { readonly status: string }[]): string[] {
  return [...new Set(replies.map(({ status }) => status))].sort()
}

test('Redis stopped or emptied: the last known row, then the default one, never a cold user', async () => {
  const redis = await ownRedis(onTestFinished)
  const rig = await recallRig(onTestFinished, { redisUrl: redis.address })
  await rig.publish(randomGeneration('g1', 'item-', 20))
  await rig.control({ live: 'g1' })
  await withUser(rig)
  await rig.startPod()
  const ask = (userId: string) => rig.client.recall({ userId, k: 10 })
  const good = await ask('known')
  const cold = await ask('stranger')
  expect([good.status, cold.status]).toEqual(['OK', 'COLD_USER'])

  const admin = new Redis(redis.address)
  await admin.flushall()
  admin.disconnect()
  const emptied = await ask('known')
  expect(emptied).toMatchObject({
    status: 'DEGRADED',
    items: good.items,
    userEventTime: new Date(5_000),
  })
  expect(await ask('stranger')).toMatchObject({ status: 'DEGRADED', items: cold.items })

  await redis.stop()
  const startedAt = performance.now()
  const away = await Promise.all(['known', 'stranger', 'known', 'other'].map(ask))
  expect(statusesOf(away)).toEqual(['DEGRADED'])
  expect(away[0]?.items).toEqual(good.items)
  expect(away[0]?.message).toContain('served with the last known row')
  expect(away[3]?.items).toEqual(cold.items)
  expect(performance.now() - startedAt).toBeLessThan(4_000)

  await redis.restart()
  // It came back empty: still nobody is cold.
  const replies = await eventually(
    () => Promise.all(['known', 'stranger'].map(ask)),
    ([known]) => known?.message.includes('not loaded') === true,
  )
  expect(statusesOf(replies)).toEqual(['DEGRADED'])
  await withUser(rig)
  const healed = await eventually(
    () => Promise.all(['known', 'stranger'].map(ask)),
    (both) => both.every(({ status }) => status !== 'DEGRADED'),
  )
  expect(healed.map(({ status }) => status)).toEqual(['OK', 'COLD_USER'])
})

test('the broker killed and restarted: pod and client go on', async () => {
  const broker = await ownBroker(onTestFinished)
  const rig = await recallRig(onTestFinished, { brokers: [broker.address] })
  await rig.publish(randomGeneration('g1', 'item-', 20))
  await rig.control({ live: 'g1' })
  await withUser(rig)
  await rig.startPod()
  expect((await rig.client.recall({ userId: 'known', k: 3 })).status).toBe('OK')

  await broker.kill()
  const lost = rig.client.recall({ userId: 'known', k: 3, timeoutMs: 300 })
  await expect(lost).rejects.toMatchObject({ code: 'TIMEOUT' })

  await broker.restart()
  const after = await eventually(
    () => rig.client.recall({ userId: 'known', k: 3, timeoutMs: 1_000 }).catch(() => null),
    (reply) => reply !== null,
    30_000,
  )
  expect(after?.status).toBe('OK')
  const near = unitVector(dim, randomFrom(1))
  await rig.overrides({ generation: 'g1', sequence: 1, vectors: { fresh: near } })
  const fresh = await eventually(
    () => rig.client.recall({ userId: 'known', k: 30, timeoutMs: 2_000 }),
    ({ overrideSequence }) => overrideSequence === 1,
  )
  expect(fresh.items.map(({ itemId }) => itemId)).toContain('fresh')
})
