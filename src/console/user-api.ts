import { messageOf } from '../errors.ts'
import { partitionOf } from '../records/partition.ts'
import type { ControlDocument } from '../records/types.ts'
import { loadManifest } from '../runtime/generation/generation.ts'
import { recordsOfUser } from '../runtime/inspect/user-records.ts'
import type { OnlineRead } from '../runtime/ports.ts'
import type { RecallResult } from '../runtime/recall-client.ts'
import type { ItemMap, MapPoint, Maybe, Passport, RowView, TitledItem, UserView } from './api.ts'
import type { ConsoleDeps } from './console.ts'
import { Catalogue } from './catalogue.ts'
import type { Follower } from './follower.ts'
import { Overrides } from '../runtime/inspect/overrides.ts'
import { passportOf } from './passport.ts'
import { project } from './projection.ts'
import { Spaces, type Space } from './spaces.ts'
import { featureLines, firstReplyWith } from './user-records.ts'

const topMax = 10
const clicksMax = 20
const recordsMax = 20_000
const readMs = 1_000

type Standing = RowView['standing']

/** What is known of one user, and the items around. */
export class UserApi {
  readonly #deps: ConsoleDeps
  readonly #follower: Follower
  readonly #catalogue: Catalogue
  readonly #spaces: Spaces
  readonly #overrides: Overrides

