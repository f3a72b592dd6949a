import type { SinkRecord } from '../streams/stage.ts'
import type { TransactionalProducer } from './ports.ts'

/** Transactions of several who need not know of each other, one at a time. After a failure the producer is of no use any more. */
export class Outbox {
  readonly #producer: TransactionalProducer
  #last: Promise<unknown> = Promise.resolve()
  #failure: Error | null = null

  constructor(producer: TransactionalProducer) {
    this.#producer = producer
  }

  get failure(): Error | null {
    return this.#failure
  }

  transact(records: readonly SinkRecord[]): Promise<void> {
    const done = this.#last.then(() => this.#producer.transact(records))
    this.#last = done.catch((error: unknown) => (this.#failure ??= error as Error))
    return done
  }
}
