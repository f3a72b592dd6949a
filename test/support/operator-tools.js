// What doctor and the pages tell an operator to run, as far as tests run it: the scripts of Kafka and redis-cli, which the
// servers of tests come without. Takes the options of the real ones, and refuses any other.
import fs from 'node:fs'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import kafkajs from 'kafkajs'

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs
const { ConfigResourceTypes, Kafka, logLevel } = kafkajs

const tools = {
  'kafka-acls.sh': kafkaAcls,
  'kafka-configs.sh': kafkaConfigs,
  'kafka-reassign-partitions.sh': kafkaReassignPartitions,
  'redis-cli': redisCli,
}
const text = { type: 'string' }
const flag = { type: 'boolean' }
const server = { 'bootstrap-server': text, 'command-config': text }

const [, , name, ...args] = process.argv
await tools[name](args)

async function kafkaAcls(args) {
  const resources = { topic: text, group: text, 'transactional-id': text, cluster: flag }
  const values = parse(args, {
    ...{ ...server, ...resources, add: flag, 'resource-pattern-type': text },
    ...{ 'allow-principal': text, operation: { type: 'string', multiple: true } },
  })
  const [kind] = Object.keys(resources).filter((each) => values[each] !== undefined)
  const resource = {
    resourceType: AclResourceTypes[kind.toUpperCase().replace('-', '_')],
    resourceName: kind === 'cluster' ? 'kafka-cluster' : values[kind],
    resourcePatternType:
      ResourcePatternTypes[(values['resource-pattern-type'] ?? 'literal').toUpperCase()],
  }
  const acl = values.operation.map((operation) => ({
    ...{ ...resource, principal: values['allow-principal'], host: '*' },
    operation: AclOperationTypes[operation.replace(/(?<=[a-z])[A-Z]/g, '_$&').toUpperCase()],
    permissionType: AclPermissionTypes.ALLOW,
  }))
  await withAdmin(values, (admin) => admin.createAcls({ acl }))
}

/** Older than the real one in how it asks: settings that are not named are sent again as they are. */
async function kafkaConfigs(args) {
  const entity = { 'entity-type': text, 'entity-name': text }
  const values = parse(args, { ...server, ...entity, alter: flag, 'add-config': text })
  const resource = { type: ConfigResourceTypes.TOPIC, name: values['entity-name'] }
  await withAdmin(values, async (admin) => {
    const { resources } = await admin.describeConfigs({
      ...{ resources: [resource], includeSynonyms: false },
    })
    const ofTopic = 1
    const own = resources[0].configEntries.filter(({ configSource }) => configSource === ofTopic)
    const settings = Object.fromEntries(
      own.map(({ configName, configValue }) => [configName, configValue]),
    )
    const [setting, value] = values['add-config'].split('=')
    const configEntries = Object.entries({ ...settings, [setting]: value }).map(
      ([name, value]) => ({ name, value }),
    )
    await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] })
  })
}

async function kafkaReassignPartitions(args) {
  const values = parse(args, { ...server, 'reassignment-json-file': text, execute: flag })
  const { partitions } = JSON.parse(fs.readFileSync(values['reassignment-json-file'], 'utf8'))
  const topics = partitions.map(({ topic, partition, replicas }) => ({
    ...{ topic, partitionAssignment: [{ partition, replicas }] },
  }))
  await withAdmin(values, (admin) => admin.alterPartitionReassignments({ topics }))
}

async function redisCli(args) {
  const command = args.findIndex((each) => /^[A-Z]+$/.test(each))
  const options = { host: text, port: text, tls: flag, cacert: text, user: text }
  const values = parse(
    args.slice(0, command).map((each) => ({ '-h': '--host', '-p': '--port' })[each] ?? each),
    options,
  )
  const redis = new Redis({
    ...{ host: values.host, port: Number(values.port) },
    ...(values.user === undefined ? {} : { username: values.user }),
    password: process.env.REDISCLI_AUTH,
    ...(values.tls ? { tls: { ca: fs.readFileSync(values.cacert) } } : {}),
  })
  process.stdout.write(`${await redis.call(...args.slice(command))}\n`)
  redis.disconnect()
}

function parse(args, options) {
  return parseArgs({ args, options, strict: true }).values
}

/** The settings that clients written in Java take. */
async function withAdmin(values, use) {
  const file = values['command-config']
  const lines = file === undefined ? [] : fs.readFileSync(file, 'utf8').split('\n')
  const found = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
  const word = (key) => new RegExp(`${key}="(.*?)"`).exec(found['sasl.jaas.config'])?.[1]
  const kafka = new Kafka({
    ...{ brokers: values['bootstrap-server'].split(','), logLevel: logLevel.NOTHING },
    ...(file === undefined
      ? {}
      : {
          ssl: { ca: [fs.readFileSync(found['ssl.truststore.location'])] },
          sasl: {
            ...{ mechanism: found['sasl.mechanism'].toLowerCase() },
            ...{ username: word('username'), password: word('password') },
          },
        }),
  })
  const admin = kafka.admin()
  await admin.connect()
  try {
    await use(admin)
  } finally {
    await admin.disconnect()
  }
}
