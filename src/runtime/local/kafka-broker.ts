import fs from 'node:fs/promises'
import path from 'node:path'
import { type OnProgress, fetchKafka } from '../../../scripts/fetch-servers.js'
import type { Logger } from '../ports.ts'
import { fetched } from './fetched.ts'
import { classArchive, classPath, formatOnce, javaOrThrow } from './kafka-jvm.ts'
import { askPort, choosePorts, loopback } from './loopback-ports.ts'
import { claimRun, type RunClaim } from './orphans.ts'
import { type ServerProcess, startServer } from './server-process.ts'

export interface BrokerOptions {
  /** The folder that `fetchBroker` returned. */
  readonly libsDir: string
  readonly dataDir: string
  readonly runDir: string
  readonly port?: number
  readonly log: Logger
}

export interface Broker extends ServerProcess {
  /** host:port */
  readonly bootstrap: string
}

/**
 * The folder with the broker's jars, fetched once into `cacheDir`.
 * @throws FreshetError TOOL_MISSING (Maven), FILE_MISSING
 */
export function fetchBroker(cacheDir: string, onProgress?: OnProgress): Promise<string> {
  return fetched(fetchKafka(cacheDir, onProgress))
}

/**
 * A one-node KRaft broker on loopback. Its data folder is formatted at the first start; later starts go on with it,
 * at the same address where that is still free.
 * @throws FreshetError PORT_TAKEN, ALREADY_RUNNING, TOOL_MISSING, SERVER_FAILED
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const startedMs = performance.now()
  const dataDir = path.resolve(options.dataDir)
  const claim = await claimRun('kafka', dataDir, options.runDir)
  const [port, controllerPort] = await choosePorts(dataDir, 2, options.port, 'the Kafka broker')
  const propertiesFile = path.join(dataDir, 'server.properties')
  await fs.writeFile(propertiesFile, serverProperties(dataDir, port!, controllerPort!))
  const java = await javaOrThrow()
  const archive = await classArchive(options.libsDir, java)
  await formatOnce(dataDir, propertiesFile, java, options.libsDir)
  if (await hasCrashed(dataDir)) {
    await fenceCrashed({ ...options, dataDir, claim, java, controllerPort: controllerPort! })
  }
  const running = await startServer({
    name: 'kafka',
    command: java,
    args: [
      ...['-Xmx512m', '-XX:+UseSerialGC', ...archive.flags, `-Dfreshet.run=${claim.marker}`],
      ...[`${logLevel}=warn`, '-cp', classPath(options.libsDir), 'kafka.Kafka', propertiesFile],
    ],
    claim,
    dataDir,
    isReady: async () => (await askPort(port!, apiVersionsRequest, 1_000)) !== null,
    readyWithinMs: 60_000,
    stopWithinMs: 20_000,
    log: options.log,
  })
  const tookMs = Math.round(performance.now() - startedMs)
  options.log.info({ pid: running.pid, port, tookMs }, 'Kafka broker is ready')
  const stop = async (): Promise<void> => {
    await running.stop()
    if ((await running.exited) === exitCodeOfSigterm) await archive.keep()
  }
  return { ...running, stop, bootstrap: `${loopback}:${port}` }
}

/** Kafka leaves a file when it stops cleanly, and takes it away when it starts. */
async function hasCrashed(dataDir: string): Promise<boolean> {
  const names = await fs.readdir(path.join(dataDir, 'log'))
  return names.includes('recovery-point-offset-checkpoint') && !names.includes(cleanShutdownFile)
}

const cleanShutdownFile = '.kafka_cleanshutdown'

/**
 * After a crash the cluster's metadata still say that the broker leads its partitions. A broker that starts from them takes
 * up its unfinished transactions at once, finds its partitions without a leader when it registers anew, takes them for
 * deleted and closes the transactions without their markers (seen with 4.4.0): readers of committed records and of group
 * offsets then wait for ever. So its controller runs alone first, until it has noticed that the broker is gone.
 */
async function fenceCrashed(
  options: BrokerOptions & {
    readonly claim: RunClaim
    readonly java: string
    readonly controllerPort: number
  },
): Promise<void> {
  const { dataDir, claim, java, libsDir, controllerPort, log } = options
  const startedMs = performance.now()
  const propertiesFile = path.join(dataDir, 'controller.properties')
  await fs.writeFile(propertiesFile, controllerProperties(dataDir, controllerPort))
  const name = 'kafka-controller'
  let fencedAtMs = Infinity
  const hasFenced = async (): Promise<boolean> => {
    const nowMs = performance.now()
    const printed = await fs.readFile(path.join(dataDir, `${name}.log`), 'utf8')
    if (printed.includes('Fencing broker 1')) fencedAtMs = Math.min(fencedAtMs, nowMs)
    // It says so before it is written. Of a broker that was fenced before the crash it says nothing.
    return nowMs - fencedAtMs > writtenWithinMs || nowMs - startedMs > fencedWithinMs
  }
  const levels = [
    `${logLevel}=warn`,
    '-Dorg.slf4j.simpleLogger.log.org.apache.kafka.controller=info',
  ]
  const controller = await startServer({
    ...{ name, command: java, claim, dataDir, log, isReady: hasFenced },
    args: [
      ...['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'],
      ...[`-Dfreshet.run=${claim.marker}`, ...levels, '-cp', classPath(libsDir)],
      ...['kafka.Kafka', propertiesFile],
    ],
    readyWithinMs: 60_000,
    stopWithinMs: 20_000,
  })
  await controller.stop()
  const tookMs = Math.round(performance.now() - startedMs)
  log.info(
    { tookMs },
    'the Kafka broker was not stopped cleanly last time: fenced before its start',
  )
}

const fencedWithinMs = 10_000
const writtenWithinMs = 500
export const logLevel = '-Dorg.slf4j.simpleLogger.defaultLogLevel'

/** A JVM that ended in its own time, its archive written; SIGKILL would leave half of one. */
const exitCodeOfSigterm = 143

/** ApiVersions, version 0, without a client id: the one request that every broker answers before anything else. */
export const apiVersionsRequest = Buffer.from('0000000a0012000000000001ffff', 'hex')

function serverProperties(dataDir: string, port: number, controllerPort: number): string {
  const listeners = `PLAINTEXT://${loopback}:${port},CONTROLLER://${loopback}:${controllerPort}`
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@${loopback}:${controllerPort}
listeners=${listeners}
advertised.listeners=PLAINTEXT://${loopback}:${port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=${path.join(dataDir, 'log')}
num.network.threads=2
num.io.threads=4
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
message.max.bytes=8388608
log.cleaner.dedupe.buffer.size=16777216
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=250
`
}

function controllerProperties(dataDir: string, controllerPort: number): string {
  return `process.roles=controller
node.id=1
controller.quorum.voters=1@${loopback}:${controllerPort}
listeners=CONTROLLER://${loopback}:${controllerPort}
listener.security.protocol.map=CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=${path.join(dataDir, 'log')}
broker.session.timeout.ms=300
broker.heartbeat.interval.ms=100
`
}
