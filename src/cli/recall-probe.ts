import { FreshetError, messageOf } from '../errors.ts'
import { decodeExampleHead } from '../records/codec.ts'
import { partitionOf } from '../records/partition.ts'
import { openDirectoryStore } from '../runtime/generation/artifact-store.ts'
import type { OnlineStore, Tail } from '../runtime/ports.ts'
import { RecallClient, type RecallResult } from '../runtime/recall-client.ts'
import { openOnlineStore } from '../runtime/redis/online-store.ts'
import { unexplained } from '../streams/reply-check.ts'
import { ProbeGenerations, type ProbeGeneration } from './probe-generations.ts'
import type { RoleContext } from './role-context.ts'

export interface ProbeCounts {
  readonly replies: number
  /** Whose scores no one generation explains. */
  readonly mixed: number
  /** The user's row changed while it was asked, or the generation is gone. */
  readonly unchecked: number
  /** No reply within a second. */
  readonly late: number
  readonly failed: number
}

type ProbeContext = Pick<RoleContext, 'config' | 'kafka' | 'topics' | 'log'>

const everyMs = 50
const k = 20
const inFlightMax = 4
/** Nobody has this id. */
const coldUser = 'freshet-probe-without-a-row'
const readMs = 500

/**
 * Asks for recall again and again while a run lasts, in turns for a user without a row and for one who has just clicked, and checks each
 * reply from outside.
 */
export class RecallProbe {
  readonly #context: ProbeContext
  readonly #live: () => string | null
  readonly #client: RecallClient
  readonly #store: OnlineStore
  readonly #generations: ProbeGenerations
  readonly #counts = { replies: 0, mixed: 0, unchecked: 0, late: 0, failed: 0 }
  readonly #ending = new AbortController()
  readonly #asking = new Set<Promise<void>>()
  #tail: Tail | null = null
  #timer: NodeJS.Timeout | undefined
  #warmUser: string | null = null
  #asked = 0

  /** @param live the generation that is live, as far as is known */
  static async start(context: ProbeContext, live: () => string | null): Promise<RecallProbe> {
    const { config, kafka, topics, log } = context
    const { brokers, topicPrefix } = config.kafka
    const client = await RecallClient.connect({ brokers, topicPrefix })
    const generations = await ProbeGenerations.open(
      { kafka, store: openDirectoryStore(config.artifacts.dir), engine: config.model.engine },
      topics.overrides,
    )
    const store = openOnlineStore(config.redis, log)
    const probe = new RecallProbe(context, live, client, store, generations)
    probe.#tail = await kafka.tail({
      topics: [topics.examples],
      from: 'latest',
      onBatch: ({ records }) => probe.#onExamples(records.map(({ value }) => value)),
    })
    probe.#timer = setInterval(() => probe.#askNext(), everyMs)
    return probe
  }

  private constructor(
    context: ProbeContext,
    live: () => string | null,
    client: RecallClient,
    store: OnlineStore,
    generations: ProbeGenerations,
  ) {
    this.#context = context
    this.#live = live
    this.#client = client
    this.#store = store
    this.#generations = generations
  }

  get counts(): ProbeCounts {
    return { ...this.#counts }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#ending.abort()
    await Promise.all(this.#asking)
    await this.#tail?.close()
    await this.#client.close()
    await this.#generations.close()
    await this.#store.close()
  }

  #onExamples(values: readonly (Buffer | null)[]): void {
    for (const value of values) {
      const head = value === null ? null : decodeExampleHead(value)
      if (head?.kind !== 'example') continue
      this.#warmUser = head.userId
      return
    }
  }

  #askNext(): void {
    if (this.#asking.size >= inFlightMax) return
    const userId = this.#asked++ % 2 === 0 ? coldUser : (this.#warmUser ?? coldUser)
    const asking = this.#ask(userId)
      .catch((error: unknown) => this.#onFailure(error))
      .finally(() => this.#asking.delete(asking))
    this.#asking.add(asking)
  }

  async #ask(userId: string): Promise<void> {
    const before = await this.#rowOf(this.#live(), userId)
    const reply = await this.#client.recall({ userId, k, signal: this.#ending.signal })
    if (reply.status === 'NO_GENERATION') return
    this.#counts.replies++
    if (reply.generation === '') throw new FreshetError('OVERLOADED', reply.message)
    const after = await this.#rowOf(reply.generation, userId)
    const generation = await this.#generations.with(reply.generation, reply.overrideSequence)
    if (generation === null) this.#counts.unchecked++
    else await this.#check(userId, reply, generation, [before, after])
  }

  async #check(
    userId: string,
    reply: RecallResult,
    generation: ProbeGeneration,
    rows: readonly (StoredRow | null)[],
  ): Promise<void> {
    const own = rows.filter((row) => row?.generation === reply.generation)
    const users = [generation.defaultUser]
    for (const row of own) users.push(await generation.userOf(row!.row))
    const missing = unexplained(reply, users, (itemId) => generation.vectorsOf(itemId))
    if (missing === null) return
    const isSteady = own.length === 2 && own[0]!.offset === own[1]!.offset
    if (userId !== coldUser && !isSteady) {
      this.#counts.unchecked++
      return
    }
    this.#counts.mixed++
    const { status, overrideSequence } = reply
    this.#context.log.error(
      { generation: reply.generation, status, overrideSequence, userId, items: missing },
      'a reply has scores that its generation does not explain',
    )
  }

  /** Null where there is none, or the store is not to be had at the moment. */
  async #rowOf(generation: string | null, userId: string): Promise<StoredRow | null> {
    if (generation === null || userId === coldUser) return null
    const partition = partitionOf(userId, this.#context.config.kafka.partitions)
    const read = await this.#store
      .read(generation, partition, userId, readMs)
      .catch(() => ({ row: null }))
    return read.row === null ? null : { generation, offset: read.row.offset, row: read.row.row }
  }

  #onFailure(error: unknown): void {
    const code = error instanceof FreshetError ? error.code : null
    // Before the first reply there may be nobody who could answer.
    if (code === 'ABORTED' || this.#counts.replies === 0) return
    if (code === 'TIMEOUT') this.#counts.late++
    // A generation that is no longer kept cannot be looked at: a reply of it was late on its way here.
    else if (code === 'GENERATION_INVALID') this.#counts.unchecked++
    else {
      this.#counts.failed++
      this.#context.log.warn({ error: messageOf(error) }, 'a recall of the probe failed')
    }
  }
}

interface StoredRow {
  readonly generation: string
  readonly offset: number
  /** [d] */
  readonly row: Float32Array
}
