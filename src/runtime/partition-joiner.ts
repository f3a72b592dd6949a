import { FreshetError, messageOf } from '../errors.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { commitMetadata, openCount, type JoinerState } from '../streams/joiner-state.ts'
import type { SinkRecord, SourceRecord, Stage } from '../streams/stage.ts'
import { JoinerMeter } from './joiner-meter.ts'
import type { Batch, Clock, Logger, TopicPartition, TransactionalProducer } from './ports.ts'

export interface PartitionJoinerOptions {
  readonly partition: TopicPartition
  readonly stage: Stage<JoinerState>
  readonly state: JoinerState
  readonly producer: TransactionalProducer
  readonly groupId: string
  readonly examplesTopic: string
  readonly transactionMaxMs: number
  readonly transactionMaxRecords: number
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Logger
  pause(): void
  resume(): void
  /** The transaction failed: the state is ahead of what is committed and must be dropped. */
  onFailure(error: FreshetError): void
}

const closeMs = 1_000

/**
 * Folds one partition and commits outputs and offset together. Batches are queued and folded here, so that the handler of
 * the group returns at once; beyond a bound the partition is paused.
 */
export class PartitionJoiner {
  readonly #options: PartitionJoinerOptions
  readonly #meter: JoinerMeter
  readonly #queue: Batch[] = []
  /** Records of `#queue[0]` that are folded already. */
  #taken = 0
  #queued = 0
  #isPaused = false
  #isStopped = false
  #wake: (() => void) | null = null
  #lastStartMs = -Infinity
  readonly #running: Promise<void>

  constructor(options: PartitionJoinerOptions) {
    this.#options = options
    this.#meter = new JoinerMeter(options.metrics, options.partition, options.examplesTopic)
    this.#running = this.#run()
  }

  onBatch(batch: Batch): void {
    if (this.#isStopped) return
    this.#queue.push(batch)
    this.#queued += batch.records.length
    if (!this.#isPaused && this.#queued > 4 * this.#options.transactionMaxRecords) {
      this.#isPaused = true
      this.#options.pause()
    }
    this.#wake?.()
  }

  /** Lets a transaction under way end, but not for long; what is not committed then is left to the next owner. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#wake?.()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, closeMs)))
    await Promise.race([this.#running, late])
    clearTimeout(timer)
    await this.#options.producer.close()
    this.#meter.forget()
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isStopped) {
        if (this.#queue.length === 0) await this.#sleep(null)
        else await this.#transact()
      }
    } catch (error) {
      // Fenced or unknown: only the committed offset says what has happened, and the next start begins there.
      const isFenced = error instanceof FreshetError && error.code === 'PRODUCER_FENCED'
      this.#meter.transaction(isFenced ? 'fenced' : 'aborted')
      const wasStopped = this.#isStopped
      this.#isStopped = true
      if (wasStopped) return
      this.#options.onFailure(
        error instanceof FreshetError
          ? error
          : new FreshetError('INVARIANT_VIOLATED', messageOf(error), { cause: error }),
      )
    }
  }

  /** At most one transaction every `transactionMaxMs`, and the first after a silence at once. */
  async #transact(): Promise<void> {
    const { transactionMaxMs, transactionMaxRecords, partition, groupId, producer } = this.#options
    const { state, clock } = this.#options
    const dueMs = this.#lastStartMs + transactionMaxMs
    const outputs: SinkRecord[] = []
    let folded = 0
    let nextOffset = 0
    let highWatermark = 0
    for (;;) {
      while (this.#queue.length > 0 && folded < transactionMaxRecords && !this.#isStopped) {
        highWatermark = this.#queue[0]!.highWatermark
        const records = this.#take(transactionMaxRecords - folded)
        for (const output of this.#options.stage.onBatch(state, records)) outputs.push(output)
        folded += records.length
        nextOffset = records.at(-1)!.offset + 1
      }
      const waitMs = dueMs - clock.nowMs()
      if (this.#isStopped || folded >= transactionMaxRecords || waitMs <= 0) break
      await this.#sleep(waitMs)
    }
    if (this.#isStopped) return
    this.#lastStartMs = clock.nowMs()
    const metadata = commitMetadata(state, nextOffset)
    await producer.transact(outputs, {
      groupId,
      offsets: [{ ...partition, offset: nextOffset, metadata }],
    })
    this.#meter.committed(outputs, state, openCount(state), clock.nowMs())
    this.#meter.lag(Math.max(0, highWatermark - nextOffset))
  }

  #take(max: number): readonly SourceRecord[] {
    const { records } = this.#queue[0]!
    const taken = records.slice(this.#taken, this.#taken + max)
    this.#taken += taken.length
    this.#queued -= taken.length
    if (this.#taken === records.length) {
      this.#queue.shift()
      this.#taken = 0
    }
    if (this.#isPaused && this.#queued < 2 * this.#options.transactionMaxRecords) {
      this.#isPaused = false
      this.#options.resume()
    }
    return taken
  }

  /** Until woken, at most so long. */
  async #sleep(ms: number | null): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = ms === null ? undefined : setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = null
  }
}
