import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../../config/schema.ts'
import { FreshetError, messageOf } from '../../errors.ts'
import { openDirectoryStore } from '../../runtime/generation/artifact-store.ts'
import { writeGeneration } from '../../runtime/generation/generation.ts'
import { LearnerOwner } from '../../runtime/learner-owner.ts'
import { PublishedSets } from '../../runtime/learner-published-sets.ts'
import { LearnerRows } from '../../runtime/learner-rows.ts'
import type { Logger, OnlineStore } from '../../runtime/ports.ts'
import { RecallClient, type RecallResult } from '../../runtime/recall-client.ts'
import { openOnlineStore } from '../../runtime/redis/online-store.ts'
import type { LearnerSync } from '../../streams/learner-types.ts'
import type { Learner } from '../../streams/learner.ts'
import type { RepliesFacts } from './agreement.ts'
import type { Case } from './cases.ts'
import type { ClickedItems } from './clicked-items.ts'
import { PodRoles } from './pod-roles.ts'
import { rankInList, unrankedIn } from './served-list.ts'
import type { Lineage, Serving } from './serving.ts'

const k = 100
const inFlightMax = 64
const askAgainMs = 10

/** What a learner holds of the generation that it publishes. */
interface Live {
  readonly generation: string
  readonly learner: Learner
  readonly rows: LearnerRows
  readonly sets: PublishedSets
}

interface Parts {
  readonly roles: PodRoles
  readonly store: OnlineStore
  readonly owner: LearnerOwner
  readonly client: RecallClient
  readonly replyWithinMs: number
}

/** A real recall pod: what is learnt reaches it through Kafka and Redis as a learner publishes it, and it is asked over Kafka. */
export class PodServing implements Serving {
  readonly #parts: Parts
  readonly #items: ClickedItems
  readonly #signal: AbortSignal
  readonly #statuses: Record<string, number> = {}
  readonly #complaints: string[] = []
  readonly #indexRecalls: number[] = []
  #live: Live | null = null

  /**
   * @param config names servers and topics that nobody else uses
   * @param interrupt its signal ends whatever is waited for; aborted where a role fails
   * @param replyWithinMs in which a pod replies, and in which it has what was published
   */
  static async open(
    config: Config,
    items: ClickedItems,
    log: Logger,
    interrupt: AbortController,
    replyWithinMs = 20_000,
  ): Promise<PodServing> {
    const { brokers, topicPrefix } = config.kafka
    const closers: (() => Promise<void>)[] = []
    try {
      const roles = await PodRoles.open(config, log, interrupt)
      closers.push(() => roles.close())
      const store = openOnlineStore(config.redis, log)
      closers.push(() => store.close())
      const { kafka } = roles.context
      const owner = await LearnerOwner.open(kafka, topicPrefix, (lost) => interrupt.abort(lost))
      closers.push(() => owner.close())
      const options = { brokers, topicPrefix, concurrency: inFlightMax, timeoutMs: replyWithinMs }
      const client = await RecallClient.connect(options)
      const parts = { roles, store, owner, client, replyWithinMs }
      return new PodServing(parts, items, interrupt.signal)
    } catch (error) {
      for (const close of closers.reverse()) await close()
      throw error
    }
  }

  private constructor(parts: Parts, items: ClickedItems, signal: AbortSignal) {
    this.#parts = parts
    this.#items = items
    this.#signal = signal
  }

