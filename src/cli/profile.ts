import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ConfigText } from '../config/load.ts'
import { FreshetError } from '../errors.ts'
import { ratingsFile } from '../runtime/replay/movietweetings-files.ts'
import { readConfigFile } from './options.ts'

/** What kind of input a folder was started with, which decides the model. */
export type Profile = 'generator' | 'movietweetings' | 'jsonl'

export function profileOf(events: string | undefined): Profile {
  if (events === undefined) return 'generator'
  return existsSync(join(events, ratingsFile)) ? 'movietweetings' : 'jsonl'
}

/** The configuration that comes with a kind of input; JSON lines of one's own come with one's own. */
export function profileConfig(profile: Profile): readonly ConfigText[] {
  if (profile === 'jsonl') return []
  return [readConfigFile(fileURLToPath(new URL(`../../config/${profile}.yaml`, import.meta.url)))]
}

const file = '.freshet/data/profile'

/**
 * A generation keeps the model it was made with, so topics and rows of one kind of input are of no use to another.
 * @throws FreshetError USAGE_INVALID where this folder was started with another
 */
export function claimProfile(profile: Profile): void {
  const before = existsSync(file) ? readFileSync(file, 'utf8') : profile
  if (before !== profile) {
    throw new FreshetError(
      'USAGE_INVALID',
      `this folder holds a run with ${before} input, which has another model than ${profile}; npx freshet reset forgets it`,
    )
  }
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, profile)
}