  constructor(deps: ConsoleDeps, follower: Follower) {
    const { kafka, topics, config, artifacts } = deps
    this.#deps = deps
    this.#follower = follower
    this.#catalogue = new Catalogue(kafka, topics.items)
    this.#overrides = new Overrides(kafka, topics.overrides)
    this.#spaces = new Spaces({
      ...{ store: artifacts, engine: config.model.engine, overrides: this.#overrides },
    })
  }

  async user(userId: string): Promise<UserView> {
    const { kafka, topics, recall } = this.#deps
    const partition = this.#partitionOf(userId)
    await this.#catalogue.open()
    const titled = (itemId: string): TitledItem => this.#catalogue.titled(itemId)
    const [records, asked, rows] = await Promise.all([
      recordsOfUser(kafka, topics, partition, userId, recordsMax),
      settled(recall(userId, topMax)),
      this.#rows(userId),
    ])
    const last = records.impressions.at(-1)?.record
    return {
      ...{ atMs: Date.now(), userId, partition, scanned: scannedOf(partition) },
      reply: asked.value === null ? null : replyOf(asked.value),
      replyProblem: asked.problem,
      rows: rows.map(({ view }) => view),
      recentItems: (rows.find(({ view }) => view.standing === 'live')?.recentItems ?? []).map(
        titled,
      ),
      clicks: records.examples
        .slice(-clicksMax)
        .reverse()
        .map(({ arrivedMs, record: { requestId, itemId, eventTimeMs } }) => ({
          ...titled(itemId),
          ...{ requestId, eventTimeMs, arrivedMs },
        })),
      lastRequest:
        last === undefined
          ? null
          : {
              ...{ requestId: last.requestId, eventTimeMs: last.eventTimeMs },
              ...{ scenario: last.scenario, features: featureLines(last.features) },
            },
    }
  }

  async passport(userId: string, requestId: string, itemId: string | null): Promise<Passport> {
    const { kafka, topics, artifacts } = this.#deps
    const partition = this.#partitionOf(userId)
    await this.#catalogue.open()
    const records = await recordsOfUser(kafka, topics, partition, userId, recordsMax)
    const { examples, impressions, clicks } = records
    const isIt = (one: {
      readonly record: { readonly requestId: string; readonly itemId: string }
    }) => one.record.requestId === requestId && (itemId === null || one.record.itemId === itemId)
    const example = examples.find(isIt) ?? null
    const click = clicks.find(isIt) ?? null
    const impression = impressions.find(({ record }) => record.requestId === requestId) ?? null
    const item = itemId ?? example?.record.itemId ?? click?.record.itemId ?? null
    const live = this.#document?.live ?? null
    const row = live === null ? null : (await this.#read(live, userId)).value
    const trained = live === null ? null : await settled(loadManifest(artifacts, live))
    const known = live === null ? null : this.#follower.model.known.lineage(live, Date.now())
    const replies =
      example === null
        ? { reply: null, repliesSeen: 0 }
        : await firstReplyWith(kafka, topics, userId, example)
    return passportOf({
      ...{ userId, requestId, itemId: item, live, ...replies },
      scanned: scannedOf(partition),
      title: item === null ? '' : this.#catalogue.titled(item).title,
      ...{ impression, click, example },
      trainedOffset: trained?.value?.cuts?.examples[partition] ?? 0,
      learnedOffset:
        known?.learnedThrough.find((one) => one.partition === partition)?.offset ?? null,
      learnedAtMs:
        example === null || live === null
          ? null
          : this.#follower.advances.learntAtMs(live, partition, example.offset),
      rowOffset: row?.row?.offset ?? null,
      override: live === null || item === null ? null : await this.#overrideOf(live, item),
    })
  }

  /** @param userId null: the items alone */
  async map(generation: string, userId: string | null): Promise<ItemMap> {
    await this.#catalogue.open()
    const space = await this.#spaces.of(generation)
    const { plane, sample, itemIds } = space
    const found = await Promise.all(sample.map((itemId) => this.#pointOf(space, itemId)))
    const points = found.filter((point) => point !== null)
    const user = userId === null ? null : await this.#userOn(space, generation, userId)
    return {
      atMs: Date.now(),
      generation,
      items: itemIds.length,
      points,
      shares: plane.shares,
      user,
    }
  }

  async #userOn(space: Space, generation: string, userId: string): Promise<ItemMap['user']> {
    const { value, problem } = await this.#read(generation, userId)
    if (value === null) throw new Error(`${problem}: where the user is cannot be said`)
    const vector = await space.userVector(value.row?.row ?? null)
    const [x, y] = project(space.plane, vector)
    const { ids, scores } = await space.search(vector, topMax, skipOf(value))
    const found = await Promise.all(ids.map((itemId) => this.#pointOf(space, itemId)))
    const top = found.flatMap((point, i) =>
      point === null ? [] : [{ ...point, score: scores[i]! }],
    )
    return { userId, hasRow: value.row !== null, x, y, top }
  }

  async #pointOf(space: Space, itemId: string): Promise<MapPoint | null> {
    const vector = await space.vectorOf(itemId)
    if (vector === null) return null
    const [x, y] = project(space.plane, vector)
    return { ...this.#catalogue.titled(itemId), category: this.#catalogue.category(itemId), x, y }
  }

  async close(): Promise<void> {
    await Promise.all([this.#catalogue.close(), this.#overrides.close(), this.#spaces.close()])
  }

  async #rows(userId: string): Promise<{ view: RowView; recentItems: readonly string[] }[]> {
    const { live = null, candidate = null, previous = null } = this.#document ?? {}
    const all: readonly (readonly [Standing, string | null])[] = [
      ['live', live],
      ['candidate', candidate],
      ['previous', previous],
    ]
    return Promise.all(
      all.flatMap(([standing, id]) => (id === null ? [] : [this.#rowOf(standing, id, userId)])),
    )
  }

  async #rowOf(standing: Standing, generation: string, userId: string) {
    const { value: read, problem } = await this.#read(generation, userId)
    const top =
      read === null ? { value: null, problem } : await settled(this.#topOf(generation, read))
    const view: RowView = {
      ...{
        standing,
        generation,
        isLoaded: read?.isLoaded ?? false,
        hasRow: (read?.row ?? null) !== null,
      },
      userEventTimeMs: timeOf(read?.row?.eventTimeMs),
      learnedThroughMs: timeOf(read?.learnedThrough?.eventTimeMs),
      ...{ top: top.value, problem: top.problem },
    }
    return { view, recentItems: read?.row?.recentItems ?? [] }
  }

  async #topOf(generation: string, read: OnlineRead): Promise<NonNullable<RowView['top']>> {
    const space = await this.#spaces.of(generation)
    const vector = await space.userVector(read.row?.row ?? null)
    const { ids, scores } = await space.search(vector, topMax, skipOf(read))
    return ids.map((itemId, i) => ({ ...this.#catalogue.titled(itemId), score: scores[i]! }))
  }

  async #overrideOf(generation: string, itemId: string) {
    return (await this.#overrides.of(generation)).get(itemId) ?? null
  }

  #read(generation: string, userId: string): Promise<Settled<OnlineRead>> {
    return settled(this.#deps.store.read(generation, this.#partitionOf(userId), userId, readMs))
  }

  #partitionOf(userId: string): number {
    return partitionOf(userId, this.#deps.config.kafka.partitions)
  }

  get #document(): ControlDocument | null {
    return this.#follower.model.document
  }
}

interface Settled<T> {
  readonly value: T | null
  readonly problem: string | null
}

async function settled<T>(work: Promise<T>): Promise<Settled<T>> {
  try {
    return { value: await work, problem: null }
  } catch (error) {
    return { value: null, problem: messageOf(error) }
  }
}

function scannedOf(partition: number): string {
  return `the newest ${recordsMax.toLocaleString('en-US')} records of partition ${partition}`
}

/** As a pod leaves them out (recall.excludeRecentClicks). */
function skipOf(read: OnlineRead): ReadonlySet<string> {
  return new Set(read.row?.recentItems ?? [])
}

function timeOf(timeMs: number | undefined): Maybe {
  return timeMs === undefined || timeMs === 0 ? null : timeMs
}

function replyOf(result: RecallResult): NonNullable<UserView['reply']> {
  const { userEventTime, learnedThrough, ...reply } = result
  return {
    ...reply,
    userEventTimeMs: userEventTime?.getTime() ?? null,
    learnedThroughMs: learnedThrough?.getTime() ?? null,
  }
}
