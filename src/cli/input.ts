import { join, resolve } from 'node:path'
import { loadConfig, type ConfigText } from '../config/load.ts'
import { configSchema, type Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import { systemClock } from '../runtime/clock.ts'
import type { LocalInstance } from '../runtime/local-instance.ts'
import { openGeneratedDays, openGenerator } from '../runtime/replay/generator-source.ts'
import { openFiles } from '../runtime/replay/open-files.ts'
import type { ReplaySource } from '../runtime/replay/source.ts'
import { createGenerator } from '../streams/generator/generator.ts'
import type { StartOptions } from './commands/start.ts'
import type { LocalServers } from './local-servers.ts'
import { readConfigFile } from './options.ts'
import { profileConfig, profileOf, type Profile } from './profile.ts'

/** What `npm start` plays, and how. */
export interface Input {
  readonly source: ReplaySource
  readonly profile: Profile
  readonly speed: number | 'max'
}

const seed = 17
const liveRate = 500
/** A day of it holds about 39,000 clicks. */
const daysRate = 1

/** @throws FreshetError USAGE_INVALID, FILE_MISSING, FILE_INVALID */
export async function openInput(options: StartOptions): Promise<Input> {
  const { events, speed } = options
  if (events !== undefined) {
    if (options.days !== undefined) {
      const message =
        '--days is for generated users, --events says what to replay: give one of them'
      throw new FreshetError('USAGE_INVALID', message)
    }
    return {
      source: await openFiles(events, seed),
      profile: profileOf(events),
      speed: speed ?? 'max',
    }
  }
  // As fast as it goes, but to where? Without a number, to the end of one day.
  const days = options.days ?? (speed === 'max' ? 1 : undefined)
  if (days !== undefined) {
    const generator = createGenerator({ eventsPerSecond: options.rate ?? daysRate })
    return { source: openGeneratedDays(generator, days), profile: 'days', speed: speed ?? 'max' }
  }
  const generator = createGenerator({ eventsPerSecond: options.rate ?? liveRate })
  const isLive = speed === undefined || speed === 1
  const source = openGenerator({ generator, clock: systemClock, isLive })
  return { source, profile: 'generator', speed: speed ?? 1 }
}

/**
 * What comes with the input, then what the user says, then where the servers are; without `servers` all but that. Generations lie in
 * a `stateDir` of its own, unless the user says where.
 */
export function localConfig(
  { profile, speed }: Pick<Input, 'profile' | 'speed'>,
  options: StartOptions,
  servers?: Pick<LocalServers, 'brokers' | 'redisUrl'>,
): Config {
  const texts = [
    ...profileConfig(profile),
    ...(speed === 'max' ? [replayConfig] : []),
    ...(options.config ?? []).map(readConfigFile),
    ...(servers === undefined ? [] : [addressesText(servers)]),
  ]
  const environment = process.env
  const settings = options.set ?? []
  const config = loadConfig({ texts, environment, settings })
  const { stateDir } = config
  if (!isOwn(stateDir)) return config
  const generations = { artifacts: { dir: join(stateDir, 'artifacts') } }
  const first = { name: 'a stateDir of its own', text: JSON.stringify(generations) }
  return loadConfig({ texts: [first, ...texts], environment, settings })
}

/** Topics and rows belong to the checkpoints and positions of one run: a `stateDir` of its own holds them as well. */
export function localDataDir({ stateDir }: Pick<Config, 'stateDir'>): string {
  return isOwn(stateDir) ? join(stateDir, 'data') : '.freshet/data'
}

function isOwn(stateDir: string): boolean {
  return resolve(stateDir) !== resolve(configSchema.parse({}).stateDir)
}

function addressesText({ brokers, redisUrl }: Pick<LocalServers, 'brokers' | 'redisUrl'>) {
  const addresses = { kafka: { brokers: brokers.split(',') }, redis: { url: redisUrl } }
  return { name: 'local servers', text: JSON.stringify(addresses) }
}

/** What other commands in the folder need to know. */
export function addressesOf({
  kafka,
  redis,
  stateDir,
  artifacts,
}: Config): LocalInstance['settings'] {
  const { brokers, topicPrefix, partitions } = kafka
  const addresses = { kafka: { brokers, topicPrefix, partitions }, redis: { url: redis.url } }
  return { ...addresses, stateDir, artifacts }
}

/** At full speed days pass in seconds, and two runs are to end with the same figures. */
const replayConfig: ConfigText = {
  name: 'a replay at full speed',
  text: JSON.stringify({
    learner: {
      order: 'event-time',
      // Every click is scored, as a live system would have had the time to.
      evaluationsPerSecondMax: 1_000_000,
    },
    // The generation before would be trained along for an hour by the clock, which is months of the replay.
    generations: { rollbackWindowMs: 0 },
  }),
}
