/** One record as it came from a topic. `offset` fits a double: 2^53 records is more than a partition will hold. */
export interface SourceRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** The record's own timestamp: arrival, carried unchanged from the source topic to the last stage. */
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: Readonly<Record<string, string>>
}

/** One record to be sent. Without `partition`, murmur2 of the key decides. */
export interface SinkRecord {
  readonly topic: string
  readonly key: Buffer | string | null
  readonly value: Buffer | null
  readonly timestampMs: number
  readonly partition?: number
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * A stage returns, the runtime acts: no I/O, clock or chance in here. The same records in the same order give the same
 * bytes, however they are cut into batches.
 */
export interface Stage<State> {
  readonly name: string
  init(): State
  /** Records of one partition, in log order. */
  onBatch(state: State, records: readonly SourceRecord[]): readonly SinkRecord[]
}
