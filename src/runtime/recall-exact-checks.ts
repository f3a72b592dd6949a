import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import { countFound } from '../index/recall-sample.ts'
import type { Neighbours } from '../index/vector-index.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { RecallReply } from '../records/types.ts'
import type { RecallQuery } from '../streams/recall.ts'
import type { Clock, Logger } from './ports.ts'
import type { ServingGeneration } from './recall-generation.ts'

export interface ExactChecksOptions {
  /** 0: none. */
  readonly perSecondMax: number
  readonly metrics: Pick<Metrics, 'annRecall' | 'annScoreLoss' | 'exactChecks'>
  readonly clock: Clock
  readonly log: Logger
}

export type CheckedGeneration = Pick<
  ServingGeneration,
  'generation' | 'index' | 'catalogue' | 'overrideSequence' | 'isRetired' | 'use'
>

/** Label of `exactChecks`. */
type Outcome = 'compared' | 'empty' | 'overtaken' | 'skipped' | 'failed'

/** After each slice of the search, so many times as long is left to others: a search takes a tenth of the thread at most. */
const restFactor = 9

/**
 * Holds a sample of the replies against the exact top k of the same query in the same state of the generation, so that what the
 * index loses is told apart from what the model does. One at a time, and never in the way of a reply.
 */
export class ExactChecks {
  readonly #options: ExactChecksOptions
  #isRunning = false
  #lastMs = -Infinity
  #compared = 0
  #found = 0

  constructor(options: ExactChecksOptions) {
    this.#options = options
  }

  /** Share of the exact top k that was served, of all that was compared; null: nothing yet. */
  get annRecall(): number | null {
    return this.#compared === 0 ? null : this.#found / this.#compared
  }

  /** To be called in the turn in which the reply was computed. Returns at once and does not throw. */
  offer(serving: CheckedGeneration, query: RecallQuery, reply: RecallReply): void {
    if (!this.#isDue()) return
    if (this.#isRunning) this.#count('skipped')
    else void this.#check(serving, query, scoresOf(reply))
  }

  #isDue(): boolean {
    const { perSecondMax, clock } = this.#options
    const nowMs = clock.nowMs()
    // A clock that was set back must not stop the checks.
    const sinceMs = Math.abs(nowMs - this.#lastMs)
    if (perSecondMax === 0 || sinceMs < 1_000 / perSecondMax) return false
    this.#lastMs = nowMs
    return true
  }

  async #check(
    serving: CheckedGeneration,
    query: RecallQuery,
    served: Float32Array,
  ): Promise<void> {
    this.#isRunning = true
    const done = serving.use()
    try {
      const exact = await searchExactly(serving, query)
      this.#count(exact === null ? 'overtaken' : this.#compare(served, exact.scores))
    } catch (error) {
      this.#count('failed')
      const { generation } = serving
      this.#options.log.warn(
        { generation, error: messageOf(error) },
        'could not hold a reply against an exact search',
      )
    } finally {
      done()
      this.#isRunning = false
    }
  }

  #compare(served: Float32Array, exact: Float32Array): Outcome {
    if (exact.length === 0) return 'empty'
    const { annRecall, annScoreLoss } = this.#options.metrics
    const share = countFound(served, exact) / exact.length
    this.#compared++
    this.#found += share
    annRecall.observe(share)
    annScoreLoss.observe((sumOf(exact) - sumOf(served)) / exact.length)
    return 'compared'
  }

  #count(outcome: Outcome): void {
    this.#options.metrics.exactChecks.inc({ outcome })
  }
}

/**
 * Searches when the reply is out, and as the generation was when it was computed: what is overridden during the search is not seen by
 * it. null: something else has changed, so that there is nothing to compare with.
 */
async function searchExactly(
  serving: CheckedGeneration,
  { vector, k, skip, among }: RecallQuery,
): Promise<Neighbours | null> {
  const { index, overrideSequence, catalogue } = serving
  const { withdrawnRevision } = catalogue
  // A base that was replaced, or a generation that is let go, must not stay in memory for the sake of a check.
  const isOvertaken = () =>
    serving.isRetired ||
    serving.index !== index ||
    catalogue.withdrawnRevision !== withdrawnRevision
  await nextTurn()
  if (isOvertaken() || serving.overrideSequence !== overrideSequence) return null
  const isSkipped = among === null ? skip : (id: string) => !among.has(id) || skip(id)
  let startedAt = performance.now()
  const steps = index.searchExactly(vector, k, isSkipped)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    await sleep(restFactor * (performance.now() - startedAt), undefined, { ref: false })
    if (isOvertaken()) return null
    startedAt = performance.now()
  }
}

function scoresOf({ items }: RecallReply): Float32Array {
  return Float32Array.from(items, ({ score }) => score)
}

function sumOf(scores: Float32Array): number {
  return scores.reduce((sum, score) => sum + score, 0)
}
