import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import { decodeOverride } from '../records/codec.ts'
import type { TopicNames } from '../records/topics.ts'
import type { Features } from '../records/types.ts'
import { openServingEngine } from '../runtime/engines/index.ts'
import { openDirectoryStore } from '../runtime/generation/artifact-store.ts'
import { loadGeneration, type ServingGeneration } from '../runtime/generation/generation.ts'
import { OverrideLog } from '../runtime/override-log.ts'
import type { KafkaClient } from '../runtime/ports.ts'
import { UserTower } from '../runtime/recall-user-tower.ts'
import type { ItemFacts } from '../streams/explain.ts'
import { eachReadable } from '../runtime/kafka/readable.ts'

interface Source {
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly config: Config
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
  question: StandingQuestion,
): Promise<ItemFacts['standing']> {
  const generation = await filesOf(source.config, question.generation)
  if (generation === null) return 'unknown'
  const vectors = await vectorsOf(source, generation)
  const own = vectors.get(itemId)
  if (own === undefined) return null
  const user = await userVector(generation, question, source.config)
  const score = dot(user, own)
  let rank = 1
  for (const [id, vector] of vectors) {
    if (dot(user, vector) > score && !question.isSkipped(id)) rank++
  }
  return { score, rank }
}

/** null: they are not here, as the roles run elsewhere. */
async function filesOf({ artifacts }: Config, id: string): Promise<ServingGeneration | null> {
  const store = openDirectoryStore(artifacts.dir)
  if (!(await store.exists(`generations/${id}/manifest.json`))) return null
  return loadGeneration(store, id, { for: 'serving' })
}

async function vectorsOf(
  { kafka, topics }: Source,
  { id, itemIds, itemVectors, model: { outputDim: dim } }: ServingGeneration,
): Promise<ReadonlyMap<string, Float32Array>> {
  const vectors = new Map(
    itemIds.map((itemId, i) => [itemId, itemVectors.subarray(i * dim, (i + 1) * dim)]),
  )
  const log = await OverrideLog.open(kafka, topics.overrides)
  const tail = await kafka.tail({
    topics: [topics.overrides],
    from: log.startOf(id),
    onBatch: eachReadable(decodeOverride, (record) => {
      if (record.generation !== id || record.kind !== 'override') return
      if (record.vector === null) vectors.delete(record.itemId)
      else vectors.set(record.itemId, record.vector.slice())
    }),
  })
  try {
    await tail.caughtUp
    return vectors
  } finally {
    await tail.close()
    await log.close()
  }
}

async function userVector(
  { model, dense, userDefaultRow }: ServingGeneration,
  { row, features }: StandingQuestion,
  config: Config,
): Promise<Float32Array> {
  if (row !== null && row.length !== model.dim) {
    const why = `the user's row has ${row.length} floats, the generation's have ${model.dim}`
    throw new FreshetError('GENERATION_INVALID', why)
  }
  const tensors = await openServingEngine(config.model.engine).open(model, dense)
  try {
    return await new UserTower(tensors, model, dense).vector(row ?? userDefaultRow, features)
  } finally {
    await tensors.close()
  }
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0)
}
