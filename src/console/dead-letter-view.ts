import { decodeDeadLetter } from '../records/codec.ts'
import type { SourceRecord } from '../streams/stage.ts'
import type { DeadLetters, DeadLetterView } from './api.ts'

/** What to do about each reason, besides what the message of the letter says. */
const remedies: Readonly<Record<string, string>> = {
  RECORD_UNDECODABLE:
    'The bytes are not what the content-type says. Try one of them: freshet map --check FILE --source NAME.',
  RECORD_INVALID:
    'A field is missing or has the wrong type. Map it in sources: of the configuration, or repair the producer.',
  RECORD_TOO_LARGE: 'Send less in one record, or raise ingest.recordBytesMax.',
  SCHEMA_UNKNOWN:
    'The Avro schema is not known here. Give it as schemaFile of the source, or use a known version.',
  EVENT_TIME_IN_FUTURE:
    'The clock of the producer is ahead, or the unit of event_time is wrong. Set unit in the field mapping, or raise ingest.futureSkewMs.',
  EVENT_TIME_AHEAD:
    'Somebody sends what happens now into a topic that is being replayed, or the source has skipped its heartbeats. Keep them apart, or raise ingest.aheadMaxMs.',
  IMPRESSION_LATE:
    'The impression came after its window had closed. Raise joiner.graceMs if producers are slower than that.',
  CLICK_LATE:
    'The click came after its window had closed. Raise joiner.graceMs or joiner.windowMs.',
  CLICK_UNMATCHED:
    'No impression with this request id came in time. Send impressions too, with the same request_id.',
  CLICK_EVICTED:
    'Too many requests were open at once. Raise joiner.openImpressionsMax if memory allows.',
  CLICK_OUTSIDE_WINDOW:
    'The click came too long after its impression. Raise joiner.windowMs if it should count.',
  CLICK_NOT_SHOWN:
    'The clicked item was not on the page. The producer mixes request ids, or does not send every item that it shows.',
  CLICK_OTHER_USER:
    'The click and its impression name different users. The producer mixes request ids or user ids.',
  REPLY_TOPIC_UNKNOWN:
    'A recall request named a reply topic that is not there. Create it, or use RecallClient.',
}

const textMax = 2_000
const hexBytes = 256

export function remedyOf(code: string): string {
  return remedies[code] ?? 'The message says what was wrong.'
}

/** @param records newest last @param total letters in the topic */
export function deadLettersOf(
  records: readonly SourceRecord[],
  total: number,
  shownMax: number,
  atMs: number,
): DeadLetters {
  const letters: DeadLetterView[] = []
  let unreadable = 0
  for (const record of records) {
    const letter = letterOf(record)
    if (letter === null) unreadable++
    else letters.push(letter)
  }
  const counts = new Map<string, number>()
  for (const { code } of letters) counts.set(code, (counts.get(code) ?? 0) + 1)
  const reasons = [...counts]
    .map(([code, count]) => ({ code, count, remedy: remedyOf(code) }))
    .sort((a, b) => b.count - a.count || (a.code < b.code ? -1 : 1))
  return {
    ...{ atMs, total, looked: records.length, reasons, unreadable },
    letters: letters.reverse().slice(0, shownMax),
  }
}

/** null: it cannot be read. */
export function letterOf({ offset, timestampMs, value }: SourceRecord): DeadLetterView | null {
  if (value === null) return null
  try {
    const letter = decodeDeadLetter(value)
    const { code, message, role, sourceTopic, original, originalKey } = letter
    const text = textOf(original)
    return {
      ...{ offset, atMs: timestampMs, code, message, role, sourceTopic, remedy: remedyOf(code) },
      ...{ sourcePartition: letter.partition, sourceOffset: letter.offset },
      key: originalKey === null ? null : (textOf(originalKey) ?? originalKey.toString('hex')),
      bytes: original.length,
      text: text === null ? null : text.slice(0, textMax),
      hex: hexOf(original.subarray(0, hexBytes)),
      isCut: text === null ? original.length > hexBytes : text.length > textMax,
    }
  } catch {
    return null
  }
}

/** null: not UTF-8, or with characters that are not to be printed. */
function textOf(bytes: Buffer): string | null {
  const text = bytes.toString('utf8')
  return /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffd]/.test(text) ? null : text
}

/** Sixteen bytes a line, as xxd has them. */
function hexOf(bytes: Buffer): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 16) {
    const line = bytes.subarray(at, at + 16)
    const hex = [...line].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = [...line].map((byte) =>
      byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.',
    )
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex.padEnd(47)}  ${text.join('')}`)
  }
  return lines.join('\n')
}
