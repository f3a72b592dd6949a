import type { Config } from '../config/schema.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { decodeRecallRequest, encodeRecallReply } from '../records/codec.ts'
import type { TopicNames } from '../records/topics.ts'
import type { RecallReply, RecallRequest } from '../records/types.ts'
import { toDeadLetter } from '../streams/dead-letter.ts'
import { answer, deadlineOf, emptyReply, queryOf, refusalOf } from '../streams/recall.ts'
import type { SourceRecord } from '../streams/stage.ts'
import type { Clock, Logger, Producer } from './ports.ts'
import type { ExactChecks } from './recall-exact-checks.ts'
import type { Generations } from './recall-generations.ts'
import type { ReplyTopics } from './recall-reply-topics.ts'
import type { UserReader } from './recall-users.ts'

export interface RecallDeskOptions {
  readonly recall: Config['recall']
  readonly topics: TopicNames
  readonly generations: Pick<Generations, 'current'>
  readonly users: UserReader
  readonly replyTopics: ReplyTopics
  readonly exactChecks: ExactChecks
  /** Coalesces: one request is under way, the next takes every reply that has gathered. */
  readonly producer: Producer
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Logger
}

/** Why a request is not answered; label of `recallsDropped`. */
type DropReason = 'late' | 'reply_topic_unknown' | 'undecodable' | 'overloaded' | 'unsent'

/** Refusals that wait for the broker at most. */
const refusalsMax = 10_000

/** Takes requests, each on its own: answers it, drops it because nobody waits any more, or refuses it as a dead letter. */
export class RecallDesk {
  readonly #options: RecallDeskOptions
  #inFlight = 0
  #refusing = 0

  constructor(options: RecallDeskOptions) {
    this.#options = options
  }

  /** Resolves when the record has been dealt with; rejects only when a dead letter could not be written. */
  async handle(record: SourceRecord): Promise<void> {
    const takenAt = performance.now()
    let request: RecallRequest
    try {
      request = decode(record)
    } catch (error) {
      this.#drop('undecodable')
      return this.#refuse(record, 'RECORD_UNDECODABLE', messageOf(error))
    }
    const deadlineMs = deadlineOf(request, record.timestampMs, this.#options.recall)
    if (this.#isPast(deadlineMs)) return this.#drop('late')
    if (this.#inFlight >= this.#options.recall.inFlightMax)
      return this.#refuseForNow(record, request)
    this.#inFlight++
    try {
      if (!(await this.#canReply(record, request))) return
      const reply = await this.#answer(request, deadlineMs)
      if (reply === null) return this.#drop('late')
      await this.#send(request, reply)
      this.#options.metrics.recallLatency.observe((performance.now() - takenAt) / 1_000)
    } finally {
      this.#inFlight--
    }
  }

  /** null when it has become too late. */
  async #answer(request: RecallRequest, deadlineMs: number): Promise<RecallReply | null> {
    const { recall, generations, users, exactChecks, log } = this.#options
    const serving = generations.current
    const refusal = refusalOf(request, recall)
    if (refusal !== null) return emptyReply(request, 'INVALID', refusal, serving)
    if (serving === null) {
      return emptyReply(request, 'NO_GENERATION', 'no generation is live in this pod yet', null)
    }
    const done = serving.use()
    try {
      const resolved = await users.resolve(serving, request.userId)
      const row = resolved.user?.row ?? serving.defaultRow
      const vector = await serving.tower.vector(row, request.features)
      if (this.#isPast(deadlineMs)) return null
      const query = queryOf(serving, request, resolved, vector, recall)
      const reply = answer(serving, request, resolved, query)
      exactChecks.offer(serving, query, reply)
      return reply
    } catch (error) {
      log.error({ generation: serving.generation, error: messageOf(error) }, 'a recall failed')
      return emptyReply(request, 'DEGRADED', `recall failed: ${messageOf(error)}`, serving)
    } finally {
      done()
    }
  }

  /** Says at once that there is no room; where even that piles up, because replies do not get out, it stays silent. */
  async #refuseForNow(record: SourceRecord, request: RecallRequest): Promise<void> {
    const { inFlightMax } = this.#options.recall
    if (this.#refusing >= refusalsMax) return this.#drop('overloaded')
    this.#refusing++
    try {
      if (!(await this.#canReply(record, request))) return
      const message = `${inFlightMax} requests are in flight (recall.inFlightMax); try again`
      const serving = this.#options.generations.current
      await this.#send(request, emptyReply(request, 'OVERLOADED', message, serving))
    } finally {
      this.#refusing--
    }
  }

  async #canReply(record: SourceRecord, request: RecallRequest): Promise<boolean> {
    const { replyTopic: topic, replyPartition: partition } = request
    try {
      if (await this.#options.replyTopics.has({ topic, partition })) return true
    } catch (error) {
      this.#options.log.warn(
        { topic, partition, error: messageOf(error) },
        'cannot look for a reply topic',
      )
      this.#drop('unsent')
      return false
    }
    this.#drop('reply_topic_unknown')
    const message = `reply partition ${partition} of topic ${JSON.stringify(topic)} does not exist or is no reply topic`
    await this.#refuse(record, 'REPLY_TOPIC_UNKNOWN', message)
    return false
  }

  async #send(request: RecallRequest, reply: RecallReply): Promise<void> {
    const { producer, replyTopics, clock, log, metrics } = this.#options
    const { replyTopic: topic, replyPartition: partition } = request
    const nowMs = clock.nowMs()
    const value = encodeRecallReply(reply)
    const sink = { topic, partition, key: request.correlationId, value, timestampMs: nowMs }
    try {
      await producer.send([sink])
    } catch (error) {
      replyTopics.forget({ topic, partition })
      log.warn({ topic, partition, error: messageOf(error) }, 'could not send a reply')
      return this.#drop('unsent')
    }
    metrics.recalls.inc({ status: reply.status })
    if (reply.learnedThroughMs > 0) {
      metrics.servedWatermarkAge.observe(Math.max(0, nowMs - reply.learnedThroughMs) / 1_000)
    }
    if (reply.userEventTimeMs > 0) {
      metrics.embeddingAge.observe(Math.max(0, nowMs - reply.userEventTimeMs) / 1_000)
    }
  }

  async #refuse(record: SourceRecord, code: ErrorCode, message: string): Promise<void> {
    const { topics, producer, metrics } = this.#options
    await producer.send([toDeadLetter(record, code, message, 'recall', topics.deadLetters)])
    metrics.deadLetters.inc({ role: 'recall', reason: code })
  }

  #isPast(deadlineMs: number): boolean {
    return this.#options.clock.nowMs() > deadlineMs
  }

  #drop(reason: DropReason): void {
    this.#options.metrics.recallsDropped.inc({ reason })
  }
}

function decode({ value }: SourceRecord): RecallRequest {
  if (value === null) throw new FreshetError('RECORD_UNDECODABLE', 'a recall request without value')
  return decodeRecallRequest(value)
}
