import { describe, eventTimeOf, idOf, idsOf, invalid, textOf, weightOf } from './fields.ts'
import type { FieldNames, TimeUnit } from './fields.ts'
import type { Click, Features, Impression, Item } from './types.ts'

/**
 * The documented JSON of impressions, clicks and items (docs/topics.md), after JSON.parse. The same readers take records
 * decoded from Avro, whose maps are JS Maps. Every reader throws FreshetError RECORD_INVALID, which names the field, what was
 * found and what is expected. Keys that are not documented are ignored, except within `features`.
 */
export interface JsonOptions {
  readonly timeUnit?: TimeUnit
  /** How a field is called in errors, where the record has another name for it. */
  readonly names?: FieldNames
}

/** A record before its fields have been looked at. */
export type Unchecked = Readonly<Record<string, unknown>>

export function impressionOf(record: Unchecked, options: JsonOptions = {}): Impression {
  const { names } = options
  return {
    kind: 'impression',
    requestId: idOf(record['request_id'], 'request_id', names),
    userId: idOf(record['user_id'], 'user_id', names),
    eventTimeMs: eventTimeOf(record['event_time'], 'event_time', options.timeUnit, names),
    scenario: textOf(record['scenario'], 'scenario', '', names),
    items: idsOf(record['items'], 'items', names),
    eliminated: isAbsent(record['eliminated'])
      ? []
      : idsOf(record['eliminated'], 'eliminated', names, 0),
    features: featuresOf(record['features'], names),
  }
}

export function clickOf(record: Unchecked, options: JsonOptions = {}): Click {
  const { names } = options
  return {
    kind: 'click',
    requestId: idOf(record['request_id'], 'request_id', names),
    userId: idOf(record['user_id'], 'user_id', names),
    itemId: idOf(record['item_id'], 'item_id', names),
    eventTimeMs: eventTimeOf(record['event_time'], 'event_time', options.timeUnit, names),
    action: textOf(record['action'], 'action', 'click', names),
    weight: weightOf(record['weight'], 'weight', names),
  }
}

export function itemOf(record: Unchecked, options: JsonOptions = {}): Item {
  const { names } = options
  return {
    itemId: idOf(record['item_id'], 'item_id', names),
    title: textOf(record['title'], 'title', '', names),
    createdAtMs: eventTimeOf(record['created_at'], 'created_at', options.timeUnit, names),
    features: featuresOf(record['features'], names),
  }
}

const kinds = ['categorical', 'numeric', 'dense']
const none: ReadonlyMap<string, never> = new Map<string, never>()

/** Absent features, and features whose value is null, are missing; a tower has its own value for those. */
export function featuresOf(value: unknown, names?: FieldNames): Features {
  if (isAbsent(value)) return { categorical: none, numeric: none, dense: none }
  const features = recordOf(value, 'features', names)
  for (const kind in features) {
    if (kinds.includes(kind)) continue
    const where = `features.${kind}`
    throw invalid(where, names, describe(features[kind]), 'only categorical, numeric and dense')
  }
  return {
    categorical: mapOf(features['categorical'], 'features.categorical', categoricalOf, names),
    numeric: mapOf(features['numeric'], 'features.numeric', numericOf, names),
    dense: mapOf(features['dense'], 'features.dense', denseOf, names),
  }
}

/** One text, number or boolean, or an array of them. */
export function categoricalOf(value: unknown, field: string, names?: FieldNames): string[] {
  if (!Array.isArray(value)) return [categoryOf(value, field, names)]
  const values: readonly unknown[] = value
  const categories: string[] = []
  for (const one of values) {
    categories.push(typeof one === 'string' ? one : categoryOf(one, `${field}[]`, names))
  }
  return categories
}

function categoryOf(value: unknown, field: string, names?: FieldNames): string {
  if (typeof value === 'string') return value
  const isNumber = typeof value === 'bigint' || Number.isFinite(value)
  if (typeof value === 'boolean' || isNumber) return `${value as number}`
  throw invalid(field, names, describe(value), 'a string, number or boolean, or an array of them')
}

/** A number that is finite as a float32, which is how it travels. */
export function numericOf(value: unknown, field: string, names?: FieldNames): number {
  if (typeof value === 'number' && Number.isFinite(Math.fround(value))) return value
  throw invalid(field, names, describe(value), 'a number within float32')
}

export function denseOf(value: unknown, field: string, names?: FieldNames): readonly number[] {
  if (!Array.isArray(value)) throw invalid(field, names, describe(value), 'an array of numbers')
  const values: readonly unknown[] = value
  // A feature may have thousands of numbers: a name for each is built only when it is needed.
  const wrong = values.findIndex((n) => typeof n !== 'number' || !Number.isFinite(Math.fround(n)))
  if (wrong >= 0) numericOf(values[wrong], `${field}[${wrong}]`, names)
  return values as readonly number[]
}

function mapOf<T>(
  value: unknown,
  field: string,
  read: (value: unknown, field: string, names?: FieldNames) => T,
  names?: FieldNames,
): ReadonlyMap<string, T> {
  if (isAbsent(value)) return none
  const map = new Map<string, T>()
  if (value instanceof Map) {
    for (const [key, entry] of value as ReadonlyMap<string, unknown>) {
      if (!isAbsent(entry)) map.set(key, read(entry, `${field}.${key}`, names))
    }
    return map
  }
  const record = recordOf(value, field, names)
  for (const key in record) {
    const entry = record[key]
    if (!isAbsent(entry)) map.set(key, read(entry, `${field}.${key}`, names))
  }
  return map
}

function recordOf(value: unknown, field: string, names?: FieldNames): Unchecked {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Unchecked
  throw invalid(field, names, describe(value), 'an object')
}

export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null
}

/** The documented JSON of an impression, click or item: what the readers above take. */
export function jsonOf(record: Impression | Click | (Item & { readonly kind: 'item' })): Unchecked {
  switch (record.kind) {
    case 'impression':
      return {
        request_id: record.requestId,
        user_id: record.userId,
        event_time: record.eventTimeMs,
        scenario: record.scenario,
        items: record.items,
        eliminated: record.eliminated,
        features: featuresJson(record.features),
      }
    case 'click':
      return {
        request_id: record.requestId,
        user_id: record.userId,
        item_id: record.itemId,
        event_time: record.eventTimeMs,
        action: record.action,
        weight: record.weight,
      }
    case 'item':
      return {
        item_id: record.itemId,
        title: record.title,
        created_at: record.createdAtMs,
        features: featuresJson(record.features),
      }
  }
}

export function featuresJson({ categorical, numeric, dense }: Features): Unchecked {
  return {
    categorical: Object.fromEntries(categorical),
    numeric: Object.fromEntries(numeric),
    dense: Object.fromEntries(dense),
  }
}
