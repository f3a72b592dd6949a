import { LRUCache } from 'lru-cache'
import { FreshetError, messageOf } from '../errors.ts'
import { decodeExampleHead } from '../records/codec.ts'
import { partitionOf } from '../records/partition.ts'
import { noFeatures } from '../records/types.ts'
import { openDirectoryStore } from '../runtime/generation/artifact-store.ts'
import type { OnlineStore, Tail } from '../runtime/ports.ts'
import { RecallClient, type RecallResult } from '../runtime/recall-client.ts'
import { openOnlineStore } from '../runtime/redis/online-store.ts'
import { checkReply } from '../streams/reply-check.ts'
import { ProbeGenerations, type ProbeGeneration } from './probe-generations.ts'
import type { RoleContext } from './role-context.ts'

export interface ProbeCounts {
  readonly replies: number
  /** Whose scores no one generation explains. */
  readonly mixed: number
  /** The row that was used was never read here, or the generation is gone. */
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
const rowsMax = 2_000

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
  /** [d] each, those that were read last: a pod may answer with an older one than the store has by now. */
  readonly #rows = new LRUCache<string, Float32Array>({ max: rowsMax })
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
    await this.#readRow(this.#live(), userId)
    const reply = await this.#client.recall({ userId, k, signal: this.#ending.signal })
    if (reply.status === 'NO_GENERATION') return
    this.#counts.replies++
    if (reply.generation === '') throw new FreshetError('OVERLOADED', reply.message)
    await this.#readRow(reply.generation, userId)
    const generation = await this.#generations.with(reply.generation, reply.overrideSequence)
    if (generation === null) this.#counts.unchecked++
    else await this.#check(userId, reply, generation)
  }

  async #check(
    userId: string,
    reply: RecallResult,
    { userVector, vectorsOf }: ProbeGeneration,
  ): Promise<void> {
    const { generation, status, overrideSequence, userOffset } = reply
    const userAt = async (offset: number | null): Promise<Float32Array | null> => {
      if (offset === null) return userVector(null, noFeatures)
      const row = this.#rows.get(rowKey(generation, userId, offset))
      return row === undefined ? null : userVector(row, noFeatures)
    }
    const check = await checkReply(reply, { userAt, vectorsOf })
    if (check.outcome === 'unknown row') this.#counts.unchecked++
    if (check.outcome !== 'mixed') return
    this.#counts.mixed++
    this.#context.log.error(
      { generation, status, overrideSequence, userId, userOffset, items: check.items },
      'a reply has scores that its generation does not explain',
    )
  }

  /** Keeps the row that the store has at the moment, where there is one and it is to be had. */
  async #readRow(generation: string | null, userId: string): Promise<void> {
    if (generation === null || userId === coldUser) return
    const partition = partitionOf(userId, this.#context.config.kafka.partitions)
    const { row } = await this.#store
      .read(generation, partition, userId, readMs)
      .catch(() => ({ row: null }))
    if (row !== null) this.#rows.set(rowKey(generation, userId, row.offset), row.row)
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

function rowKey(generation: string, userId: string, offset: number): string {
  return JSON.stringify([generation, userId, offset])
}
