import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ConfigText } from '../config/load.ts'
import { FreshetError } from '../errors.ts'
import { ratingsFile } from '../runtime/replay/movietweetings-files.ts'
import { readConfigFile } from './options.ts'

/** What kind of input a folder was started with, which decides the model. */
export type Profile = 'generator' | 'days' | 'movietweetings' | 'jsonl'

export function profileOf(events: string): Profile {
  return existsSync(join(events, ratingsFile)) ? 'movietweetings' : 'jsonl'
}

/** The configuration that comes with a kind of input; JSON lines of one's own come with one's own. */
export function profileConfig(profile: Profile): readonly ConfigText[] {
  if (profile === 'jsonl') return []
  const name = profile === 'days' ? 'generator' : profile
  return [readConfigFile(fileURLToPath(new URL(`../../config/${name}.yaml`, import.meta.url)))]
}

/**
 * A generation keeps the model it was made with, and time does not go back, so topics and rows of one kind of input are of no use to
 * another.
 * @param dataDir of the local servers
 * @throws FreshetError USAGE_INVALID where they were started with another
 */
export function claimProfile(profile: Profile, dataDir: string): void {
  const file = join(dataDir, 'profile')
  const before = existsSync(file) ? readFileSync(file, 'utf8') : profile
  if (before !== profile) {
    throw new FreshetError(
      'USAGE_INVALID',
      `${dataDir} holds a run with ${before} input, which does not go together with ${profile} input; npx freshet reset forgets what is under .freshet, a stateDir of your own is yours to delete`,
    )
  }
  mkdirSync(dataDir, { recursive: true })
  writeFileSync(file, profile)
}