  get facts(): RepliesFacts {
    return {
      ...{ statuses: this.#statuses, complaints: this.#complaints },
      indexRecalls: this.#indexRecalls,
    }
  }

  load({ generation, learner, first }: Lineage): Promise<void> {
    return this.#unlessInterrupted(async () => {
      const { roles, store, owner } = this.#parts
      const { config, topics, clock, metrics, log } = roles.context
      await writeGeneration(openDirectoryStore(config.artifacts.dir), generation)
      const { id } = generation
      const rows = new LearnerRows({
        ...{ store, generation: id, metrics, log, runId: randomUUID() },
        partitions: config.kafka.partitions,
        // The topics are its own: there is no other learner.
        assertOwner: () => Promise.resolve(),
      })
      const sets = new PublishedSets(
        // Nothing is taken back before all of it is thrown away.
        { topics, clock, owner, overrides: { note: () => undefined } },
        { generation: id, sequence: 0, withdrawals: [] },
      )
      this.#live = { generation: id, learner, rows, sets }
      await this.#publish(first)
      this.#indexRecalls.push(await roles.switchTo(id))
    })
  }

  apply(sync: LearnerSync): Promise<void> {
    return this.#unlessInterrupted(() => this.#publish(sync))
  }

  ranks(cases: readonly Case[], count: number): Promise<readonly (number | null)[]> {
    return this.#unlessInterrupted(async () => {
      // One alone: once it has been answered with the newest sync, so are all others.
      const first = await this.#rankOf(cases[0]!, count)
      const others = await Promise.all(cases.slice(1).map((one) => this.#rankOf(one, count)))
      return [first, ...others]
    })
  }

  async close(): Promise<void> {
    const { roles, store, owner, client } = this.#parts
    await client.close()
    await owner.close()
    await roles.close()
    await store.close()
  }

  /** In the order of a learner: rows first. */
  async #publish(sync: LearnerSync): Promise<void> {
    const { rows, sets, learner } = this.#live!
    await rows.write(sync, learner, this.#signal)
    await sets.publish(sync, { items: new Map(), newest: null })
  }

  /** What a pod recalls and the protocol does not rank is excluded, and the pod asked again, until nothing of it is left. */
  async #rankOf(one: Case, count: number): Promise<number | null> {
    const exclude = one.history.map((number) => this.#items.idOf(number))
    for (;;) {
      const reply = await this.#reply(one, exclude)
      const unranked = unrankedIn(reply.items, this.#items, count)
      if (unranked.length === 0) {
        this.#count(reply, one)
        return rankInList(reply.items, one.example.itemId)
      }
      exclude.push(...unranked)
    }
  }

  /** From a pod that has what was published last. */
  async #reply(one: Case, exclude: readonly string[]): Promise<RecallResult> {
    const { generation, sets } = this.#live!
    const deadlineMs = performance.now() + this.#parts.replyWithinMs
    for (;;) {
      const reply = await this.#ask(one, exclude)
      const isCurrent = reply.generation === generation && reply.overrideSequence >= sets.sequence
      if (isCurrent) return reply
      if (performance.now() > deadlineMs) {
        const wanted = `generation ${generation} with override set ${sets.sequence}`
        const got = `${reply.status} from ${reply.generation || 'no generation'} with set ${reply.overrideSequence}`
        throw unanswered(one, `the pod does not come to ${wanted}, its last reply is ${got}`)
      }
      await sleep(askAgainMs)
    }
  }

  async #ask(one: Case, exclude: readonly string[]): Promise<RecallResult> {
    const { userId, features } = one.example
    const query = {
      ...{ userId, k, exclude },
      features: {
        categorical: Object.fromEntries(features.categorical),
        numeric: Object.fromEntries(features.numeric),
        dense: Object.fromEntries(features.dense),
      },
    }
    try {
      return await this.#parts.client.recall(query)
    } catch (error) {
      throw unanswered(one, messageOf(error), error)
    }
  }

  #count({ status, message }: RecallResult, one: Case): void {
    const before = this.#statuses[status] ?? 0
    this.#statuses[status] = before + 1
    if (before > 0 || status === 'OK' || status === 'COLD_USER') return
    this.#complaints.push(`${status} for ${nameOf(one)}: ${message}`)
  }

  /** Also what would wait for a server for ever. */
  async #unlessInterrupted<T>(work: () => Promise<T>): Promise<T> {
    const signal = this.#signal
    signal.throwIfAborted()
    let onAbort!: () => void
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason as Error)
      signal.addEventListener('abort', onAbort)
    })
    try {
      return await Promise.race([work(), aborted])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}

function unanswered(one: Case, why: string, cause?: unknown): FreshetError {
  const remedy = "the pod's own lines above say what it met; with none, the machine is too busy"
  return new FreshetError('TIMEOUT', `${nameOf(one)}: ${why}; ${remedy}`, { cause })
}

function nameOf({ example: { requestId, userId, itemId } }: Case): string {
  return `the case of request ${requestId} (user ${userId}, item ${itemId})`
}
