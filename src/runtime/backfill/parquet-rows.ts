import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import type { FileMetaData } from 'hyparquet'
import type { Unchecked } from '../../records/json.ts'
import { codecsReady } from '../kafka/codecs.ts'
import { pageCodecs } from './block-codecs.ts'
import { damaged, unreadable, type Rows } from './rows.ts'

/**
 * Row groups of a Parquet file, one in memory at a time. Lists are arrays, structs and maps are objects, timestamps of any unit and
 * INT96 are Dates, integers are numbers within 2^53 and bigints beyond.
 * @param columns those that are read, of the ones there are
 * @throws FreshetError FILE_MISSING, FILE_INVALID naming file and row group
 */
export async function* parquetRows(
  path: string,
  columns: ReadonlySet<string>,
): AsyncGenerator<Rows> {
  await codecsReady()
  const file = await asyncBufferFromFile(path).catch((cause: unknown) => {
    throw unreadable(path, cause)
  })
  const metadata = await parquetMetadataAsync(file).catch((cause: unknown) => {
    throw damaged(`${path} is no Parquet file, or its end is missing`, cause)
  })
  const there = topLevelColumns(metadata).filter((name) => columns.has(name))
  let first = 0
  for (const [number, { num_rows }] of metadata.row_groups.entries()) {
    const end = first + Number(num_rows)
    const found = await parquetReadObjects({
      ...{ file, metadata, columns: there, compressors: pageCodecs },
      ...{ rowStart: first, rowEnd: end },
    }).catch((cause: unknown) => {
      const rows = `rows ${first} to ${end - 1}`
      throw damaged(`${path}: row group ${number} (${rows}) cannot be read`, cause)
    })
    yield { first, rows: found.map((row) => plain(row) as Unchecked) }
    first = end
  }
}

/** The schema is a tree, written down parents first. */
function topLevelColumns({ schema }: FileMetaData): string[] {
  const names: string[] = []
  for (let at = 1; at < schema.length; at = endOf(schema, at)) names.push(schema[at]!.name)
  return names
}

function endOf(schema: FileMetaData['schema'], at: number): number {
  let end = at + 1
  for (let child = 0; child < (schema[at]?.num_children ?? 0); child++) end = endOf(schema, end)
  return end
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value
  }
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (Array.isArray(value)) return value.map(plain)
  if (ArrayBuffer.isView(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}
