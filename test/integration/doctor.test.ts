import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import { expect, inject, onTestFinished, test } from 'vitest'
import { KafkaExaminer } from '../../src/runtime/kafka/examine.ts'
import { deployment } from '../support/deployment.ts'
import type { Deployment } from '../support/deployment.ts'
import { examine } from '../support/doctor-run.ts'
import { runShell } from '../support/operator-shell.ts'
import { ownRedis, silentLog } from '../support/own-servers.ts'
import { startRole } from '../support/role-process.ts'

/** Six faults, of topics, Redis and records. Nothing of the deployment runs. */
async function plantFaults(target: Deployment, redisUrl: string): Promise<void> {
  const { config, kafka, topics } = target
  const admin = new Kafka({ brokers: config.kafka.brokers, logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  onTestFinished(() => admin.disconnect())
  await admin.deleteTopics({ topics: [topics.recallRequests, topics.deadLetters] })
  const within = { timeout: 20_000 }
  for (const gone of [topics.recallRequests, topics.deadLetters]) {
    await expect.poll(() => kafka.topicExists(gone), within).toBe(false)
  }
  const configEntries = [{ name: 'retention.ms', value: '86400000' }]
  await admin.createTopics({
    topics: [{ topic: topics.recallRequests, numPartitions: 2, configEntries }],
    waitForLeaders: false,
  })
  await expect.poll(() => kafka.topicExists(topics.recallRequests), within).toBe(true)
  const examiner = new KafkaExaminer(config.kafka, silentLog)
  onTestFinished(() => Promise.resolve(examiner.close()))
  await examiner.open()
  await examiner.alterTopic(topics.events, { 'retention.ms': '60000' })
  await examiner.alterTopic(topics.snapshots, { 'max.message.bytes': '100000' })
  const { hostname, port } = new URL(redisUrl)
  const set = 'CONFIG SET maxmemory-policy allkeys-lru'
  await runShell(target.dir, `redis-cli -h ${hostname} -p ${port} ${set}`)
  const producer = await kafka.producer()
  onTestFinished(() => producer.close())
  const value = Buffer.from('c3010123456789abcdef00', 'hex')
  await producer.send([{ topic: topics.examples, key: 'u', value, timestampMs: Date.now() }])
}

test('a running deployment has no problem; planted faults are found, and what is printed mends them', async () => {
  const redis = await ownRedis(onTestFinished)
  const target = await deployment(onTestFinished, {
    ...{ brokers: inject('kafkaBrokers'), redisUrl: redis.address },
  })
  const { dir } = target
  const file = path.join(dir, 'freshet.yaml')
  const all = startRole(onTestFinished, { name: 'all', dir, args: ['all', '--config', file] })
  const isReady = ({ findings }: Awaited<ReturnType<typeof examine>>) =>
    findings.every(({ group, status }) => group !== 'control' || status === 'ok')
  let healthy = await examine(target)
  const deadlineMs = performance.now() + 60_000
  while (!isReady(healthy) && performance.now() < deadlineMs) {
    await sleep(500)
    healthy = await examine(target)
  }
  expect(healthy.findings.filter(({ status }) => status === 'problem')).toEqual([])
  expect(healthy).toMatchObject({ code: 0, problems: 0 })
  expect(isReady(healthy)).toBe(true)
  expect(new Set(healthy.findings.map(({ group }) => group)).size).toBe(10)
  await all.stop()

  await plantFaults(target, redis.address)
  const sick = await examine(target)
  const problems = sick.findings.filter(({ status }) => status === 'problem')
  expect(problems.map(({ group, check }) => `${group}/${check}`).sort()).toEqual([
    'redis/eviction',
    'schemas/schemas',
    'topics/message-size',
    'topics/partitions',
    'topics/retention',
    'topics/topics-exist',
  ])
  expect(sick).toMatchObject({ code: 1, problems: 6 })
  const unreadable = problems.find(({ check }) => check === 'schemas')
  expect(unreadable!.what).toContain('fingerprint efcdab8967452301 is not a known version')
  const only = await examine(target, '--only', 'topics,redis')
  expect(new Set(only.findings.map(({ group }) => group))).toEqual(new Set(['topics', 'redis']))

  const mending = only.findings.filter(({ status }) => status === 'problem')
  for (const { mend } of mending) await runShell(dir, mend!)
  const mended = await examine(target, '--only', 'topics,redis')
  expect(mended.findings.filter(({ status }) => status === 'problem')).toEqual([])
  expect(mended.code).toBe(0)
}, 180_000)

test('what cannot be looked at costs one time limit, and is no further problem', async () => {
  const target = await deployment(onTestFinished, {
    ...{ brokers: ['127.0.0.1:1'], redisUrl: 'redis://127.0.0.1:1', hasTopics: false },
  })
  const { code, findings } = await examine(target)
  const problems = findings.filter(({ status }) => status === 'problem')
  expect(problems.map(({ group, check }) => `${group}/${check}`)).toEqual([
    ...['brokers/reachable', 'redis/reachable'],
  ])
  expect(problems.map(({ why }) => why)).toEqual([
    ...[expect.stringContaining('ECONNREFUSED'), expect.stringContaining('ECONNREFUSED')],
  ])
  expect(code).toBe(1)
  const wrong = await examine(target, '--set', 'kafka.partition=2')
  expect(wrong).toMatchObject({ code: 1, problems: 1 })
  expect(wrong.findings[0]!.why).toContain('kafka.partition: unknown key')
  expect(await target.run('doctor', '--only', 'topic')).toMatchObject({
    ...{ code: 2, stderr: expect.stringContaining('topic is none of host, config') },
  })
  expect(await target.run('topics', '--topic', 'other')).toMatchObject({
    ...{ code: 2, stderr: expect.stringContaining("other is none of freshet's topics") },
  })
})

test('a transaction that outlives its time is a problem', async () => {
  const target = await deployment(onTestFinished, {
    ...{ brokers: inject('kafkaBrokers'), redisUrl: inject('redisUrl') },
    settings: { kafka: { transactionTimeoutMs: 1_000 } },
  })
  const { config, topics } = target
  const producer = new Kafka({
    ...{ brokers: config.kafka.brokers, logLevel: logLevel.NOTHING },
  }).producer({ transactionalId: `${topics.events}-test`, transactionTimeout: 60_000 })
  await producer.connect()
  onTestFinished(() => producer.disconnect())
  const transaction = await producer.transaction()
  onTestFinished(() => transaction.abort())
  const messages = [{ key: 'u', value: 'never committed' }]
  await transaction.send({ topic: topics.events, messages })
  const { findings } = await examine(target, '--only', 'groups')
  expect(findings.find(({ check }) => check === 'open-transactions')).toMatchObject({
    status: 'problem',
    what: expect.stringContaining(`${topics.events}/`),
    mend: expect.stringContaining('kafka-transactions.sh'),
  })
})
