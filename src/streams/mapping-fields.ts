import { FreshetError } from '../errors.ts'
import type { TimeUnit } from '../records/fields.ts'
import {
  categoricalOf,
  clickOf,
  denseOf,
  impressionOf,
  isAbsent,
  numericOf,
  type Unchecked,
} from '../records/json.ts'
import type { Click, Features, Impression } from '../records/types.ts'
import { compilePath, type PathReader } from './mapping-paths.ts'

/** Where a field comes from: a path, a path with a unit or default, or always the same. */
export type FieldMapping =
  | string
  | {
      readonly path: string
      readonly unit?: TimeUnit | undefined
      readonly default?: string | number | undefined
    }
  | { readonly constant: string | number }

const fieldsOf = {
  impression: 'request_id user_id event_time scenario items eliminated features'.split(' '),
  click: 'request_id user_id item_id event_time action weight'.split(' '),
} as const

/**
 * Reads a parsed record through the mapping of its fields. Besides the fields of an impression or click, single features can be
 * named: `features.categorical.device`, `features.numeric.age`, `features.dense.taste`.
 * @throws FreshetError CONFIG_INVALID for an unknown field or a malformed path
 */
export function compileFields(
  record: 'impression' | 'click',
  fields: Readonly<Record<string, FieldMapping>>,
): (record: Unchecked) => Impression | Click {
  const read = record === 'impression' ? impressionOf : clickOf
  const mapped = Object.entries(fields)
  if (mapped.length === 0) return (value) => read(value)

  const isFeature = ([field]: [string, FieldMapping]) => field.startsWith('features.')
  const features = mapped.filter(isFeature).map(([field, from]) => featureReader(field, from))
  if (features.length > 0 && record === 'click')
    throw unknownField(mapped.find(isFeature)![0], record)
  const readers = mapped
    .filter((entry) => !isFeature(entry))
    .map(([field, from]) => {
      if (!fieldsOf[record].includes(field)) throw unknownField(field, record)
      return { field, read: readerOf(from) }
    })
  const names = new Map(mapped.flatMap(([field, from]) => nameOf(field, from)))
  const timeUnit = unitOf(fields['event_time'])
  return (value) => {
    const renamed: Record<string, unknown> = {}
    for (const field of fieldsOf[record]) renamed[field] = value[field]
    for (const { field, read } of readers) renamed[field] = read(value)
    const event = read(renamed, { timeUnit, names })
    if (event.kind === 'click' || features.length === 0) return event
    return { ...event, features: withFeatures(event.features, features, value, names) }
  }
}

/** The top-level fields of a record that the mapping looks at: of a file with many columns, only these are read. */
export function fieldsRead(
  record: 'impression' | 'click',
  fields: Readonly<Record<string, FieldMapping>>,
): ReadonlySet<string> {
  const paths = Object.entries(fields).flatMap(([field, from]) => nameOf(field, from))
  const firstName = /^[^.[]+/
  return new Set([
    ...fieldsOf[record],
    ...paths.map(([, path]) => firstName.exec(path)?.[0] ?? path),
  ])
}

function readerOf(from: FieldMapping): PathReader {
  if (typeof from === 'string') return compilePath(from)
  if ('constant' in from) return () => from.constant
  const read = compilePath(from.path)
  return (record) => {
    const found = read(record)
    return isAbsent(found) ? from.default : found
  }
}

/** How errors call the field, where it has another name in the record. */
function nameOf(field: string, from: FieldMapping): [string, string][] {
  if (typeof from === 'string') return [[field, from]]
  return 'path' in from ? [[field, from.path]] : []
}

function unitOf(from: FieldMapping | undefined): TimeUnit {
  return typeof from === 'object' && 'path' in from ? (from.unit ?? 'ms') : 'ms'
}

type FeatureKind = keyof Features

interface FeatureReader {
  readonly field: string
  readonly kind: FeatureKind
  readonly name: string
  readonly read: PathReader
}

function featureReader(field: string, from: FieldMapping): FeatureReader {
  const [, kind, name] = /^features\.(categorical|numeric|dense)\.(.+)$/.exec(field) ?? []
  if (name === undefined) throw unknownField(field, 'impression')
  return { field, kind: kind as FeatureKind, name, read: readerOf(from) }
}

function withFeatures(
  features: Features,
  readers: readonly FeatureReader[],
  record: Unchecked,
  names: ReadonlyMap<string, string>,
): Features {
  const categorical = new Map(features.categorical)
  const numeric = new Map(features.numeric)
  const dense = new Map(features.dense)
  for (const { field, kind, name, read } of readers) {
    const value = read(record)
    if (isAbsent(value)) continue
    if (kind === 'categorical') categorical.set(name, categoricalOf(value, field, names))
    else if (kind === 'numeric') numeric.set(name, numericOf(value, field, names))
    else dense.set(name, denseOf(value, field, names))
  }
  return { categorical, numeric, dense }
}

function unknownField(field: string, record: 'impression' | 'click'): FreshetError {
  const features = record === 'impression' ? ' or features.<kind>.<name>' : ''
  const known = `${fieldsOf[record].join(', ')}${features}`
  return new FreshetError('CONFIG_INVALID', `${record} has no field ${field}; expected ${known}`)
}
