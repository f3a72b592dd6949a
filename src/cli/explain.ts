import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import { decodeItem } from '../records/codec.ts'
import { partitionOf } from '../records/partition.ts'
import type { TopicNames } from '../records/topics.ts'
import type { Features, Impression, Item } from '../records/types.ts'
import { noFeatures } from '../records/types.ts'
import { readControl } from '../runtime/control.ts'
import { openDirectoryStore, type ArtifactStore } from '../runtime/generation/artifact-store.ts'
import { loadManifest } from '../runtime/generation/generation.ts'
import { recordsOfUser, refusedOfUser } from '../runtime/inspect/user-records.ts'
import { decoded } from '../runtime/kafka/readable.ts'
import type { KafkaClient, OnlineRead, OnlineRow } from '../runtime/ports.ts'
import { RecallClient, type RecallResult } from '../runtime/recall-client.ts'
import { openOnlineStore } from '../runtime/redis/online-store.ts'
import { explainClicks, explainItem } from '../streams/explain.ts'
import type { ExplainedClick, ItemFacts } from '../streams/explain.ts'
import { recallClientOptions } from './commands/recall.ts'
import type { Connected } from './connect.ts'
import { standingOf } from './explain-standing.ts'

export interface ExplainOptions {
  readonly user: string
  readonly item: string | null
  /** How many clicks. */
  readonly clicks: number
  /** Newest records of each partition that are read. */
  readonly last: number
  /** Length of the list that the item is looked for in. */
  readonly k: number
}

export interface Explanation {
  readonly user: string
  readonly partition: number
  readonly generation: string
  /** null: the default row answers */
  readonly row: Omit<OnlineRow, 'row'> | null
  readonly learnedThroughMs: number | null
  readonly reply: RecallResult
  /** Whose features the reply was asked with; null: none were known. */
  readonly impression: Impression | null
  readonly clicks: readonly (ExplainedClick & { readonly title: string })[]
  readonly item:
    (ItemFacts & { readonly itemId: string; readonly title: string; readonly why: string }) | null
}

const redisDeadlineMs = 2_000
const replyWithinMs = 5_000

/** Everything that is behind the recall of one user. @throws FreshetError NOT_READY where no generation is live */
export async function explain(
  { kafka, topics, log }: Connected,
  config: Config,
  options: ExplainOptions,
): Promise<Explanation> {
  const { user } = options
  const control = await readControl(kafka, topics.control, log)
  const generation = control?.live ?? null
  if (generation === null) {
    throw new FreshetError('USAGE_INVALID', 'no generation is live yet: see freshet status')
  }
  const partition = partitionOf(user, config.kafka.partitions)
  const records = await recordsOfUser(kafka, topics, partition, user, options.last)
  const refused = await refusedOfUser(kafka, topics, user, options.last)
  const items = await readItems(kafka, topics.items)
  const { row, learnedThrough } = await readRow(config, generation, partition, user, log)
  const impression = records.impressions.at(-1)?.record ?? null
  const features = impression?.features ?? noFeatures
  const reply = await ask(config, user, features, options.k)
  const artifacts = openDirectoryStore(config.artifacts.dir)
  // null: the roles run elsewhere.
  const manifest = (await artifacts.exists(`generations/${generation}/manifest.json`))
    ? await loadManifest(artifacts, generation)
    : null
  const clicks = explainClicks(
    { ...records, refused },
    {
      rowOffset: row?.offset ?? null,
      trainedOffset: manifest?.cuts?.examples[partition] ?? 0,
    },
  ).slice(0, options.clicks)
  const titleOf = (itemId: string) => items.get(itemId)?.title ?? ''
  const facts = {
    ...{ kafka, topics, config, artifacts, generation, row, features, items, reply },
    hasFiles: manifest !== null,
  }
  return {
    ...{ user, partition, generation, reply, impression },
    row: row === null ? null : withoutFloats(row),
    learnedThroughMs: learnedThrough?.eventTimeMs ?? null,
    clicks: clicks.map((one) => ({ ...one, title: titleOf(one.click.itemId) })),
    item: options.item === null ? null : await itemOf(options.item, facts),
  }
}

function withoutFloats({ row: _, ...rest }: OnlineRow): Omit<OnlineRow, 'row'> {
  return rest
}

interface Facts {
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly config: Config
  readonly generation: string
  readonly row: OnlineRead['row']
  readonly features: Features
  readonly items: ReadonlyMap<string, Item | null>
  readonly reply: RecallResult
  readonly artifacts: ArtifactStore
  readonly hasFiles: boolean
}

async function itemOf(itemId: string, facts: Facts): Promise<NonNullable<Explanation['item']>> {
  const { config, items, reply, row, generation, features } = facts
  const item = items.get(itemId)
  const place = reply.items.findIndex((each) => each.itemId === itemId) + 1
  const isWithdrawn = (id: string) => items.get(id) === null
  const { excludeRecentClicks } = config.recall
  const excluded = new Set(excludeRecentClicks ? (row?.recentItems ?? []) : [])
  const question = {
    ...{ generation, features, row: row?.row ?? null },
    isSkipped: (id: string) => id !== itemId && (excluded.has(id) || isWithdrawn(id)),
  }
  const known: ItemFacts = {
    isInCatalogue: item !== undefined && item !== null,
    isWithdrawn: isWithdrawn(itemId),
    isRecentClick: excluded.has(itemId),
    place: place === 0 ? null : place,
    asked: reply.items.length,
    standing: facts.hasFiles ? await standingOf(facts, itemId, question) : 'unknown',
  }
  return { ...known, itemId, title: item?.title ?? '', why: explainItem(known) }
}

async function ask(
  config: Config,
  userId: string,
  features: Features,
  k: number,
): Promise<RecallResult> {
  const client = await RecallClient.connect(recallClientOptions(config))
  const { categorical, numeric, dense } = features
  try {
    return await client.recall({
      ...{ userId, k, timeoutMs: replyWithinMs },
      features: {
        categorical: Object.fromEntries(categorical),
        numeric: Object.fromEntries(numeric),
        dense: Object.fromEntries(dense),
      },
    })
  } finally {
    await client.close()
  }
}

async function readRow(
  config: Config,
  generation: string,
  partition: number,
  user: string,
  log: Connected['log'],
): Promise<OnlineRead> {
  const store = openOnlineStore(config.redis, log)
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(), redisDeadlineMs)
  try {
    await store.waitUntilReachable(deadline.signal)
    return await store.read(generation, partition, user, redisDeadlineMs)
  } finally {
    clearTimeout(timer)
    await store.close()
  }
}

async function readItems(kafka: KafkaClient, topic: string): Promise<Map<string, Item | null>> {
  const items = new Map<string, Item | null>()
  const tail = await kafka.tail({
    topics: [topic],
    from: 'earliest',
    onBatch: ({ records }) => {
      for (const { key, value } of records) {
        const itemId = key?.toString() ?? ''
        const item = decoded(decodeItem, value)
        if (item !== null || value === null) items.set(itemId, item)
      }
    },
  })
  await tail.caughtUp
  await tail.close()
  return items
}
