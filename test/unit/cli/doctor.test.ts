import { expect, test } from 'vitest'
import type { Status } from '../../../src/cli/doctor/check.ts'
import { judge } from '../../../src/cli/doctor/judge.ts'
import type { GroupFinding } from '../../../src/cli/doctor/judge.ts'
import { describeFindings } from '../../../src/cli/doctor/report.ts'
import { optionsText } from '../../../src/cli/doctor.ts'
import { remedyOf } from '../../../src/cli/doctor/brokers.ts'
import { remedyOfRedis } from '../../../src/cli/doctor/redis.ts'
import { topicNames } from '../../../src/records/topics.ts'
import { told, untold } from '../../../src/runtime/doctor/told.ts'
import { click, healthy, nowMs, record, valueOf } from './doctor-facts.ts'
import type { Deployment } from './doctor-facts.ts'

const topics = topicNames('freshet')

function examine(found: Deployment): GroupFinding[] {
  const { config, brokers, cluster, control, redis, disk, schemas, host } = found
  const facts = {
    ...{ schemas, host: told(host), control: told(control), redis: told(redis), disk: told(disk) },
    kafka: { brokers, cluster: told(cluster) },
  }
  return judge(facts, {
    ...{ config, topics, nowMs, options: ' --config own.yaml' },
  })
}

const topicOf = (found: Deployment, topic: string) =>
  found.cluster.topics.find((each) => each.topic === topic)!
const settingsOf = (found: Deployment, topic: string) =>
  valueOf(found.cluster.topicSettings).get(topic)!
const empty = (found: Deployment, topic: string) => {
  for (const each of valueOf(found.cluster.bounds)) {
    if (each.topic === topic) each.stable = each.high = 0
  }
}
const foreign = Buffer.from('c3010123456789abcdef00', 'hex')

/** check, what is wrong, its status, and words of the line and of what mends it */
type Fault = readonly [string, (found: Deployment) => void, Status, string, string]

