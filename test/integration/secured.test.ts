import fs from 'node:fs/promises'
import path from 'node:path'
import { rootCertificates } from 'node:tls'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { encodeItem } from '../../src/records/codec.ts'
import { createKafkaClient } from '../../src/runtime/kafka/client.ts'
import { KafkaExaminer } from '../../src/runtime/kafka/examine.ts'
import { topicDefinitions } from '../../src/runtime/kafka/topics.ts'
import { RecallClient } from '../../src/runtime/recall-client.ts'
import { configSchema } from '../../src/config/schema.ts'
import { certificates } from '../support/certificates.ts'
import { deployment, type Deployment } from '../support/deployment.ts'
import { examine } from '../support/doctor-run.ts'
import { runShell } from '../support/operator-shell.ts'
import { silentLog, temporaryDir } from '../support/own-servers.ts'
import { startRole } from '../support/role-process.ts'
import type { RoleProcess } from '../support/role-process.ts'
import { securedKafka, type SecuredKafka } from '../support/secured-kafka.ts'
import { securedRedis, untilState, type SecuredRedis } from '../support/secured-redis.ts'
import { askUntil, clickTrial } from '../support/trials.ts'
import type { Outside } from '../support/trials.ts'

const cleanUps: (() => Promise<void>)[] = []
const onEnd = (cleanUp: () => Promise<void>) => void cleanUps.push(cleanUp)
const page = path.resolve(import.meta.dirname, '../../docs/production.md')
const redisPassword = 'redis-secret'

let kafka: SecuredKafka
let redis: SecuredRedis
let target: Deployment
let all: RoleProcess
let outside: Outside
let examiner: KafkaExaminer

beforeAll(async () => {
  const dir = await temporaryDir(onEnd)
  const options = { dir, ...certificates(['127.0.0.1']) }
  ;[kafka, redis] = await Promise.all([securedKafka(onEnd, options), securedRedis(onEnd, options)])
  target = await deployment(onEnd, {
    ...{ brokers: kafka.brokers, redisUrl: redis.url, hasTopics: false },
    settings: {
      kafka: { ...kafka.freshet, topicPrefix: 'freshet' },
      redis: {
        ...{ cluster: true, username: 'freshet', password: redisPassword },
        ...{ caFile: kafka.freshet.tls.caFile, keyPrefix: 'freshet:' },
      },
      learner: { admitAfterItems: 1 },
    },
  })
  await prepare()
  const file = path.join(target.dir, 'freshet.yaml')
  all = startRole(onEnd, { name: 'all', dir: target.dir, args: ['all', '--config', file] })
  outside = await connect()
}, 120_000)

afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp()
}, 60_000)

/** As an administrator: the topics, and what the page says that freshet may do, word by word. */
async function prepare(): Promise<void> {
  const { dir, config } = target
  const administrator = configSchema.parse({ kafka: kafka.admin }).kafka
  examiner = new KafkaExaminer(administrator, silentLog)
  onEnd(() => Promise.resolve(examiner.close()))
  await examiner.open()
  const client = createKafkaClient({ config: administrator, log: silentLog })
  onEnd(() => client.close())
  const single = createKafkaClient({
    config: { ...administrator, replicationFactor: 1 },
    log: silentLog,
  })
  onEnd(() => single.close())
  const definitions = topicDefinitions(config)
  const least = { 'min.insync.replicas': '1' }
  await single.createTopics(
    definitions
      .filter(({ topic }) => topic === target.topics.deadLetters)
      .map((each) => ({ ...each, config: { ...each.config, ...least } })),
  )
  await client.createTopics(definitions)
  const { caFile } = kafka.admin.tls
  const { username, password } = kafka.admin.sasl
  await fs.copyFile(caFile, path.join(dir, 'ca.pem'))
  await fs.writeFile(
    path.join(dir, 'client.properties'),
    `security.protocol=SASL_SSL
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="${username}" password="${password}";
ssl.truststore.type=PEM
ssl.truststore.location=ca.pem
`,
  )
  for (const line of await linesOfPage()) {
    if (line.startsWith('kafka')) await run(line.replace('kafka-1:9093', kafka.brokers[0]!))
    else {
      for (const address of redis.url.split(',')) {
        await run(line.replace('redis-1 -p 6379', `127.0.0.1 -p ${new URL(address).port}`))
      }
    }
  }
}

