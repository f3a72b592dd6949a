import { Random } from '../../model/hash.ts'
import { encodeExample } from '../../records/codec.ts'
import { openArchive } from '../../runtime/archive/archive.ts'
import type { ArtifactStore } from '../../runtime/generation/artifact-store.ts'
import type { CatalogueChange } from '../../streams/learner-types.ts'

const users = 100_000
const items = 20_000
const partitions = 4
/** So that a file has about the bytes that the compactor closes one at. */
const examplesAFile = 100_000
const dayMs = 86_400_000

/** The model that is trained on them, as configuration. */
export const generatedModel = {
  dim: 64,
  user: {
    hidden: 64,
    features: [{ kind: 'categorical', name: 'country', buckets: 256, dim: 16 }],
  },
  item: {
    hidden: 64,
    features: [
      { kind: 'categorical', name: 'genre', buckets: 256, dim: 16 },
      { kind: 'numeric', name: 'year' },
    ],
  },
}

/** An archived day of clicks with skewed users and items: as many of them whatever the size, so that only the examples grow. */
export async function writeGeneratedDay(
  store: ArtifactStore,
  day: string,
  examples: number,
): Promise<void> {
  const archive = openArchive(store)
  const random = new Random(17, examples)
  const ranges = []
  let written = 0
  for (let partition = 0; partition < partitions; partition++) {
    const end = Math.floor((examples * (partition + 1)) / partitions)
    for (let from = 0; written < end;) {
      const count = Math.min(examplesAFile, end - written)
      const values = Array.from({ length: count }, (_, i) =>
        exampleOf(day, `r${written + i}`, random),
      )
      const range = { partition, from, to: from + count }
      await archive.write(day, range, values)
      ranges.push(range)
      written += count
      from += count
    }
  }
  await archive.writeCatalogue(day, catalogue())
  await archive.seal(day, ranges)
}

function exampleOf(day: string, requestId: string, random: Random): Buffer {
  const skewed = (limit: number): number => Math.floor(limit * random.nextFloat() ** 3)
  const user = skewed(users)
  // Users of a country like its genre, so there is something to learn.
  const item = (skewed(items / 20) * 20 + (random.nextFloat() < 0.7 ? user % 20 : 0)) % items
  const eventTimeMs = Date.parse(day) + Math.floor(dayMs * random.nextFloat())
  return encodeExample({
    ...{ kind: 'example', requestId, userId: `user-${user}`, itemId: `item-${item}`, eventTimeMs },
    ...{ impressionTimeMs: eventTimeMs, position: 0, weight: 1, scenario: 'home' },
    hardNegatives: [],
    features: {
      categorical: new Map([['country', [`c${user % 20}`]]]),
      numeric: new Map(),
      dense: new Map(),
    },
  })
}

function catalogue(): CatalogueChange[] {
  return Array.from({ length: items }, (_, i) => {
    const itemId = `item-${i}`
    const features = {
      categorical: new Map([['genre', [`g${i % 20}`]]]),
      numeric: new Map([['year', i / items]]),
      dense: new Map<string, number[]>(),
    }
    return { itemId, item: { itemId, title: itemId, createdAtMs: 0, features } }
  })
}
