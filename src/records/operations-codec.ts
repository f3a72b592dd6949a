import { FreshetError } from '../errors.ts'
import { olderSchemas } from './schema-history.ts'
import { topicSchemas } from './schemas.ts'
import { topicValues } from './topic-values.ts'
import type { ControlDocument, DeadLetter, GenerationState, Report } from './types.ts'

/** Values of the dead letter, report and control topics. */

interface DeadLetterRecord {
  readonly source_topic: string
  readonly partition: number
  readonly offset: number
  readonly code: string
  readonly message: string
  readonly role: string
  readonly original: Buffer
  readonly original_key: Buffer | null
}

const deadLetters = topicValues<DeadLetterRecord>('dead letter', topicSchemas.deadLetters)

export function encodeDeadLetter({ sourceTopic, originalKey, ...rest }: DeadLetter): Buffer {
  return deadLetters.encode({ ...rest, source_topic: sourceTopic, original_key: originalKey })
}

export function decodeDeadLetter(value: Buffer): DeadLetter {
  const { source_topic, partition, offset, code, message, role, original, original_key } =
    deadLetters.decode(value)
  return {
    sourceTopic: source_topic,
    partition,
    offset,
    code,
    message,
    role,
    original: Buffer.from(original),
    originalKey: original_key === null ? null : Buffer.from(original_key),
  }
}

interface ReportRecord {
  readonly role: string
  readonly instance: string
  readonly kind: string
  readonly generation: string
  readonly at: number
  readonly body: string
}

const reports = topicValues<ReportRecord>('report', topicSchemas.reports)

export function encodeReport({ atMs, body, ...rest }: Report): Buffer {
  return reports.encode({ ...rest, at: atMs, body: JSON.stringify(body) })
}

export function decodeReport(value: Buffer): Report {
  const { role, instance, kind, generation, at, body } = reports.decode(value)
  return { role, instance, kind, generation, atMs: at, body: parseBody(body) }
}

function parseBody(body: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Record<string, unknown>
    }
  } catch (cause) {
    throw new FreshetError('RECORD_UNDECODABLE', 'report: body is not JSON', { cause })
  }
  throw new FreshetError('RECORD_UNDECODABLE', 'report: body is not a JSON object')
}

interface ControlRecord {
  readonly epoch: number
  readonly live: string | null
  readonly candidate: string | null
  readonly previous: string | null
  readonly kept: readonly string[]
  readonly cuts: ReadonlyMap<string, readonly number[]>
  readonly states: ReadonlyMap<string, string>
  readonly catalogue_cuts: ReadonlyMap<string, readonly number[]>
  readonly live_since: number
}

const control = topicValues<ControlRecord>(
  'control document',
  topicSchemas.control,
  olderSchemas.control,
)

export function encodeControlDocument(document: ControlDocument): Buffer {
  const { cuts, catalogueCuts, states, liveSinceMs, ...rest } = document
  return control.encode({
    ...rest,
    cuts: new Map(Object.entries(cuts)),
    states: new Map(Object.entries(states)),
    catalogue_cuts: new Map(Object.entries(catalogueCuts)),
    live_since: liveSinceMs,
  })
}

export function decodeControlDocument(value: Buffer): ControlDocument {
  const record = control.decode(value)
  const { epoch, live, candidate, previous, kept, cuts, states } = record
  return {
    epoch,
    live,
    candidate,
    previous,
    kept,
    cuts: Object.fromEntries(cuts),
    catalogueCuts: Object.fromEntries(record.catalogue_cuts),
    states: Object.fromEntries(states) as Record<string, GenerationState>,
    liveSinceMs: record.live_since,
  }
}
