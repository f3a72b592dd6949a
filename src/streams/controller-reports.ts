import { describe, invalid } from '../records/fields.ts'
import type { KnownReport, Lineage, ReportBodies } from '../records/reports.ts'
import type { Report } from '../records/types.ts'

/**
 * @returns null for a kind that the controller does not care about
 * @throws FreshetError RECORD_INVALID naming the field and what was found
 */
export function parseReport(report: Report): KnownReport | null {
  const { body } = report
  switch (`${report.role}/${report.kind}`) {
    case 'compactor/cut':
      return { ...report, kind: 'cut', body: cutOf(body) }
    case 'compactor/training':
      return { ...withGeneration(report), kind: 'training', body: trainingOf(body) }
    case 'compactor/trained':
      return { ...withGeneration(report), kind: 'trained', body: trainedOf(body) }
    case 'indexer/indexed':
      return { ...withGeneration(report), kind: 'indexed', body: indexedOf(body) }
    case 'recall/loaded':
      return { ...report, kind: 'loaded', body: loadedOf(body) }
    case 'learner/learned':
      return { ...report, kind: 'learned', body: learnedOf(body) }
    case 'operator/request':
      return { ...report, kind: 'request', body: requestOf(body) }
    default:
      return null
  }
}

type Body = Report['body']

/** As in manifest.json: an id is part of paths. */
const idFormat = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

function withGeneration(report: Report): Report {
  if (idFormat.test(report.generation)) return report
  throw invalid('generation', undefined, describe(report.generation), 'a generation id')
}

function cutOf(body: Body): ReportBodies['cut'] {
  return {
    day: dayOf(body['day'], 'day'),
    examples: arrayOf(body['examples'], 'examples', offsetOf),
    items: arrayOf(body['items'], 'items', offsetOf),
  }
}

function trainingOf(body: Body): ReportBodies['training'] {
  const etaMs = body['etaMs']
  return {
    day: dayOf(body['day'], 'day'),
    share: numberOf(body['share'], 'share', 0, 1),
    etaMs: etaMs === null ? null : numberOf(etaMs, 'etaMs', 0),
  }
}

function trainedOf(body: Body): ReportBodies['trained'] {
  const parent = body['parent']
  return {
    day: dayOf(body['day'], 'day'),
    parent: parent === null ? null : textOf(parent, 'parent'),
    verdict: oneOf(body['verdict'], 'verdict', ['passed', 'ungated', 'failed']),
    why: textOf(body['why'], 'why'),
  }
}

function indexedOf(body: Body): ReportBodies['indexed'] {
  return {
    revision: offsetOf(body['revision'], 'revision'),
    items: offsetOf(body['items'], 'items'),
    recall: numberOf(body['recall'], 'recall', 0, 1),
  }
}

function loadedOf(body: Body): ReportBodies['loaded'] {
  return { verified: arrayOf(body['verified'], 'verified', textOf) }
}

function learnedOf(body: Body): ReportBodies['learned'] {
  return { lineages: arrayOf(body['lineages'], 'lineages', lineageOf) }
}

function requestOf(body: Body): ReportBodies['request'] {
  return {
    action: oneOf(body['action'], 'action', ['offer', 'approve', 'reject', 'rollback']),
    id: textOf(body['id'], 'id'),
    live: textOf(body['live'], 'live'),
  }
}

function lineageOf(value: unknown, field: string): Lineage {
  const lineage = objectOf(value, field)
  return {
    generation: textOf(lineage['generation'], `${field}.generation`),
    isLoaded: isTrue(lineage['isLoaded'], `${field}.isLoaded`),
    learnedThrough: arrayOf(lineage['learnedThrough'], `${field}.learnedThrough`, throughOf),
  }
}

function throughOf(value: unknown, field: string): Lineage['learnedThrough'][number] {
  const learned = objectOf(value, field)
  return {
    partition: offsetOf(learned['partition'], `${field}.partition`),
    offset: offsetOf(learned['offset'], `${field}.offset`),
    eventTimeMs: numberOf(learned['eventTimeMs'], `${field}.eventTimeMs`, 0),
  }
}

const dayFormat = /^\d{4}-\d\d-\d\d$/

function dayOf(value: unknown, field: string): string {
  const day = typeof value === 'string' && dayFormat.test(value) ? value : null
  const timeMs = day === null ? NaN : Date.parse(`${day}T00:00:00Z`)
  // 2026-02-30 parses, as another day.
  if (!Number.isNaN(timeMs) && new Date(timeMs).toISOString().startsWith(day!)) return day!
  throw invalid(field, undefined, describe(value), 'a day, e.g. 2026-01-31')
}

function numberOf(value: unknown, field: string, min: number, max = Infinity): number {
  if (typeof value === 'number' && value >= min && value <= max && value !== Infinity) return value
  const range = max === Infinity ? `of at least ${min}` : `from ${min} to ${max}`
  throw invalid(field, undefined, describe(value), `a number ${range}`)
}

function offsetOf(value: unknown, field: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw invalid(field, undefined, describe(value), 'a whole number of at least 0')
}

function textOf(value: unknown, field: string): string {
  if (typeof value === 'string') return value
  throw invalid(field, undefined, describe(value), 'a string')
}

function isTrue(value: unknown, field: string): boolean {
  if (typeof value === 'boolean') return value
  throw invalid(field, undefined, describe(value), 'true or false')
}

function oneOf<T extends string>(value: unknown, field: string, values: readonly T[]): T {
  const found = values.find((one) => one === value)
  if (found !== undefined) return found
  throw invalid(field, undefined, describe(value), values.join(', '))
}

function objectOf(value: unknown, field: string): Body {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Body
  throw invalid(field, undefined, describe(value), 'an object')
}

/** Kafka itself does not go further. */
const arrayMax = 100_000

function arrayOf<T>(value: unknown, field: string, read: (one: unknown, at: string) => T): T[] {
  if (!Array.isArray(value) || value.length > arrayMax) {
    throw invalid(field, undefined, describe(value), `an array of at most ${arrayMax}`)
  }
  return value.map((one, i) => read(one, `${field}[${i}]`))
}
