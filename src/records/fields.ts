import { FreshetError } from '../errors.ts'

/** Readers of single fields of records from outside: whatever the value is, a checked one or an error that says what is wrong. */

/** Our name of a field -> its path in a team's own record. */
export type FieldNames = ReadonlyMap<string, string>

/** `ms` takes ISO 8601 too. */
export type TimeUnit = 'ms' | 's' | 'us' | 'ns' | 'iso'

export const idBytesMax = 256
export const itemsMax = 10_000

const anId = `a non-empty string of at most ${idBytesMax} bytes, or an integer within 2^53`

/** Strings as they are; integers become strings, also the 64-bit ones that columnar files have as bigint. */
export function idOf(value: unknown, field: string, names?: FieldNames): string {
  if (typeof value === 'string') {
    if (value.length > 0 && isShort(value)) return value
  } else if (isInteger(value)) {
    return `${value}`
  }
  throw invalid(field, names, describe(value), anId)
}

/** Each id once, where it came first. */
export function idsOf(
  value: unknown,
  field: string,
  names?: FieldNames,
  countMin = 1,
): readonly string[] {
  if (!Array.isArray(value) || value.length < countMin || value.length > itemsMax) {
    const expected = `an array of ${countMin} to ${itemsMax} ids`
    throw invalid(field, names, describe(value), expected)
  }
  const values: readonly unknown[] = value
  const ids: string[] = []
  for (let i = 0; i < values.length; i++) {
    const id = values[i]
    ids.push(
      typeof id === 'string' && id !== '' && isShort(id) ? id : idAt(values, i, field, names),
    )
  }
  return withoutRepeats(ids)
}

/** Kept out of the loop, which then builds no field name unless it has to. */
function idAt(values: readonly unknown[], i: number, field: string, names?: FieldNames): string {
  return idOf(values[i], `${field}[${i}]`, names)
}

/** Below this a scan of the array is faster than a set. */
const scanMax = 32

function withoutRepeats(ids: readonly string[]): readonly string[] {
  if (ids.length > scanMax) return [...new Set(ids)]
  for (let i = 1; i < ids.length; i++) {
    if (ids.indexOf(ids[i]!) < i) return [...new Set(ids)]
  }
  return ids
}

/** A short text that may be empty; numbers become text. */
export function textOf(value: unknown, field: string, absent: string, names?: FieldNames): string {
  if (value === undefined || value === null) return absent
  if (typeof value === 'string' && isShort(value)) return value
  if (typeof value === 'bigint' || Number.isFinite(value)) return `${value as number}`
  throw invalid(field, names, describe(value), `a string of at most ${idBytesMax} bytes`)
}

export function weightOf(value: unknown, field: string, names?: FieldNames): number {
  if (value === undefined || value === null) return 1
  const single = typeof value === 'number' ? Math.fround(value) : 0
  if (single > 0 && Number.isFinite(single)) return value as number
  throw invalid(field, names, describe(value), 'a number above 0, as a float32 too')
}

const perMs = { us: 1_000, ns: 1_000_000 } as const
/** Without a zone the time would depend on where freshet runs. */
export const isoFormat = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/
/** The last moment that a JavaScript Date can hold. */
export const timeMsMax = 8.64e15

/** Milliseconds since 1970; finer units are cut down to them. A Date, as typed columns have it, needs no unit. */
export function eventTimeOf(
  value: unknown,
  field: string,
  unit: TimeUnit = 'ms',
  names?: FieldNames,
): number {
  const timeMs = millisecondsOf(value, unit)
  if (Number.isInteger(timeMs) && timeMs >= 0 && timeMs <= timeMsMax) return timeMs
  throw invalid(field, names, describe(value), expectedTime[unit])
}

function millisecondsOf(value: unknown, unit: TimeUnit): number {
  if (value instanceof Date) return value.getTime()
  if (typeof value === 'bigint') return millisecondsOf(Number(value), unit)
  if (typeof value === 'number') {
    if (unit === 'ms') return value
    if (unit === 'iso') return NaN
    return unit === 's' ? Math.round(value * 1_000) : Math.floor(value / perMs[unit])
  }
  const isIso = typeof value === 'string' && (unit === 'ms' || unit === 'iso')
  return isIso && isoFormat.test(value) ? Date.parse(value) : NaN
}

const iso = 'ISO 8601 with a zone, e.g. 2026-01-31T12:00:00Z'
const expectedTime = {
  ms: `an integer of milliseconds since 1970, or ${iso}`,
  s: 'a number of seconds since 1970',
  us: 'a number of microseconds since 1970',
  ns: 'a number of nanoseconds since 1970',
  iso,
} as const satisfies Record<TimeUnit, string>

export function invalid(
  field: string,
  names: FieldNames | undefined,
  found: string,
  expected: string,
): FreshetError {
  const path = names?.get(field) ?? names?.get(field.replace(/[.[].*$/, ''))
  const where = path === undefined || path === field ? field : `${field} (from ${path})`
  const message = `${where}: found ${found}, expected ${expected}`
  return new FreshetError('RECORD_INVALID', message, { field })
}

const shownMax = 40

/** What a value is, in a few words. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (value instanceof Date) return `the time ${value.getTime()} ms`
  if (typeof value === 'object') return 'an object'
  if (typeof value !== 'string') return String(value)
  const shown = value.length > shownMax ? `${value.slice(0, shownMax)}…` : value
  const length = value.length > shownMax ? ` (${value.length} characters)` : ''
  return `${JSON.stringify(shown)}${length}`
}

function isInteger(value: unknown): value is number | bigint {
  return typeof value === 'bigint' || Number.isSafeInteger(value)
}

/** Whether an id fits `idBytesMax`. */
function isShort(value: string): boolean {
  // UTF-8 takes at most three bytes a UTF-16 unit, so most texts need not be measured.
  if (value.length * 3 <= idBytesMax) return true
  return value.length <= idBytesMax && Buffer.byteLength(value) <= idBytesMax
}
