import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { configSchema } from '../../src/config/schema.ts'
import { KafkaExaminer } from '../../src/runtime/kafka/examine.ts'
import { apiVersionsRequest, fetchBroker, logLevel } from '../../src/runtime/local/kafka-broker.ts'
import {
  classArchive,
  classPath,
  formatOnce,
  javaOrThrow,
} from '../../src/runtime/local/kafka-jvm.ts'
import { askPort, choosePorts, loopback } from '../../src/runtime/local/loopback-ports.ts'
import { claimRun } from '../../src/runtime/local/orphans.ts'
import { startServer, type ServerProcess } from '../../src/runtime/local/server-process.ts'
import type { certificates } from './certificates.ts'
import { cacheDir, silentLog, type OnEnd } from './own-servers.ts'

export interface SecuredKafka {
  /** host:port of the SASL_SSL listener of each node. */
  readonly brokers: readonly string[]
  /** Settings under `kafka` for the principal that may do what ACLs allow, by SCRAM-SHA-512. */
  readonly freshet: KafkaSettings
  /** The same by PLAIN, for one that may do everything and for one that may do nothing. */
  readonly admin: KafkaSettings
  readonly guest: KafkaSettings
  /** The principal of `freshet` by its certificate, at listeners that ask for one. */
  readonly mutual: Omit<KafkaSettings, 'sasl'>
  /** SIGKILL, as a crash would; resolves when the process is gone. @param index of its address in `brokers` */
  kill(index: number): Promise<void>
}

export interface KafkaSettings {
  readonly brokers: readonly string[]
  readonly replicationFactor: number
  readonly tls: {
    readonly enabled: true
    readonly caFile: string
    readonly certFile?: string
    readonly keyFile?: string
  }
  readonly sasl: {
    readonly mechanism: 'scram-sha-512' | 'plain'
    readonly username: string
    readonly password: string
  }
}

interface Node {
  readonly id: number
  readonly dataDir: string
  /** For clients, for brokers, for controllers and for clients with certificates. */
  readonly ports: readonly [number, number, number, number]
}

const nodeCount = 3
const readyWithinMs = 60_000
const passwords = { freshet: 'freshet-secret', admin: 'admin-secret', guest: 'guest-secret' }

/**
 * Three nodes, each broker and controller, as somebody runs them who trusts nobody: clients come by TLS and SASL and may do
 * only what ACLs allow; everything is kept three times, and two must have it.
 */
export async function securedKafka(
  onEnd: OnEnd,
  options: { readonly dir: string } & ReturnType<typeof certificates>,
): Promise<SecuredKafka> {
  const { dir } = options
  const files = await writeFiles(dir, options)
  const { caFile, certFile, keyFile } = files
  const nodes: Node[] = []
  for (let id = 1; id <= nodeCount; id++) {
    const dataDir = path.join(dir, `kafka-${id}`)
    const ports = await choosePorts(dataDir, 4, undefined, 'a Kafka node')
    nodes.push({ id, dataDir, ports: ports as [number, number, number, number] })
  }
  const voters = nodes.map(({ id, ports }) => `${id}@${loopback}:${ports[2]}`).join(',')
  for (const node of nodes) {
    await fs.writeFile(propertiesOf(node), serverProperties(node, voters, files))
  }
  await formatAll(nodes)
  const running = await Promise.all(nodes.map((node) => startNode(onEnd, node, dir)))
  const brokers = nodes.map(({ ports }) => `${loopback}:${ports[0]}`)
  const settings = (
    username: keyof typeof passwords,
    mechanism: KafkaSettings['sasl']['mechanism'],
  ): KafkaSettings => ({
    ...{ brokers, replicationFactor: nodeCount, tls: { enabled: true, caFile } },
    sasl: { mechanism, username, password: passwords[username] },
  })
  const admin = settings('admin', 'plain')
  await untilComplete(admin)
  return {
    ...{ brokers, admin, guest: settings('guest', 'plain') },
    freshet: settings('freshet', 'scram-sha-512'),
    mutual: {
      brokers: nodes.map(({ ports }) => `${loopback}:${ports[3]}`),
      replicationFactor: nodeCount,
      tls: { enabled: true, caFile, certFile, keyFile },
    },
    kill: async (index) => {
      process.kill(running[index]!.pid, 'SIGKILL')
      await running[index]!.exited
    },
  }
}

