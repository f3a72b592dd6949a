import { FreshetError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import {
  decodeExample,
  decodeExampleHead,
  decodeItem,
  eventTimeOfExample,
} from '../records/codec.ts'
import { eventTimeHeader } from '../records/headers.ts'
import { toDeadLetter } from '../streams/dead-letter.ts'
import type { CatalogueChange, ExampleRecord } from '../streams/learner-types.ts'
import type { ExampleHead } from '../streams/learner-windows.ts'
import type { SinkRecord, SourceRecord } from '../streams/stage.ts'

export interface Decoded<T> {
  readonly values: T[]
  readonly deadLetters: {
    readonly offset: number
    readonly reason: ErrorCode
    readonly letter: SinkRecord
  }[]
}

export function decodeExamples(
  records: readonly SourceRecord[],
  deadLetterTopic: string,
): Decoded<ExampleRecord> {
  return decodeEach(records, deadLetterTopic, ({ offset, value }) => {
    if (value === null) throw new FreshetError('RECORD_INVALID', 'An example must have a value')
    return { offset, record: decodeExample(value) }
  })
}

export function decodeCatalogue(
  records: readonly SourceRecord[],
  deadLetterTopic: string,
): Decoded<CatalogueChange> {
  return decodeEach(records, deadLetterTopic, ({ key, value }) => {
    if (value !== null) {
      const item = decodeItem(value)
      return { itemId: item.itemId, item }
    }
    if (key === null) {
      throw new FreshetError('RECORD_INVALID', 'A withdrawal needs the item id as its key')
    }
    return { itemId: key.toString(), item: null }
  })
}

/** Event time of an example or heartbeat; 0 for a change of the catalogue and for what cannot be read, which then comes first. */
export function timeOf({ topic, value }: SourceRecord, examplesTopic: string): number {
  if (topic !== examplesTopic || value === null) return 0
  return whereReadable(0, () => eventTimeOfExample(value))
}

/** Of a record of the examples topic. */
export function headOf({ value }: SourceRecord): ExampleHead {
  return whereReadable({ eventTimeMs: 0, isHeartbeat: false }, () => {
    if (value === null) return { eventTimeMs: 0, isHeartbeat: false }
    const { eventTimeMs, kind } = decodeExampleHead(value)
    return { eventTimeMs, isHeartbeat: kind === 'heartbeat' }
  })
}

/** When a change of the catalogue happened, in event time: as its source says, else when the item was made; -Infinity for unknown. */
export function timeOfChange({ headers, value }: SourceRecord): number {
  const stated = Number(headers?.[eventTimeHeader] ?? Number.NaN)
  if (Number.isFinite(stated)) return stated
  return whereReadable(-Infinity, () =>
    value === null ? -Infinity : decodeItem(value).createdAtMs,
  )
}

function whereReadable<T>(otherwise: T, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof FreshetError && error.disposition === 'dead-letter') return otherwise
    throw error
  }
}

function decodeEach<T>(
  records: readonly SourceRecord[],
  deadLetterTopic: string,
  decode: (record: SourceRecord) => T,
): Decoded<T> {
  const values: T[] = []
  const deadLetters: Decoded<T>['deadLetters'] = []
  for (const record of records) {
    try {
      values.push(decode(record))
    } catch (error) {
      if (!(error instanceof FreshetError) || error.disposition !== 'dead-letter') throw error
      const { code, message } = error
      const letter = toDeadLetter(record, code, message, 'learner', deadLetterTopic)
      deadLetters.push({ offset: record.offset, reason: code, letter })
    }
  }
  return { values, deadLetters }
}
