import { randomUUID } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { configSchema } from '../../src/config/schema.ts'
import type { Config } from '../../src/config/schema.ts'
import { topicNames } from '../../src/records/topics.ts'
import type { TopicNames } from '../../src/records/topics.ts'
import { createKafkaClient } from '../../src/runtime/kafka/client.ts'
import { topicDefinitions } from '../../src/runtime/kafka/topics.ts'
import type { KafkaClient } from '../../src/runtime/ports.ts'
import type { RoleName } from '../../src/cli/role-names.ts'
import { silentLog, temporaryDir } from './own-servers.ts'
import type { OnEnd } from './own-servers.ts'
import { runCommand, startRole } from './role-process.ts'
import type { CommandResult, RoleProcess } from './role-process.ts'

type Settings = Readonly<Record<string, unknown>>

/** freshet as somebody runs it: topics, folders and rows of its own, each role a process. */
export interface Deployment {
  readonly config: Config
  readonly topics: TopicNames
  readonly kafka: KafkaClient
  readonly dir: string
  /** @param name of the process; several of one role need different ones */
  role(role: RoleName, name?: string): RoleProcess
  /** Another command with the same configuration. */
  run(...args: string[]): Promise<CommandResult>
}

export interface DeploymentOptions {
  readonly brokers: readonly string[]
  readonly redisUrl: string
  /** On top of what a test needs; section by section. */
  readonly settings?: Readonly<Record<string, Settings>>
  /** False: whoever starts first makes the topics, for tests without a broker at first. */
  readonly hasTopics?: boolean
}

export async function deployment(onEnd: OnEnd, options: DeploymentOptions): Promise<Deployment> {
  const { brokers, redisUrl, settings = {} } = options
  const dir = await temporaryDir(onEnd)
  const topicPrefix = `t-${randomUUID().slice(0, 8)}`
  const text = {
    // On a busy machine the default deadline would make replies DEGRADED.
    recall: { redisDeadlineMs: 2_000 },
    ...settings,
    stateDir: path.join(dir, 'state'),
    artifacts: { dir: path.join(dir, 'artifacts') },
    kafka: { brokers, topicPrefix, partitions: 4, ...settings['kafka'] },
    redis: { url: redisUrl, keyPrefix: `${topicPrefix}:`, ...settings['redis'] },
    metrics: { port: 0 },
  }
  const config = configSchema.parse(text)
  const file = path.join(dir, 'freshet.yaml')
  await fs.writeFile(file, JSON.stringify(text))
  const kafka = createKafkaClient({ config: config.kafka, log: silentLog })
  onEnd(() => kafka.close())
  if (options.hasTopics !== false) await kafka.createTopics(topicDefinitions(config))
  return {
    ...{ config, kafka, dir, topics: topicNames(config.kafka.topicPrefix) },
    role: (role, name = role) => startRole(onEnd, { name, dir, args: [role, '--config', file] }),
    run: (...args) => runCommand([...args, '--config', file], { dir }),
  }
}
