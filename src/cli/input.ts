import { loadConfig, type ConfigText } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import { systemClock } from '../runtime/clock.ts'
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

/** What comes with the input, then what the user says, then where the servers are. */
export function localConfig(
  { profile, speed }: Pick<Input, 'profile' | 'speed'>,
  options: StartOptions,
  servers: Pick<LocalServers, 'brokers' | 'redisUrl'>,
): Config {
  const addresses = {
    kafka: { brokers: servers.brokers.split(',') },
    redis: { url: servers.redisUrl },
  }
  return loadConfig({
    texts: [
      ...profileConfig(profile),
      ...(speed === 'max' ? [replayConfig] : []),
      ...(options.config ?? []).map(readConfigFile),
      { name: 'local servers', text: JSON.stringify(addresses) },
    ],
    environment: process.env,
    settings: options.set ?? [],
  })
}

/** What other commands in the folder need to know. */
export function addressesOf({ kafka, redis }: Config): Record<string, unknown> {
  const { brokers, topicPrefix, partitions } = kafka
  return { kafka: { brokers, topicPrefix, partitions }, redis: { url: redis.url } }
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