const faults: readonly Fault[] = [
  [
    'topics/topics-exist',
    (found) => (topicOf(found, topics.items).errorCode = 29),
    'unknown',
    'only 12 of 13 topics are shown',
    '',
  ],
  [
    'host/node',
    ({ host }) => (host.nodeVersion = '20.9.0'),
    'problem',
    'Node 20.9.0 is too old',
    'install Node >=20.19',
  ],
  [
    'host/open-files',
    ({ host }) => (host.openFilesMax = 256),
    'warning',
    'only 256',
    'ulimit -n 4096',
  ],
  ['host/open-files', ({ host }) => (host.openFilesMax = null), 'unknown', 'does not say', ''],
  [
    'config/index-engine',
    ({ host }) => (host.indexProblem = 'Could not locate the bindings file'),
    'warning',
    'hnswlib is not built',
    'npm run setup:index',
  ],
  [
    'config/index-engine',
    ({ host, config }) => {
      host.indexProblem = 'Could not locate the bindings file'
      config.index.engine = 'hnswlib'
    },
    'problem',
    'hnswlib is not built',
    'npm run setup:index',
  ],
  [
    'config/metrics-port',
    ({ host }) => (host.metricsPort.holder = 'another'),
    'problem',
    '127.0.0.1:9464 cannot be had',
    'FRESHET_METRICS_PORT=',
  ],
  [
    'config/metrics-port',
    ({ host }) => (host.metricsPort.problem = 'listen EADDRNOTAVAIL'),
    'problem',
    '127.0.0.1:9464 cannot be had',
    'metrics.port: 0',
  ],
  [
    'config/experiments',
    ({ config }) => (config.learner.order = 'event-time'),
    'warning',
    'learner.order is event-time',
    'learner.order: arrival',
  ],
  [
    'config/experiments',
    ({ config }) => (config.generations.catchUp = false),
    'warning',
    'generations.catchUp is off',
    'generations.catchUp: true',
  ],
  [
    'config/redis-deadline',
    ({ config }) => (config.recall.redisDeadlineMs = 900),
    'warning',
    'waits 900 ms',
    'recall.redisDeadlineMs: 500',
  ],
  [
    'brokers/reachable',
    ({ brokers }) => (brokers[0]!.versions = untold('connect ECONNREFUSED 127.0.0.1:9092')),
    'problem',
    '127.0.0.1:9092 does not answer',
    'FRESHET_KAFKA_BROKERS=host:port',
  ],
  [
    'brokers/reachable',
    ({ brokers }) => (brokers[1]!.versions = untold('connect ETIMEDOUT')),
    'problem',
    'as the cluster advertises it',
    'advertised.listeners',
  ],
  [
    'brokers/api-versions',
    ({ brokers }) => (valueOf(brokers[0]!.versions)[9]!.maxVersion = 6),
    'problem',
    'does not know OffsetFetch 7',
    'Kafka 2.5 or newer',
  ],
  [
    'brokers/api-versions',
    ({ brokers }) => delete valueOf(brokers[0]!.versions)[26],
    'problem',
    'does not know EndTxn 0',
    'Kafka 2.5 or newer',
  ],
  [
    'brokers/controller',
    ({ cluster }) => (cluster.controllerId = -1),
    'problem',
    'no controller',
    'kafka-metadata-quorum.sh',
  ],
  [
    'brokers/replication-factor',
    ({ config }) => (config.kafka.replicationFactor = 3),
    'problem',
    'replication factor 3, but 2 brokers',
    'kafka.replicationFactor: 2',
  ],
  [
    'brokers/transaction-timeout',
    ({ config }) => (config.kafka.transactionTimeoutMs = 1_000_000),
    'problem',
    'allows 900000',
    'kafka.transactionTimeoutMs: 900000',
  ],
  [
    'brokers/session-timeout',
    ({ config }) => (config.kafka.sessionTimeoutMs = 3_000),
    'problem',
    'allows 6000 to 1800000',
    'kafka.sessionTimeoutMs: 6000',
  ],
  [
    'brokers/session-timeout',
    ({ cluster }) => (cluster.settings = untold('CLUSTER_AUTHORIZATION_FAILED')),
    'unknown',
    'not checked: CLUSTER_AUTHORIZATION_FAILED',
    '',
  ],
  [
    'brokers/broker-clock',
    ({ cluster }) => (valueOf(cluster.newest)[0]!.timestampMs = nowMs + 5_000),
    'problem',
    'at least 5.0 s ahead',
    'timedatectl set-ntp true',
  ],
  [
    'brokers/broker-clock',
    ({ cluster }) => (cluster.newest = told([])),
    'unknown',
    'no record yet',
    '',
  ],
  [
    'topics/topics-exist',
    (found) => (topicOf(found, topics.items).errorCode = 3),
    'problem',
    `missing: ${topics.items}`,
    'npx freshet topics --config own.yaml',
  ],
  [
    'topics/topics-exist',
    ({ cluster }) => {
      for (const topic of cluster.topics) if (topic.topic !== 'web-clicks') topic.errorCode = 3
    },
    'warning',
    'no topic of freshet is there',
    'npx freshet topics',
  ],
  [
    'topics/partitions',
    (found) => topicOf(found, topics.events).partitions.pop(),
    'problem',
    'has 3 partitions, needed 4',
    'kafka.topicPrefix',
  ],
  [
    'topics/partitions',
    (found) => {
      topicOf(found, topics.events).partitions.pop()
      empty(found, topics.events)
    },
    'problem',
    'has 3',
    `npx freshet topics --topic ${topics.events}`,
  ],
  [
    'topics/partitions',
    (found) => {
      topicOf(found, topics.reports).partitions.push(topicOf(found, topics.items).partitions[1]!)
      empty(found, topics.reports)
    },
    'problem',
    'needed 1',
    `--delete --topic ${topics.reports} && npx freshet`,
  ],
  [
    'topics/partitions',
    ({ config }) => (config.kafka.partitions = 8),
    'problem',
    'has 4 partitions, needed 8',
    'kafka.partitions: 4',
  ],
  [
    'topics/cleanup-policy',
    (found) => (settingsOf(found, topics.control)['cleanup.policy'] = 'delete'),
    'problem',
    'cleanup.policy is delete, needed compact',
    topics.control,
  ],
  [
    'topics/cleanup-policy',
    (found) => (settingsOf(found, topics.events)['cleanup.policy'] = 'compact'),
    'problem',
    'cleanup.policy is compact, needed delete',
    topics.events,
  ],
  [
    'topics/retention',
    (found) => (settingsOf(found, topics.examples)['retention.ms'] = '86400000'),
    'problem',
    'needed at least 176400000',
    `--topic ${topics.examples}`,
  ],
  [
    'topics/retention',
    (found) => (settingsOf(found, topics.deadLetters)['retention.ms'] = '604800000'),
    'problem',
    'needed at least -1',
    `--topic ${topics.deadLetters}`,
  ],
  [
    'topics/message-size',
    (found) => (settingsOf(found, topics.snapshots)['max.message.bytes'] = '1048588'),
    'problem',
    'max.message.bytes is 1048588',
    `--topic ${topics.snapshots}`,
  ],
  [
    'topics/timestamps',
    (found) => (settingsOf(found, topics.clicks)['message.timestamp.type'] = 'CreateTime'),
    'problem',
    'is CreateTime, needed LogAppendTime',
    `--topic ${topics.clicks}`,
  ],
  [
    'topics/compaction',
    (found) => (settingsOf(found, topics.snapshots)['segment.bytes'] = '1073741824'),
    'problem',
    'needed at most 67108864',
    `--topic ${topics.snapshots}`,
  ],
  [
    'topics/retention-bytes',
    (found) => (settingsOf(found, topics.examples)['retention.bytes'] = '1000'),
    'warning',
    'retention.bytes is 1000',
    '--add-config retention.bytes=-1',
  ],
  [
    'topics/min-insync',
    (found) => (settingsOf(found, topics.events)['min.insync.replicas'] = '3'),
    'problem',
    'there are 2 replicas',
    '--add-config min.insync.replicas=1',
  ],
  [
    'topics/min-insync',
    (found) => (settingsOf(found, topics.events)['min.insync.replicas'] = '2'),
    'warning',
    'is 2 of 2',
    '--add-config min.insync.replicas=1',
  ],
  [
    'topics/min-insync',
    (found) => {
      settingsOf(found, topics.events)['min.insync.replicas'] = '2'
      topicOf(found, topics.events).partitions[1]!.inSync = 1
    },
    'problem',
    'min.insync.replicas is 2, 1 of 2 are in sync',
    '--add-config min.insync.replicas=1',
  ],
  [
    'topics/min-insync',
    (found) => {
      settingsOf(found, topics.events)['min.insync.replicas'] = '2'
      for (const each of topicOf(found, topics.events).partitions) each.replicas = 3
      topicOf(found, topics.events).partitions[1]!.inSync = 1
    },
    'problem',
    'min.insync.replicas is 2, 1 of 3 are in sync',
    'names the brokers: start them',
  ],
  [
    'topics/min-insync',
    (found) => {
      found.config.kafka.replicationFactor = 2
      settingsOf(found, topics.control)['min.insync.replicas'] = '2'
      topicOf(found, topics.control).partitions[0]!.replicas = 1
    },
    'problem',
    'there are 1 replica',
    '[{"topic":"freshet.control.v1","partition":0,"replicas":[1,2]}]',
  ],
  [
    'topics/replicas',
    (found) => {
      found.config.kafka.replicationFactor = 3
    },
    'warning',
    'has 2 replicas',
    'or start more brokers',
  ],
  [
    'topics/replicas',
    (found) => (topicOf(found, topics.events).partitions[0]!.leader = -1),
    'problem',
    '1 partition without a leader',
    '--describe --topic',
  ],
  [
    'topics/replicas',
    (found) => (topicOf(found, topics.events).partitions[0]!.inSync = 1),
    'warning',
    'with replicas behind',
    '--describe --topic',
  ],
  [
    'topics/replicas',
    (found) => {
      const [first] = topicOf(found, topics.control).partitions
      found.config.kafka.replicationFactor = 2
      first!.replicas = first!.inSync = 1
    },
    'warning',
    'has 1 replica',
    'kafka-reassign-partitions.sh',
  ],
  [
    'topics/sources',
    (found) => (topicOf(found, 'web-clicks').errorCode = 3),
    'problem',
    'topic web-clicks cannot be read',
    'sources.web.topic',
  ],
  [
    'topics/sources',
    (found) => empty(found, topics.clicks),
    'warning',
    `${topics.clicks} is empty`,
    'send events to it',
  ],
  [
    'groups/members',
    ({ cluster }) => valueOf(cluster.groups)[3]!.members.pop(),
    'warning',
    'freshet.recall has no member',
    'npx freshet pod --config own.yaml',
  ],
  [
    'groups/lag',
    ({ cluster }) => (valueOf(cluster.lags)[0]!.waitingSinceMs = nowMs - 120_000),
    'warning',
    '4 records, 120 s behind',
    'npx freshet ingest --config own.yaml',
  ],
  [
    'groups/lost-records',
    ({ cluster }) => (valueOf(cluster.lags)[2]!.low = 12),
    'problem',
    '3 records',
    '--add-config retention.ms=',
  ],
  [
    'groups/open-transactions',
    ({ cluster }) => valueOf(cluster.openMs).set('freshet.events.v1/0', 22_000),
    'problem',
    'at least 22 s',
    'kafka-transactions.sh',
  ],
  [
    'groups/open-transactions',
    ({ cluster }) => valueOf(cluster.openMs).set('freshet.events.v1/0', 2_000),
    'warning',
    'at least 2.0 s',
    'run this again',
  ],
  [
    'rights/topic-rights',
    (found) => topicOf(found, topics.events).rights!.delete('write'),
    'problem',
    'may not be written',
    '--operation Write --topic freshet.events.v1',
  ],
  [
    'rights/topic-rights',
    (found) => (topicOf(found, 'web-clicks').errorCode = 29),
    'problem',
    'web-clicks: may not be read',
    '--operation Read --topic web-clicks',
  ],
  [
    'rights/topic-rights',
    (found) => (topicOf(found, topics.events).rights = null),
    'unknown',
    'does not say what may be done',
    '',
  ],
  [
    'rights/group-rights',
    ({ cluster }) => (valueOf(cluster.groups)[0]!.errorCode = 30),
    'problem',
    'freshet.ingest: may not',
    '--operation Read --group freshet.ingest',
  ],
  [
    'rights/transactional-ids',
    ({ cluster }) => valueOf(cluster.transactionalIds).set('freshet-joiner-0', false),
    'problem',
    'freshet-joiner-0',
    '--transactional-id freshet- --resource-pattern',
  ],
  [
    'rights/transactional-ids',
    ({ cluster }) => (cluster.rights = null),
    'unknown',
    'cannot be told without writing',
    '',
  ],
  [
    'schemas/schemas',
    ({ schemas }) => valueOf(schemas.newest).push(record(topics.examples, foreign)),
    'problem',
    'fingerprint efcdab8967452301 is not',
    'run the version of freshet',
  ],
  [
    'schemas/mappings',
    ({ schemas }) => (schemas.mappings.get('web-clicks')!.mapping = untold('schemaFile: missing')),
    'problem',
    'sources.web cannot be used',
    'sources.web',
  ],
  [
    'schemas/source-records',
    ({ schemas }) => valueOf(schemas.newest).push(record('web-clicks', click(''))),
    'warning',
    '1 of its newest 1 record',
    'npx freshet map --check',
  ],
  [
    'control/live-generation',
    ({ control }) => (control.document = null),
    'warning',
    'no control document',
    'npx freshet controller --config own.yaml',
  ],
  [
    'control/live-generation',
    ({ control }) => (control.document!.live = null),
    'warning',
    'no generation is live',
    'npx freshet status',
  ],
  [
    'control/controller',
    ({ control }) => (control.reports[0]!.atMs = nowMs - 60_000),
    'warning',
    'last heard of 60 s ago',
    'npx freshet controller',
  ],
  [
    'control/roles',
    ({ control }) => control.reports.splice(3, 1),
    'warning',
    'learner: never heard of',
    'npx freshet learner',
  ],
  [
    'control/alerts',
    ({ control }) => {
      control.document!.candidate = 'g2'
      control.reports[0]!.body = { alerts: ['g2 is stuck'], waitsFor: ['no pod has loaded g2'] }
    },
    'problem',
    'g2 is stuck',
    'npx freshet reject g2 --config own.yaml',
  ],
  [
    'control/pods',
    ({ config }) => (config.generations.readyPods = 3),
    'warning',
    '1 pod, 3 needed',
    'generations.readyPods: 1',
  ],
  [
    'control/day-cuts',
    ({ control }) => (control.document!.cuts['2026-01-04'] = [5, 5]),
    'problem',
    'is of 2 partitions',
    'kafka.partitions: 2',
  ],
  [
    'control/snapshot',
    ({ control }) => valueOf(control.snapshot)!.keys.pop(),
    'problem',
    '1 chunk missing, e.g. g1/2/index/1',
    '--set index.overridesMax=1',
  ],
  [
    'control/snapshot',
    ({ control }) => (control.snapshot = told(null)),
    'problem',
    'none is in the topic',
    'npx freshet indexer --config own.yaml',
  ],
  [
    'redis/redis-version',
    ({ redis }) => (redis.nodes[0]!.info['redis_version'] = '5.0.7'),
    'problem',
    'Redis 5.0.7 is too old',
    '6.2 or newer',
  ],
  [
    'redis/eviction',
    ({ redis }) => (redis.nodes[0]!.info['maxmemory_policy'] = 'allkeys-lru'),
    'problem',
    'is allkeys-lru',
    'redis-cli -h 127.0.0.1 -p 6379 CONFIG SET maxmemory-policy noeviction',
  ],
  [
    'redis/writable',
    ({ redis }) => {
      const { info } = redis.nodes[0]!
      Object.assign(info, { role: 'slave', master_host: 'redis-1', master_port: '6379' })
    },
    'problem',
    'read-only',
    'FRESHET_REDIS_URL=redis://redis-1:6379',
  ],
  [
    'redis/writable',
    ({ redis }) => (redis.nodes[0]!.info['rdb_last_bgsave_status'] = 'err'),
    'problem',
    'cannot save',
    'stop-writes-on-bgsave-error no',
  ],
  [
    'redis/memory',
    ({ redis }) => (redis.nodes[0]!.info['used_memory'] = '900000000'),
    'warning',
    '900 MB of 1,000 MB used',
    'CONFIG SET maxmemory 1688mb',
  ],
  [
    'redis/scripts',
    ({ redis }) => (redis.scriptProblem = 'NOPERM'),
    'problem',
    'scripts are refused: NOPERM',
    'ACL SETUSER default +@scripting',
  ],
  [
    'redis/scripts',
    ({ redis, config }) => {
      Object.assign(config.redis, { url: 'rediss://a', caFile: 'ca.pem', username: 'freshet' })
      redis.nodes.push({ ...redis.nodes[0]!, address: 'redis-2:6379' })
      redis.scriptProblem = 'NOPERM'
    },
    'problem',
    'scripts are refused: NOPERM',
    '&& redis-cli -h redis-2 -p 6379 --tls --cacert ca.pem ACL SETUSER freshet +@scripting',
  ],
  [
    'redis/scripts',
    ({ redis }) => (redis.scriptProblem = 'CLUSTERDOWN Hash slot not served'),
    'unknown',
    'CLUSTERDOWN',
    '',
  ],
  [
    'redis/cluster',
    ({ config }) => (config.redis.cluster = true),
    'problem',
    'not part of a cluster',
    'redis.cluster: false',
  ],
  [
    'redis/cluster',
    ({ redis, config }) => {
      config.redis.cluster = true
      redis.nodes[0]!.info['cluster_enabled'] = '1'
      redis.clusterState = 'fail'
    },
    'problem',
    'the cluster is fail',
    'redis-cli --cluster fix',
  ],
  [
    'redis/latency',
    ({ redis }) => (redis.pingMs = [40, 45, 50]),
    'warning',
    'answers in 45.0 ms',
    'recall.redisDeadlineMs: 180',
  ],
  [
    'redis/clock',
    ({ redis }) => (redis.nodes[0]!.clockAheadMs = -4_000),
    'warning',
    '4.0 s behind this machine',
    'timedatectl',
  ],
  [
    'redis/orphans',
    ({ redis }) => redis.keys.set('g-9', 12),
    'warning',
    '12 keys of g-9',
    "--scan --pattern '{g-9:*'",
  ],
  [
    'disk/writable',
    ({ disk }) => (disk.folders[1]!.problem = 'EACCES: permission denied'),
    'problem',
    'artifacts cannot be written',
    'chown -R',
  ],
  [
    'disk/space',
    ({ disk }) => (disk.folders[0]!.freeBytes = 100e6),
    'problem',
    '100 MB free',
    'free 400 MB',
  ],
  [
    'disk/space',
    ({ disk }) => {
      valueOf(disk.generations)[0]!.bytes = 20e9
    },
    'warning',
    '60,000 MB for the next',
    'generations.keep (3)',
  ],
  [
    'disk/leftovers',
    ({ disk }) => disk.folders[0]!.leftovers.push({ file: "/s/it's.1.tmp", ageMs: 7_200_000 }),
    'warning',
    '1 temporary file left',
    "rm '/s/it'\\''s.1.tmp'",
  ],
  [
    'disk/generation-files',
    ({ disk }) => valueOf(disk.generations)[1]!.problems.push('item-ids.avro has 0 bytes'),
    'problem',
    'g1: item-ids.avro has 0 bytes',
    'npx freshet rollback',
  ],
  [
    'disk/generation-files',
    ({ disk }) => valueOf(disk.generations).shift(),
    'problem',
    'g0 is in use, and not in the artifact store',
    'artifacts.dir',
  ],
  [
    'disk/first-generation',
    ({ disk, config }) => {
      disk.document = told(null)
      config.generations.first = 'g7'
    },
    'problem',
    'g7 is not in',
    'npx freshet bootstrap',
  ],
  [
    'disk/memory',
    ({ disk }) => (valueOf(disk.generations)[1]!.users = 20_000_000),
    'warning',
    '20,000,100 rows',
    'learner.userRowsMax',
  ],
]

