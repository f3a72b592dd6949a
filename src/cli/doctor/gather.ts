import type { Config } from '../../config/schema.ts'
import { topicNames } from '../../records/topics.ts'
import { gatherControl } from '../../runtime/doctor/control.ts'
import type { ControlFacts } from '../../runtime/doctor/control.ts'
import { examineFolder, storedGenerations } from '../../runtime/doctor/disk.ts'
import { examineHost } from '../../runtime/doctor/host.ts'
import type { HostFacts } from '../../runtime/doctor/host.ts'
import { gatherKafka } from '../../runtime/doctor/kafka.ts'
import type { KafkaFacts } from '../../runtime/doctor/kafka.ts'
import { told, within, type Told } from '../../runtime/doctor/told.ts'
import { openDirectoryStore } from '../../runtime/generation/artifact-store.ts'
import { allSources, compileSource } from '../../runtime/ingest-sources.ts'
import type { Logger } from '../../runtime/ports.ts'
import { examineRedis } from '../../runtime/redis/examine.ts'
import type { DiskFacts } from './disk.ts'
import type { RedisWithDocument } from './redis.ts'
import type { SchemaFacts } from './schemas.ts'

export interface Facts {
  readonly host: Told<HostFacts>
  readonly kafka: KafkaFacts
  readonly control: Told<ControlFacts>
  readonly schemas: SchemaFacts
  readonly redis: Told<RedisWithDocument>
  readonly disk: Told<DiskFacts>
}

const hostMs = 5_000
const controlMs = 40_000
const redisMs = 15_000
const diskMs = 20_000

/** Looks everywhere at the same time; what does not answer costs its own time limit, once. */
export async function gather(config: Config, log: Logger, nowMs: number): Promise<Facts> {
  const [host, kafkaAndControl, redisAlone, files] = await Promise.all([
    within(hostMs, () => examineHost(config)),
    gatherKafkaAndControl(config, log),
    gatherRedis(config),
    within(diskMs, async () => {
      const folders = [...new Set([config.stateDir, config.artifacts.dir])]
      return Promise.all(folders.map((folder) => examineFolder(folder, nowMs)))
    }),
  ])
  const { kafka, control } = kafkaAndControl
  const document = control.isTold ? told(control.value.document) : control
  const store = openDirectoryStore(config.artifacts.dir)
  const generations = await within(diskMs, () => storedGenerations(store))
  const memoryBytes = host.isTold ? told(host.value.memoryBytes) : host
  return {
    ...{ host, kafka, control },
    schemas: await gatherSchemas(config, kafka),
    redis: redisAlone.isTold ? told({ ...redisAlone.value, document }) : redisAlone,
    disk: files.isTold ? told({ folders: files.value, generations, document, memoryBytes }) : files,
  }
}

async function gatherKafkaAndControl(
  config: Config,
  log: Logger,
): Promise<{ kafka: KafkaFacts; control: Told<ControlFacts> }> {
  const kafka = await gatherKafka(config, log)
  const bounds = kafka.cluster.isTold ? kafka.cluster.value.bounds : kafka.cluster
  if (!bounds.isTold) return { kafka, control: bounds }
  const control = await within(controlMs, () => gatherControl(config, bounds.value, log))
  return { kafka, control }
}

async function gatherRedis(config: Config) {
  const late = new AbortController()
  const found = await within(redisMs, () => examineRedis(config.redis, late.signal))
  late.abort()
  return found
}

async function gatherSchemas(config: Config, { cluster }: KafkaFacts): Promise<SchemaFacts> {
  const sources = allSources(config.sources, topicNames(config.kafka.topicPrefix))
  const mappings = await Promise.all(
    Object.entries(sources).map(async ([name, source]) => {
      const mapping = await within(hostMs, () => compileSource(name, source, config.ingest))
      return [source.topic, { name, mapping }] as const
    }),
  )
  return {
    newest: cluster.isTold ? cluster.value.newest : cluster,
    mappings: new Map(mappings),
  }
}