/** What the page says that an administrator runs. */
async function linesOfPage(): Promise<string[]> {
  const lines = (await fs.readFile(page, 'utf8')).split('\n')
  return lines.filter((line) => /^(kafka-acls\.sh|redis-cli .* ACL)/.test(line))
}

async function replicasOf(topic: string): Promise<number> {
  const { topics } = await examiner.cluster([topic])
  return Math.min(...topics[0]!.partitions.map(({ inSync }) => inSync))
}

function run(command: string): Promise<void> {
  return runShell(target.dir, command, { REDISCLI_AUTH: redis.adminPassword })
}

async function connect(): Promise<Outside> {
  const { brokers, topicPrefix } = target.config.kafka
  const { tls, sasl } = kafka.freshet
  const client = await RecallClient.connect({
    ...{ brokers, topicPrefix, sasl, ssl: { caFile: tls.caFile } },
  })
  onEnd(() => client.close())
  const producer = new Kafka({
    ...{ brokers: [...brokers], logLevel: logLevel.NOTHING },
    ssl: { ca: [await fs.readFile(tls.caFile, 'utf8')] },
    sasl: kafka.admin.sasl as { mechanism: 'plain'; username: string; password: string },
  }).producer()
  await producer.connect()
  onEnd(() => producer.disconnect())
  const features = { categorical: new Map(), numeric: new Map(), dense: new Map() }
  const messages = Array.from({ length: 30 }, (_, i) => {
    const itemId = `item-${i}`
    return { key: itemId, value: encodeItem({ itemId, title: itemId, createdAtMs: 0, features }) }
  })
  await producer.send({ topic: target.topics.items, messages })
  return { producer, client, topics: target.topics }
}

/** `group/check` of each problem, without repeats. */
function problemsOf({ findings }: Awaited<ReturnType<typeof examine>>): string[] {
  const problems = findings.filter(({ status }) => status === 'problem')
  return [...new Set(problems.map(({ group, check }) => `${group}/${check}`))]
}

function find({ findings }: Awaited<ReturnType<typeof examine>>, check: string) {
  return findings.find((one) => `${one.group}/${one.check}` === check && one.status !== 'ok')
}

function settings(tree: object): string[] {
  return Object.entries(tree).flatMap(([key, value]) => [
    '--set',
    `${key}=${JSON.stringify(value)}`,
  ])
}

test('a click that comes by TLS and SASL changes recall, with no more rights than the page says', async () => {
  await all.waitForLog(({ msg }) => msg === 'recall is ready', 60_000)
  await clickTrial(outside, 'u1', 'r1')
  const healthy = await examine(target)
  expect(problemsOf(healthy)).toEqual([])
  expect(healthy.code).toBe(0)
  const unknown = healthy.findings.filter(({ status }) => status === 'unknown')
  expect(unknown.map(({ check }) => check)).toEqual(['transactional-ids'])
}, 120_000)

test.each([
  [
    'passwords that are wrong',
    () => ({ 'kafka.sasl.password': 'wrong', 'redis.password': 'wrong' }),
    ['invalid credentials', 'FRESHET_KAFKA_PASSWORD'],
    ['WRONGPASS', 'FRESHET_REDIS_PASSWORD'],
  ],
  [
    'another authority',
    () => ({ 'kafka.tls.caFile': 'other.pem', 'redis.caFile': 'other.pem' }),
    ['certificate', 'kafka.tls.caFile'],
    ['certificate', 'redis.caFile'],
  ],
  [
    'a host that the certificates do not name',
    () => ({
      'kafka.brokers': kafka.brokers.map((address) => address.replace('127.0.0.1', 'localhost')),
      'redis.url': redis.url.replaceAll('127.0.0.1', 'localhost'),
    }),
    ["does not match certificate's altnames", 'advertised.listeners'],
    ["does not match certificate's altnames", 'redis.url'],
  ],
])('%s are told from each other', async (_, wrong, ofKafka, ofRedis) => {
  await fs.writeFile(path.join(target.dir, 'other.pem'), rootCertificates[0]!)
  const found = await examine(target, '--only', 'brokers,redis', ...settings(wrong()))
  expect(problemsOf(found)).toEqual(['brokers/reachable', 'redis/reachable'])
  expect(found.code).toBe(1)
  for (const [check, [why, mend]] of [
    ['brokers/reachable', ofKafka],
    ['redis/reachable', ofRedis],
  ] as const) {
    expect(find(found, check)).toMatchObject({
      ...{ why: expect.stringContaining(why!), mend: expect.stringContaining(mend!) },
    })
  }
})

