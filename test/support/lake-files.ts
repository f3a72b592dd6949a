import fs from 'node:fs/promises'
import path from 'node:path'
import { parquetWriteFile } from 'hyparquet-writer'
import { compileEncoder } from '../../src/records/avro-general.ts'
import { jsonOf, type Unchecked } from '../../src/records/json.ts'
import { encodeContainer } from '../../src/records/object-container.ts'
import { topicSchemas } from '../../src/records/schemas.ts'
import type { SourceEvent } from '../../src/streams/source-event.ts'
import { seededRandom } from './seeded-random.ts'

type Schema = NonNullable<Parameters<typeof parquetWriteFile>[0]['schema']>

export interface LakeOptions {
  /** Of impressions and clicks each; they lie in no order. */
  readonly files?: number
  readonly rowGroupSize?: number
}

/**
 * What a team's lake may look like: `impressions/` and `items/` as Parquet, `clicks/` as Avro, spread over files and shuffled, with
 * times as typed timestamps.
 */
export async function writeLake(
  dir: string,
  events: Iterable<SourceEvent>,
  { files = 3, rowGroupSize = 500 }: LakeOptions = {},
): Promise<void> {
  const rows = { impression: [] as Unchecked[], click: [] as Unchecked[], item: [] as Unchecked[] }
  for (const event of events) rows[event.kind].push(rowOf(event))
  const random = seededRandom(5)
  const shuffledBy = (records: readonly Unchecked[]): Unchecked[] =>
    records
      .map((record) => ({ record, key: random.next() }))
      .sort((a, b) => a.key - b.key)
      .map(({ record }) => record)
  for (const kind of ['impression', 'click'] as const) {
    const shuffled = shuffledBy(rows[kind])
    for (let file = 0; file < files; file++) {
      const own = shuffled.filter((_, i) => i % files === file)
      if (kind === 'click') await writeClicks(path.join(dir, `clicks/part-${file}.avro`), own)
      else await writePages(path.join(dir, `impressions/part-${file}.parquet`), own, rowGroupSize)
    }
  }
  if (rows.item.length > 0) {
    await writeParquet(path.join(dir, 'items/all.parquet'), rows.item, itemSchema, rowGroupSize)
  }
}

export async function writePages(
  file: string,
  rows: readonly Unchecked[],
  rowGroupSize = 500,
): Promise<void> {
  await writeParquet(file, rows, pageSchema, rowGroupSize)
}

export async function writeParquet(
  file: string,
  rows: readonly Unchecked[],
  schema: Schema,
  rowGroupSize: number,
): Promise<void> {
  await fs.mkdir(path.dirname(file), { recursive: true })
  const names = topLevel(schema)
  const columnData = names.map((name) => ({ name, data: rows.map((row) => row[name]) }))
  parquetWriteFile({ filename: file, columnData, schema, rowGroupSize })
}

/** The schema is a tree, parents first; its leaves and groups right below the root are the columns. */
function topLevel(schema: Schema): string[] {
  const names: string[] = []
  const pass = (at: number): number => {
    let end = at + 1
    for (let child = 0; child < (schema[at]!.num_children ?? 0); child++) end = pass(end)
    return end
  }
  for (let at = 1; at < schema.length; at = pass(at)) names.push(schema[at]!.name)
  return names
}

type Element = Schema[number]

export function optional(name: string, more: Partial<Element>): Element {
  return { name, repetition_type: 'OPTIONAL', ...more }
}

export function text(name: string): Element {
  return optional(name, { type: 'BYTE_ARRAY', converted_type: 'UTF8' })
}

export function timestamp(name: string, unit: 'MILLIS' | 'MICROS' | 'NANOS'): Element {
  return optional(name, {
    type: 'INT64',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit },
  })
}

export function list(name: string, element: readonly Element[]): Element[] {
  const inner: Element = { name: 'list', repetition_type: 'REPEATED', num_children: 1 }
  return [optional(name, { converted_type: 'LIST', num_children: 1 }), inner, ...element]
}

export function map(name: string, value: readonly Element[]): Element[] {
  return [
    optional(name, { converted_type: 'MAP', num_children: 1 }),
    { name: 'key_value', repetition_type: 'REPEATED', num_children: 2 },
    { name: 'key', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
    ...value,
  ]
}

const features: readonly Element[] = [
  optional('features', { num_children: 3 }),
  ...map('categorical', list('value', [text('element')])),
  ...map('numeric', [optional('value', { type: 'DOUBLE' })]),
  ...map('dense', list('value', [optional('element', { type: 'FLOAT' })])),
]

/** Of the documented impression, with its time in microseconds. */
export const pageSchema: Schema = [
  { name: 'root', num_children: 7 },
  ...[text('request_id'), text('user_id'), timestamp('event_time', 'MICROS'), text('scenario')],
  ...[...list('items', [text('element')]), ...list('eliminated', [text('element')])],
  ...features,
]

/** Of the documented item, and of how it changes. */
export const itemSchema: Schema = [
  { name: 'root', num_children: 6 },
  ...[text('item_id'), text('title'), timestamp('created_at', 'MILLIS')],
  ...[timestamp('event_time', 'MILLIS'), optional('withdrawn', { type: 'BOOLEAN' })],
  ...features,
]

/** Of the documented click, but that its time is a timestamp in microseconds. */
export const clickSchema = {
  ...topicSchemas.clicks,
  fields: topicSchemas.clicks.fields.map((field) =>
    field.name === 'event_time'
      ? { ...field, type: { type: 'long', logicalType: 'timestamp-micros' } }
      : field,
  ),
}

export async function writeClicks(file: string, rows: readonly Unchecked[]): Promise<void> {
  await fs.mkdir(path.dirname(file), { recursive: true })
  const encode = compileEncoder(clickSchema)
  const bodies = rows.map((row) =>
    encode({ ...row, event_time: Number(row['event_time']) * 1_000 }),
  )
  await fs.writeFile(file, Buffer.concat(encodeContainer(clickSchema, bodies)))
}

/** The documented row of an event; times of Parquet are Dates. */
export function rowOf(event: SourceEvent): Unchecked {
  if (event.kind === 'click') return jsonOf(event)
  if (event.kind === 'impression') {
    return { ...jsonOf(event), event_time: new Date(event.eventTimeMs) }
  }
  const time = { event_time: new Date(event.eventTimeMs) }
  if (event.item === null) return { ...time, item_id: event.itemId, withdrawn: true }
  const row = jsonOf({ kind: 'item', ...event.item })
  return { ...row, ...time, created_at: new Date(event.item.createdAtMs), withdrawn: false }
}
