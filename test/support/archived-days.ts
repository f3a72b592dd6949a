import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { encodeExample } from '../../src/records/codec.ts'
import type { Example } from '../../src/records/types.ts'
import { openArchive } from '../../src/runtime/archive/archive.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import {
  bootstrapGeneration,
  loadManifest,
  writeGeneration,
} from '../../src/runtime/generation/generation.ts'
import type { CatalogueChange } from '../../src/streams/learner-types.ts'
import { randomFrom } from './vectors.ts'

const dayMs = 86_400_000
const users = 60
const items = 40

export interface ArchivedDays {
  readonly config: Config
  readonly days: readonly string[]
}

/**
 * Days of made-up clicks in an archive under `dir`, two partitions and two files each, and the bootstrap generation `start`. Users
 * like items of their own kind, so there is something to learn.
 */
export async function archivedDays(
  dir: string,
  { count = 2, examples = 1_200, first = '2026-01-01' } = {},
): Promise<ArchivedDays> {
  const config = loadConfig({
    texts: [{ name: 'test', text: settings(dir) }],
    environment: {},
    settings: [],
  })
  const store = openDirectoryStore(config.artifacts.dir)
  const archive = openArchive(store)
  const random = randomFrom(7)
  const days = Array.from({ length: count }, (_, i) =>
    new Date(Date.parse(first) + i * dayMs).toISOString().slice(0, 10),
  )
  for (const [number, day] of days.entries()) {
    const half = examples / 2
    const ranges = []
    for (const partition of [0, 1]) {
      const from = number * half
      for (const [start, end] of [
        [from, from + 100],
        [from + 100, from + half],
      ] as const) {
        const values = Array.from({ length: end - start }, (_, i) =>
          encodeExample(exampleOf(day, `${day}-${partition}-${start + i}`, random)),
        )
        const range = { partition, from: start, to: end }
        await archive.write(day, range, values)
        ranges.push(range)
      }
    }
    await archive.writeCatalogue(day, catalogue)
    await archive.seal(day, ranges)
  }
  const { seed, engine: _, ...model } = config.model
  await writeGeneration(store, bootstrapGeneration('start', model, seed, Date.parse(first)))
  return { config, days }
}

/** sha256 of each file of a generation that has to be the same whenever it is made again. */
export async function tensorFiles(
  dir: string,
  generation: string,
): Promise<Record<string, string>> {
  const { files } = await loadManifest(openDirectoryStore(`${dir}/artifacts`), generation)
  return Object.fromEntries(Object.entries(files).map(([name, { sha256 }]) => [name, sha256]))
}

function settings(dir: string): string {
  const tower = {
    hidden: 8,
    features: [{ kind: 'categorical', name: 'kind', buckets: 16, dim: 4 }],
  }
  return JSON.stringify({
    stateDir: `${dir}/state`,
    artifacts: { dir: `${dir}/artifacts` },
    model: { dim: 8, item: tower },
    full: { batch: 32, candidates: 48 },
  })
}

function exampleOf(day: string, requestId: string, random: () => number): Example {
  const user = Math.floor(users * random())
  const item = (user % 4) + 4 * Math.floor((items / 4) * random())
  const eventTimeMs = Date.parse(day) + Math.floor(dayMs * random())
  return {
    ...{ kind: 'example', requestId, userId: `u${user}`, itemId: `i${item}`, eventTimeMs },
    ...{ impressionTimeMs: eventTimeMs, position: 0, weight: 1, scenario: 'home' },
    ...{
      hardNegatives: [],
      features: { categorical: new Map(), numeric: new Map(), dense: new Map() },
    },
  }
}

const catalogue: readonly CatalogueChange[] = Array.from({ length: items }, (_, i) => {
  const categorical = new Map([['kind', [`k${i % 4}`]]])
  const features = { categorical, numeric: new Map(), dense: new Map() }
  return {
    itemId: `i${i}`,
    item: { itemId: `i${i}`, title: `Item ${i}`, createdAtMs: 0, features },
  }
})