test('a role says at once that its password is wrong, and again and again that the authority is', async () => {
  const { code, stderr } = await target.run(
    'joiner',
    ...settings({ 'kafka.sasl.password': 'wrong' }),
  )
  expect(code).toBe(1)
  expect(stderr).toContain('invalid credentials')
  expect(stderr).not.toContain('    at ')
  const file = path.join(target.dir, 'freshet.yaml')
  const args = ['joiner', '--config', file, ...settings({ 'kafka.tls.caFile': 'other.pem' })]
  const joiner = startRole(onTestFinished, { name: 'other-authority', dir: target.dir, args })
  const waiting = await joiner.waitForLog(({ msg }) => msg.startsWith('waiting for Kafka at'))
  expect(waiting['reason']).toContain('unable to verify')
})

test('SCRAM-SHA-256 does as well, and a certificate instead of a password, which has to be there', async () => {
  const { dir } = target
  const sha256 = settings({ 'kafka.sasl.mechanism': 'scram-sha-256' })
  const { brokers, tls } = kafka.mutual
  const none = settings({ 'kafka.brokers': brokers, 'kafka.sasl.mechanism': 'none' })
  const { certFile, keyFile } = tls
  const certificate = [
    ...none,
    ...settings({ 'kafka.tls.certFile': certFile, 'kafka.tls.keyFile': keyFile }),
  ]
  const answers = await Promise.all([
    target.run('status', ...sha256),
    target.run('status', ...certificate),
  ])
  for (const { code, stdout, stderr } of answers) {
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/learner +\d+ +learned/)
  }
  const args = ['joiner', '--config', path.join(dir, 'freshet.yaml'), ...none]
  const joiner = startRole(onTestFinished, { name: 'no-certificate', dir, args })
  const waiting = await joiner.waitForLog(({ msg }) => msg.startsWith('waiting for Kafka at'))
  expect(waiting['reason']).toMatch(/alert (bad certificate|certificate required)/)
  const found = await examine(target, '--only', 'brokers', ...none)
  expect(find(found, 'brokers/reachable')).toMatchObject({
    mend: expect.stringContaining('kafka.tls.certFile'),
  })
})

test('rights that are missing are named, and the commands that doctor prints give them', async () => {
  for (const admin of redis.admins) {
    await admin.acl('SETUSER', 'guest', 'on', '>guest', '~freshet:*', '+@all', '-evalsha')
  }
  const line = (await linesOfPage()).find((each) => each.includes('--topic'))!
  await run(line.replace('kafka-1:9093', kafka.brokers[1]!).replace('User:freshet', 'User:guest'))
  const guest = settings({
    ...{ 'kafka.sasl': kafka.guest.sasl, 'redis.username': 'guest', 'redis.password': 'guest' },
  })
  const { code, stderr } = await target.run('controller', ...guest)
  expect(code).toBe(1)
  expect(stderr).toContain('coordinator of freshet.start-up: Not authorized to access group')
  expect(stderr).not.toContain('    at ')
  const found = await examine(target, '--only', 'topics,rights,redis', ...guest)
  expect(problemsOf(found)).toEqual([
    ...['rights/group-rights', 'rights/transactional-ids', 'redis/scripts'],
  ])
  expect(found.findings.filter(({ check }) => check === 'group-rights').length).toBe(5)
  expect(find(found, 'topics/replicas')).toMatchObject({
    ...{ status: 'warning', what: `${target.topics.deadLetters} has 1 replica, configured are 3` },
  })
  for (const check of [
    ...['rights/group-rights', 'rights/transactional-ids', 'redis/scripts', 'topics/replicas'],
  ]) {
    await run(find(found, check)!.mend!)
  }
  await expect.poll(() => replicasOf(target.topics.deadLetters), { timeout: 20_000 }).toBe(3)
  const mended = await examine(target, '--only', 'topics,rights,redis', ...guest)
  expect(problemsOf(mended)).toEqual(['rights/group-rights'])
  expect(mended.findings.filter(({ check }) => check === 'group-rights').length).toBe(4)
  expect(find(mended, 'topics/replicas')).toBeUndefined()
}, 120_000)