test('a deployment in order has nothing but ok lines', () => {
  const findings = examine(healthy())
  expect(findings.filter(({ status }) => status !== 'ok')).toEqual([])
  expect(findings.length).toBeGreaterThan(40)
})

test.each(faults)('%s is found (case %#)', (check, plant, status, what, mend) => {
  const found = healthy()
  plant(found)
  const all = examine(found)
  const hit = all.find((one) => `${one.group}/${one.check}` === check && one.status !== 'ok')
  expect(hit).toMatchObject({ status, what: expect.stringContaining(what) })
  if (status === 'unknown') return
  expect(hit!.mend).toContain(mend)
  expect(hit!.why).not.toBe('')
})

test('every check has a case that it fails in', () => {
  const checks = new Set(examine(healthy()).map(({ group, check }) => `${group}/${check}`))
  expect([...checks].filter((check) => faults.every(([name]) => name !== check))).toEqual([])
})

test('without a broker nothing that needs one is called a problem, and it is said once', () => {
  const { config, host, schemas } = healthy()
  const why = 'no broker answers'
  const facts = {
    ...{ host: told(host), control: untold(why), redis: untold('NOAUTH'), disk: untold('late') },
    schemas: { ...schemas, newest: untold(why) },
    kafka: { brokers: [], cluster: untold(why) },
  }
  const findings = judge(facts, {
    ...{ config, topics, nowMs, options: '' },
  })
  expect(findings.filter(({ status }) => status === 'problem')).toMatchObject([
    { group: 'redis', check: 'reachable', mend: expect.stringContaining('FRESHET_REDIS_PASSWORD') },
  ])
  const cluster = { ...facts, redis: untold('Failed to refresh slots cache.') }
  expect(
    judge(cluster as unknown as Parameters<typeof judge>[0], {
      ...{ config, topics, nowMs, options: '' },
    }).find(({ status }) => status === 'problem')!.mend,
  ).toContain('redis.cluster: false')
  const text = describeFindings(findings)
  expect(text).toContain('unknown  members, lag, lost-records, open-transactions not checked')
  expect(text).toMatch(/1 problem, 0 warnings, \d+ could not be told, \d+ ok\n$/)
})

