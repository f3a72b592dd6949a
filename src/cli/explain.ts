import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import { decodeDeadLetter, decodeEvent, decodeExample, decodeItem } from '../records/codec.ts'
import { partitionOf } from '../records/partition.ts'
import type { TopicNames } from '../records/topics.ts'
import type { Click, Features, Impression, Item } from '../records/types.ts'
import { noFeatures } from '../records/types.ts'
import { readControl } from '../runtime/control.ts'
import type { KafkaClient, OnlineRead, OnlineRow } from '../runtime/ports.ts'
import { RecallClient, type RecallResult } from '../runtime/recall-client.ts'
import { openOnlineStore } from '../runtime/redis/online-store.ts'
import { explainClicks, explainItem } from '../streams/explain.ts'
import type { ExplainedClick, ItemFacts, UserRecords } from '../streams/explain.ts'
import type { SourceRecord } from '../streams/stage.ts'
import { recallClientOptions } from './commands/recall.ts'
import type { Connected } from './connect.ts'
import { standingOf } from './explain-standing.ts'
import { readable } from '../runtime/kafka/readable.ts'

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
  const records = await recordsOf(kafka, topics, user, partition, options.last)
  const items = await readItems(kafka, topics.items)
  const { row, learnedThrough } = await readRow(config, generation, partition, user, log)
  const impression = records.impressions.at(-1) ?? null
  const features = impression?.features ?? noFeatures
  const reply = await ask(config, user, features, options.k)
  const clicks = explainClicks(records, row?.offset ?? null).slice(0, options.clicks)
  const titleOf = (itemId: string) => items.get(itemId)?.title ?? ''
  const facts = { kafka, topics, config, generation, row, features, items, reply }
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
}

async function itemOf(itemId: string, facts: Facts): Promise<NonNullable<Explanation['item']>> {
  const { config, items, reply, row, generation, features } = facts
  const item = items.get(itemId)
  const place = reply.items.findIndex((each) => each.itemId === itemId) + 1
  const isWithdrawn = (id: string) => items.get(id) === null
  const { excludeRecentClicks } = config.recall
  const excluded = new Set(excludeRecentClicks ? (row?.recentItems ?? []) : [])
  const standing = await standingOf(facts, itemId, {
    ...{ generation, features, row: row?.row ?? null },
    isSkipped: (id) => id !== itemId && (excluded.has(id) || isWithdrawn(id)),
  })
  const known: ItemFacts = {
    isInCatalogue: item !== undefined && item !== null,
    isWithdrawn: isWithdrawn(itemId),
    isRecentClick: excluded.has(itemId),
    place: place === 0 ? null : place,
    asked: reply.items.length,
    standing,
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

async function recordsOf(
  kafka: KafkaClient,
  topics: TopicNames,
  user: string,
  partition: number,
  last: number,
): Promise<UserRecords> {
  const impressions: Impression[] = []
  const clicks: Click[] = []
  const examples: UserRecords['examples'][number][] = []
  const refused: UserRecords['refused'][number][] = []
  const isUsers = (event: ReturnType<typeof decodeEvent>): event is Click | Impression =>
    event.kind !== 'heartbeat' && event.userId === user
  await newest(kafka, topics.events, [partition], last, ({ value }) => {
    const event = decodeEvent(value!)
    if (!isUsers(event)) return
    if (event.kind === 'click') clicks.push(event)
    else impressions.push(event)
  })
  await newest(kafka, topics.examples, [partition], last, ({ value, offset }) => {
    const example = decodeExample(value!)
    if (example.kind === 'example' && example.userId === user) examples.push({ offset, example })
  })
  await newest(kafka, topics.deadLetters, null, last, ({ value }) => {
    const letter = decodeDeadLetter(value!)
    if (letter.sourceTopic !== topics.events) return
    const event = decodeEvent(letter.original)
    if (isUsers(event)) refused.push({ letter, event })
  })
  return { impressions, clicks, examples, refused }
}

/** @param partitions null: all */
async function newest(
  kafka: KafkaClient,
  topic: string,
  partitions: readonly number[] | null,
  last: number,
  use: (record: SourceRecord) => void,
): Promise<void> {
  for (const { partition, low, high } of await kafka.offsets(topic)) {
    if (partitions !== null && !partitions.includes(partition)) continue
    const from = Math.max(low, high - last)
    await kafka.readRange({ topic, partition }, from, high, ({ records }) => {
      for (const record of records) readable(() => use(record))
    })
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
        readable(() => items.set(itemId, value === null ? null : decodeItem(value)))
      }
    },
  })
  await tail.caughtUp
  await tail.close()
  return items
}