test('a slot that no node has is a cluster that has failed', async () => {
  onTestFinished(async () => {
    await redis.admins[0]!.cluster('ADDSLOTS', 7, 8)
    await untilState(redis.admins, 'ok')
  })
  for (const admin of redis.admins) await admin.cluster('DELSLOTS', 7, 8)
  await untilState(redis.admins, 'fail')
  const found = await examine(target, '--only', 'redis')
  expect(problemsOf(found)).toEqual(['redis/cluster'])
  expect(find(found, 'redis/cluster')).toMatchObject({
    what: 'the cluster is fail',
    mend: expect.stringContaining(
      `redis-cli --tls --cacert ${target.config.redis.caFile} --cluster fix`,
    ),
  })
}, 120_000)

test('with a Redis primary gone replies are DEGRADED; once it is back, and empty, every user has the row of before', async () => {
  const { client } = outside
  const ask = (userId: string) => client.recall({ userId, k: 5, timeoutMs: 20_000 })
  const users = Array.from({ length: 8 }, (_, i) => `redis-user-${i}`)
  for (const user of users) await clickTrial(outside, user, user)
  const before = new Map(
    await Promise.all(users.map(async (user) => [user, await ask(user)] as const)),
  )
  await redis.kill(0)
  const isDegraded = async () =>
    (await Promise.all(users.map(ask))).some(({ status }) => status === 'DEGRADED')
  await expect.poll(isDegraded, { timeout: 30_000 }).toBe(true)
  await redis.restart(0)
  await untilState(redis.admins, 'ok')
  for (const [user, { userEventTime, userOffset }] of before) {
    const reply = await askUntil(
      () => ask(user),
      ({ status }) => status === 'OK',
      user,
    )
    expect(reply).toMatchObject({ userEventTime, userOffset })
  }
  expect(before.get(users[0]!)!.userOffset).not.toBeNull()
  await clickTrial(outside, users[0]!, 'after-redis')
}, 120_000)

test('with one broker gone a click still changes recall, and doctor says what is left', async () => {
  await kafka.kill(0)
  await clickTrial(outside, 'u2', 'r2')
  const topic = target.topics.controlHistory
  const server = `--bootstrap-server ${kafka.brokers[1]} --command-config client.properties`
  const set = '--alter --entity-type topics --entity-name'
  await run(`kafka-configs.sh ${server} ${set} ${topic} --add-config min.insync.replicas=3`)
  const found = await examine(target, '--only', 'brokers,topics')
  expect(problemsOf(found)).toEqual([
    ...['brokers/reachable', 'brokers/replication-factor', 'topics/min-insync'],
  ])
  expect(find(found, 'brokers/reachable')!.what).toBe(`${kafka.brokers[0]} does not answer`)
  expect(find(found, 'topics/min-insync')!.what).toBe(
    `${topic}: min.insync.replicas is 3, 2 of 3 are in sync`,
  )
  const behind = found.findings.filter(
    ({ check, status }) => check === 'replicas' && status === 'warning',
  )
  expect(behind.length).toBe(13)
  await run(find(found, 'topics/min-insync')!.mend!)
  const mended = await examine(target, '--only', 'topics')
  expect(problemsOf(mended)).toEqual([])
}, 120_000)
