import type { Config } from '../config/schema.ts'
import { dotAt } from '../model/dot.ts'
import type { TopicNames } from '../records/topics.ts'
import type { Features } from '../records/types.ts'
import type { ArtifactStore } from '../runtime/generation/artifact-store.ts'
import { openVectors, type GenerationVectors } from '../runtime/generation/vectors.ts'
import { Overrides } from '../runtime/inspect/overrides.ts'
import type { KafkaClient } from '../runtime/ports.ts'
import type { ItemFacts } from '../streams/explain.ts'

interface Source {
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly config: Config
  readonly artifacts: ArtifactStore
}

export interface StandingQuestion {
  readonly generation: string
  /** [d]; null: the default row */
  readonly row: Float32Array | null
  readonly features: Features
  /** Items that do not count. */
  readonly isSkipped: (itemId: string) => boolean
}

/** Score and exact rank of an item for a user, from the generation's files and its overrides. */
export async function standingOf(
  source: Source,
  itemId: string,
  { generation, row, features, isSkipped }: StandingQuestion,
): Promise<ItemFacts['standing']> {
  const vectors = await openVectors(source.artifacts, generation, source.config.model.engine)
  try {
    const newest = await newestVectors(source, generation, vectors)
    const own = newest.get(itemId)
    if (own === undefined) return null
    const user = await vectors.userVector(row, features)
    const scoreOf = (vector: Float32Array) => dotAt(user, 0, vector, 0, vector.length)
    const score = scoreOf(own)
    let rank = 1
    for (const [id, vector] of newest) if (scoreOf(vector) > score && !isSkipped(id)) rank++
    return { score, rank }
  } finally {
    await vectors.close()
  }
}

async function newestVectors(
  { kafka, topics }: Source,
  generation: string,
  { itemIds, itemVector }: GenerationVectors,
): Promise<ReadonlyMap<string, Float32Array>> {
  const newest = new Map(itemIds.map((itemId) => [itemId, itemVector(itemId)!]))
  const overrides = new Overrides(kafka, topics.overrides)
  try {
    for (const [itemId, { vector }] of await overrides.of(generation)) {
      if (vector === null) newest.delete(itemId)
      else newest.set(itemId, vector)
    }
    return newest
  } finally {
    await overrides.close()
  }
}
