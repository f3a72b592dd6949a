import type { Config } from '../config/schema.ts'
import { FreshetError } from '../errors.ts'
import type { TopicNames } from '../records/topics.ts'
import type { ArtifactStore } from '../runtime/generation/artifact-store.ts'
import { storedGenerations } from '../runtime/generation/stored.ts'
import { scanNewest } from '../runtime/inspect/scan.ts'
import type { KafkaClient, OnlineStore } from '../runtime/ports.ts'
import type { RecallResult } from '../runtime/recall-client.ts'
import { ApiRoutes, type Query } from './api-routes.ts'
import type { DeadLetters, Generations, ItemMap, Overview } from './api.ts'
import { deadLettersOf } from './dead-letter-view.ts'
import { Follower } from './follower.ts'
import { generationsOf } from './generation-views.ts'
import { MetricsFeed, type MetricsPage } from './metrics-feed.ts'
import { UserApi } from './user-api.ts'

export interface ConsoleDeps {
  readonly config: Config
  readonly kafka: KafkaClient
  readonly topics: TopicNames
  readonly store: Pick<OnlineStore, 'read'>
  readonly artifacts: ArtifactStore
  readonly pages: readonly MetricsPage[]
  /** As a pod answers. @throws FreshetError TIMEOUT, BROKER_UNAVAILABLE */
  recall(userId: string, k: number): Promise<RecallResult>
}

const lettersLooked = 1_000
const lettersShown = 100

/** What the console knows and how it comes to know it. Reads only. */
export class Console {
  readonly routes: ApiRoutes
  readonly #deps: ConsoleDeps
  readonly #follower: Follower
  readonly #feed: MetricsFeed
  readonly #users: UserApi

  static async open(deps: ConsoleDeps): Promise<Console> {
    return new Console(deps, await Follower.open(deps.kafka, deps.topics))
  }

  private constructor(deps: ConsoleDeps, follower: Follower) {
    this.#deps = deps
    this.#follower = follower
    this.#feed = new MetricsFeed(deps.pages)
    this.#users = new UserApi(deps, follower)
    this.routes = new ApiRoutes({
      overview: async (query) => this.#overview(query),
      generations: () => this.#generations(),
      user: (query) => this.#users.user(query.id('id')),
      passport: (query) =>
        this.#users.passport(query.id('user'), query.id('request'), query.optionalId('item')),
      'dead-letters': () => this.#deadLetters(),
      map: (query) => this.#map(query),
    })
  }

  async close(): Promise<void> {
    this.#feed.close()
    await Promise.all([this.#follower.close(), this.#users.close()])
  }

  #overview(query: Query): Overview {
    const nowMs = Date.now()
    this.#follower.tick(nowMs)
    const { model, events } = this.#follower
    const { document, controlling } = model
    const { history, sources } = this.#feed
    return {
      ...{ atMs: nowMs, sources, now: history.figures(), events: events.slice(0, 100) },
      series: history.series(query.text('window') === 'all' ? 'all' : 'recent'),
      live: document?.live ?? null,
      liveSinceMs: document === null || document.liveSinceMs === 0 ? null : document.liveSinceMs,
      candidate: document?.candidate ?? null,
      waitsFor: (document?.candidate ?? null) === null ? [] : (controlling?.waitsFor ?? []),
      alerts: controlling?.alerts ?? [],
    }
  }

  async #generations(): Promise<Generations> {
    const { artifacts, config } = this.#deps
    const stored = await storedGenerations(artifacts)
    const options = { ...config.generations, partitions: config.kafka.partitions }
    return generationsOf(stored, this.#follower.model, options, Date.now())
  }

  async #deadLetters(): Promise<DeadLetters> {
    const { kafka, topics } = this.#deps
    const partition = { topic: topics.deadLetters, partition: 0 }
    const records: Parameters<typeof deadLettersOf>[0][number][] = []
    const { low, high } = await scanNewest(kafka, partition, lettersLooked, (record) =>
      records.push(record),
    )
    return deadLettersOf(records, high - low, lettersShown, Date.now())
  }

  async #map(query: Query): Promise<ItemMap> {
    const live = this.#follower.model.document?.live ?? null
    if (live === null) {
      const message = 'no generation is live, so there is nothing to draw: is a controller running?'
      throw new FreshetError('GENERATION_INVALID', message)
    }
    return this.#users.map(live, query.optionalId('user'))
  }
}