interface Files {
  readonly keyStore: string
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

async function writeFiles(
  dir: string,
  { authority, server, client }: ReturnType<typeof certificates>,
): Promise<Files> {
  const write = async (name: string, text: string): Promise<string> => {
    const file = path.join(dir, name)
    await fs.writeFile(file, text)
    return file
  }
  return {
    keyStore: await write('kafka.pem', server.key + server.certificate),
    caFile: await write('ca.pem', authority),
    certFile: await write('client.pem', client.certificate),
    keyFile: await write('client.key', client.key),
  }
}

function propertiesOf({ dataDir }: Node): string {
  return path.join(dataDir, 'server.properties')
}

function serverProperties({ id, dataDir, ports }: Node, voters: string, files: Files): string {
  const [client, broker, controller, mutual] = ports
  const toBrokers = `CLIENT://${loopback}:${client},INTERNAL://${loopback}:${broker},MUTUAL://${loopback}:${mutual}`
  const login = 'org.apache.kafka.common.security'
  return `process.roles=broker,controller
node.id=${id}
controller.quorum.voters=${voters}
listeners=${toBrokers},CONTROLLER://${loopback}:${controller}
advertised.listeners=${toBrokers}
listener.security.protocol.map=CLIENT:SASL_SSL,INTERNAL:PLAINTEXT,MUTUAL:SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
ssl.keystore.type=PEM
ssl.keystore.location=${files.keyStore}
ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.truststore.type=PEM
listener.name.mutual.ssl.truststore.location=${files.caFile}
sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN
listener.name.client.scram-sha-256.sasl.jaas.config=${login}.scram.ScramLoginModule required;
listener.name.client.scram-sha-512.sasl.jaas.config=${login}.scram.ScramLoginModule required;
listener.name.client.plain.sasl.jaas.config=${login}.plain.PlainLoginModule required user_admin="${passwords.admin}" user_guest="${passwords.guest}";
connections.max.reauth.ms=15000
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:admin;User:ANONYMOUS
log.dirs=${path.join(dataDir, 'log')}
num.network.threads=2
num.io.threads=4
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
message.max.bytes=8388608
log.cleaner.dedupe.buffer.size=16777216
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
`
}

/** One run of the storage tool: what it leaves differs between nodes in the ids alone. */
async function formatAll([first, ...others]: readonly Node[]): Promise<void> {
  const libsDir = await fetchBroker(cacheDir)
  const scram = ['SCRAM-SHA-512', 'SCRAM-SHA-256'].flatMap((mechanism) => [
    ...['--add-scram', `${mechanism}=[name=freshet,password=${passwords.freshet}]`],
  ])
  const java = await javaOrThrow()
  await formatOnce(first!.dataDir, propertiesOf(first!), java, libsDir, scram)
  for (const { id, dataDir } of others) {
    const log = path.join(dataDir, 'log')
    await fs.cp(path.join(first!.dataDir, 'log'), log, { recursive: true })
    const file = path.join(log, 'meta.properties')
    const text = await fs.readFile(file, 'utf8')
    const lines = text.split('\n').filter((line) => !line.startsWith('directory.id='))
    await fs.writeFile(file, lines.join('\n').replace(/^node\.id=.*$/m, `node.id=${id}`))
  }
}

async function startNode(onEnd: OnEnd, node: Node, dir: string): Promise<ServerProcess> {
  const { id, dataDir, ports } = node
  const name = `kafka-${id}`
  const claim = await claimRun(name, dataDir, path.join(dir, 'run'))
  const libsDir = await fetchBroker(cacheDir)
  const java = await javaOrThrow()
  const { flags } = await classArchive(libsDir, java)
  const shared = flags.filter((flag) => !flag.includes('AtExit'))
  const running = await startServer({
    ...{ name, command: java, claim, dataDir, log: silentLog },
    args: [
      ...['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', ...shared],
      ...[`-Dfreshet.run=${claim.marker}`, `${logLevel}=warn`, '-cp', classPath(libsDir)],
      ...['kafka.Kafka', propertiesOf(node)],
    ],
    isReady: async () => (await askPort(ports[1], apiVersionsRequest, 1_000)) !== null,
    ...{ readyWithinMs, stopWithinMs: 1_000 },
  })
  onEnd(() => running.stop())
  return running
}

/** A node that answers may not have been told to the others yet. */
async function untilComplete(admin: KafkaSettings): Promise<void> {
  const examiner = new KafkaExaminer(configSchema.parse({ kafka: admin }).kafka, silentLog)
  const deadlineMs = performance.now() + readyWithinMs
  try {
    await examiner.open()
    for (;;) {
      const { brokers } = await examiner.cluster([])
      if (brokers.length === nodeCount) return
      if (performance.now() > deadlineMs) {
        throw new Error(`only ${brokers.length} of ${nodeCount} brokers are there`)
      }
      await sleep(50)
    }
  } finally {
    examiner.close()
  }
}
