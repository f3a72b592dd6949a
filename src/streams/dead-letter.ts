import type { ErrorCode } from '../errors.ts'
import { encodeDeadLetter } from '../records/codec.ts'
import type { SinkRecord, SourceRecord } from './stage.ts'

const noBytes = Buffer.alloc(0)

/**
 * What a refused record becomes: its original bytes and position, with the reason. Keyed by its source topic; keeps the
 * record's own timestamp.
 */
export function toDeadLetter(
  record: SourceRecord,
  code: ErrorCode,
  message: string,
  role: string,
  deadLetterTopic: string,
): SinkRecord {
  return {
    topic: deadLetterTopic,
    key: record.topic,
    value: encodeDeadLetter({
      sourceTopic: record.topic,
      partition: record.partition,
      offset: record.offset,
      code,
      message,
      role,
      original: record.value ?? noBytes,
      originalKey: record.key,
    }),
    timestampMs: record.timestampMs,
  }
}
