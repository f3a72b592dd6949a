import type { Config, SourceConfig } from '../../config/schema.ts'
import { FreshetError } from '../../errors.ts'
import { encodeEvent, encodeItem } from '../../records/codec.ts'
import type { Unchecked } from '../../records/json.ts'
import { partitionOf } from '../../records/partition.ts'
import { dayOf } from '../../streams/day-cut.ts'
import { compileFields, fieldsRead } from '../../streams/mapping-fields.ts'
import { expectPast } from '../../streams/mapping.ts'
import { itemChangeOf, type SourceEvent } from '../../streams/source-event.ts'
import { avroRows } from './avro-rows.ts'
import type { DeadLetterFile } from './dead-letter-file.ts'
import type { InputFile } from './input-files.ts'
import { parquetRows } from './parquet-rows.ts'
import type { RecordSorter, TimedRecord } from './record-sorter.ts'
import type { TakenDays } from './taken-days.ts'

/** Tags of what is sorted: partitions, and these. */
export const itemTag = 0xffff_ffff
/** The value is the id of an item that was withdrawn. */
export const withdrawnTag = 0xffff_fffe

export interface ReadDeps {
  readonly sources: Readonly<Record<string, SourceConfig>>
  readonly config: Pick<Config, 'ingest' | 'kafka'>
  /** Arrival of everything. */
  readonly nowMs: number
  /** Events from here on are left out. */
  readonly endMs: number
  readonly taken: TakenDays
  readonly sorter: RecordSorter
  readonly deadLetters: DeadLetterFile
  /** Called after each row group or block. @throws where it is to stop */
  onRows(): void
}

export interface ReadCounts {
  rows: number
  impression: number
  click: number
  item: number
  /** Of days that have not ended, or are behind `--until`. */
  leftOut: number
}

/** Reads a file through the mapping of its source; what is accepted goes to the sorter. */
export async function readEvents(
  file: InputFile,
  deps: ReadDeps,
  counts: ReadCounts,
): Promise<void> {
  const { map, columns } = mapperOf(deps.sources[file.source])
  const { format, path } = file
  const found = format === 'parquet' ? parquetRows(path, columns) : avroRows(path)
  for await (const { first, rows } of found) {
    for (const [i, record] of rows.entries()) {
      counts.rows++
      const timed = timedOf(record, map, deps, counts, { file: path, row: first + i })
      if (timed !== null && !deps.sorter.add(timed)) await deps.sorter.spill()
    }
    await deps.deadLetters.flush()
    deps.onRows()
  }
}

const itemColumns = new Set('item_id title created_at features event_time withdrawn'.split(' '))

/** @param source undefined: items, which have no mapping */
function mapperOf(source: SourceConfig | undefined): {
  readonly map: (record: Unchecked) => SourceEvent
  readonly columns: ReadonlySet<string>
} {
  if (source === undefined) return { map: itemChangeOf, columns: itemColumns }
  const { record, fields } = source
  return { map: compileFields(record, fields), columns: fieldsRead(record, fields) }
}

/** Null where it is refused or left out. */
function timedOf(
  record: Unchecked,
  map: (record: Unchecked) => SourceEvent,
  { config, nowMs, endMs, taken, deadLetters }: ReadDeps,
  counts: ReadCounts,
  place: { readonly file: string; readonly row: number },
): TimedRecord | null {
  try {
    const event = map(record)
    const { kind, eventTimeMs: timeMs } = event
    if (kind !== 'item') expectPast(event, nowMs, config.ingest.futureSkewMs)
    if (timeMs >= endMs) {
      counts.leftOut++
      return null
    }
    const timed = { timeMs, ...encoded(event, config.kafka.partitions) }
    if (kind !== 'item') taken.expectFree(dayOf(timeMs)!)
    counts[kind]++
    return timed
  } catch (error) {
    if (!(error instanceof FreshetError) || error.disposition !== 'dead-letter') throw error
    const { code, message } = error
    deadLetters.add({ code, message, ...place, record })
    return null
  }
}

function encoded(event: SourceEvent, partitions: number): Omit<TimedRecord, 'timeMs'> {
  if (event.kind !== 'item') {
    return { tag: partitionOf(event.userId, partitions), value: encodeEvent(event) }
  }
  const { item, itemId } = event
  return item === null
    ? { tag: withdrawnTag, value: Buffer.from(itemId) }
    : { tag: itemTag, value: encodeItem(item) }
}
