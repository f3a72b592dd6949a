import type { SinkRecord, SourceRecord, Stage } from '../../src/streams/stage.ts'

/** A stage without a broker: pipe records of one partition in, drain what comes out. */
export interface StageDriver<State> {
  readonly state: State
  /** The next record of the log, in a batch of its own; returns its offset. */
  pipe(value: Buffer | null, timestampMs?: number): number
  /** Leaves out so many offsets, as transaction markers do. */
  skip(offsets: number): void
  /** Everything that has come out since the last call. */
  drain(): SinkRecord[]
}

export function stageDriver<State>(
  stage: Stage<State>,
  source = { topic: 'test.source', partition: 0 },
): StageDriver<State> {
  const state = stage.init()
  let nextOffset = 0
  let outputs: SinkRecord[] = []
  return {
    state,
    pipe(value, timestampMs = 0) {
      const offset = nextOffset++
      const record: SourceRecord = { ...source, offset, timestampMs, key: null, value }
      outputs.push(...stage.onBatch(state, [record]))
      return offset
    },
    skip(offsets) {
      nextOffset += offsets
    },
    drain() {
      const drained = outputs
      outputs = []
      return drained
    },
  }
}