test('a finding that is not in order is followed by why and what mends it', () => {
  const finding = { group: 'redis', check: 'x', status: 'problem', what: 'w' } as const
  expect(describeFindings([{ ...finding, why: 'first\nsecond', mend: 'do' }])).toBe(
    [
      'redis',
      '  PROBLEM  x                    w',
      '             why:  first',
      '                   second',
      '             mend: do',
      '',
      '1 problem, 0 warnings, 0 could not be told, 0 ok',
      '',
    ].join('\n'),
  )
})

test('a command that mends is for the same deployment, and shows no secret', () => {
  const set = ['kafka.partitions=8', 'redis.password=geheim', 'redis.url=redis://u:geheim@h:1']
  expect(optionsText({ config: ['my file.yaml'], set })).toBe(
    " --config 'my file.yaml' --set kafka.partitions=8 --set 'redis.password=********' --set 'redis.url=redis://u:********@h:1'",
  )
  expect(optionsText({})).toBe('')
})

test.each([
  ['getaddrinfo ENOTFOUND kafka', 'kafka.brokers'],
  ['SASL PLAIN authentication failed: Authentication failed', 'kafka.sasl.mechanism'],
  ['unable to verify the first certificate', 'kafka.tls.caFile'],
  ["Hostname/IP does not match certificate's altnames", 'advertised.listeners'],
  ['SSL routines:ssl3_read_bytes:sslv3 alert bad certificate: 42', 'kafka.tls.certFile'],
  ['tlsv13 alert certificate required:SSL alert number 116', 'kafka.tls.certFile'],
  ['wrong version number', 'kafka.tls.enabled: false'],
  ['read ECONNRESET', 'kafka.tls.enabled: true'],
  ['connect ECONNREFUSED', 'FRESHET_KAFKA_BROKERS'],
])('%s is mended by %s', (why, mend) => {
  expect(remedyOf(why)).toContain(mend)
})

test.each([
  ['WRONGPASS invalid username-password pair', 'FRESHET_REDIS_PASSWORD'],
  [
    "NOPERM this user has no permissions to run the 'info' command",
    'redis-cli -h 127.0.0.1 -p 6379 ACL SETUSER default +info',
  ],
  ['unable to verify the first certificate', 'redis.caFile'],
  ["Hostname/IP does not match certificate's altnames", 'redis.url'],
  ['wrong version number', 'redis.url: redis://'],
  ['Connection is closed.', 'redis.url: rediss://'],
  ['ERR This instance has cluster support disabled', 'redis.cluster: false'],
  ['connect ECONNREFUSED', 'FRESHET_REDIS_URL'],
])('of Redis, %s is mended by %s', (why, mend) => {
  expect(remedyOfRedis(why, healthy().config)).toContain(mend)
})
