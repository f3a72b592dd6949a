import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/schema.ts'
import { choosePorts } from '../../runtime/local/loopback-ports.ts'
import type { Logger } from '../../runtime/ports.ts'
import { readConfigFile, type CommonOptions } from '../options.ts'
import { startTemporaryServers } from '../temporary-servers.ts'
import { startChild, type Child } from './child.ts'
import { pin, type Cores } from './cores.ts'

export interface BenchServers {
  /** Where Kafka and Redis run. */
  pin(to: readonly (number | null)[]): Promise<void>
  /** As every process of this prefix has it. */
  config(prefix: string, settings?: readonly string[]): Config
  /** A role of this prefix. `core` null: not pinned. */
  start(child: ChildToStart): Promise<Child>
  /** Ends the processes first, then the servers, and removes the folder. */
  close(): Promise<void>
}

export interface ChildToStart {
  readonly name: string
  /** Of `freshet`, without the settings. */
  readonly args: readonly string[]
  readonly prefix: string
  readonly settings?: readonly string[]
  readonly core: number | null
  readonly nodeOptions?: readonly string[]
}

const generatorYaml = fileURLToPath(new URL('../../../config/generator.yaml', import.meta.url))

/** Kafka and Redis for one benchmark, in a folder of their own, on the core that does not measure. */
export async function openBenchServers(
  options: CommonOptions,
  cores: Cores,
  log: Logger,
): Promise<BenchServers> {
  const servers = await startTemporaryServers('bench', log)
  const { dir, broker, redis } = servers
  const children = new Set<Child>()
  const close = async (): Promise<void> => {
    await Promise.all([...children].map((child) => child.stop()))
    await servers.close()
  }
  try {
    const pinServers = async (to: readonly (number | null)[]): Promise<void> => {
      for (const { pid } of [broker, redis]) await pin(pid, to)
    }
    await pinServers([cores.others])

    const files = [generatorYaml, ...(options.config ?? []).map((file) => path.resolve(file))]
    const own = (prefix: string, settings: readonly string[] = []): string[] => [
      ...(options.set ?? []),
      `kafka.brokers=["${broker.bootstrap}"]`,
      `kafka.topicPrefix=${prefix}`,
      `redis.url=${redis.url}`,
      `redis.keyPrefix=${prefix}.`,
      `stateDir=${path.join(dir, prefix, 'state')}`,
      `artifacts.dir=${path.join(dir, prefix, 'artifacts')}`,
      ...settings,
    ]
    return {
      pin: pinServers,
      close,
      config: (prefix, settings) =>
        loadConfig({
          texts: files.map(readConfigFile),
          environment: {},
          settings: own(prefix, settings),
        }),
      start: async ({ name, args, prefix, settings = [], core, nodeOptions = [] }) => {
        const [metricsPort] = await choosePorts(path.join(dir, 'ports', name), 1, undefined, name)
        const ownSettings = own(prefix, [...settings, `metrics.port=${metricsPort}`])
        const child = startChild({
          ...{ name, cwd: dir, metricsPort: metricsPort!, core, nodeOptions },
          args: [
            ...args,
            ...files.flatMap((file) => ['-c', file]),
            ...ownSettings.flatMap((setting) => ['-s', setting]),
          ],
        })
        children.add(child)
        return child
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}
