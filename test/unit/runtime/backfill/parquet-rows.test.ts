import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Unchecked } from '../../../../src/records/json.ts'
import { parquetRows } from '../../../../src/runtime/backfill/parquet-rows.ts'
import { compileFields, fieldsRead } from '../../../../src/streams/mapping-fields.ts'
import {
  list,
  map,
  optional,
  pageSchema,
  text,
  timestamp,
  writeParquet,
} from '../../../support/lake-files.ts'
import { temporaryDir } from '../../../support/own-servers.ts'

const at = new Date('2026-01-05T10:00:00.123Z')
const huge = 2n ** 62n + 1n

async function fileOf(rows: readonly Unchecked[], schema = pageSchema, rowGroupSize = 10) {
  const file = path.join(await temporaryDir(onTestFinished), 'a.parquet')
  await writeParquet(file, rows, schema, rowGroupSize)
  return file
}

async function read(file: string, columns: readonly string[]) {
  const found: Unchecked[] = []
  const firsts: number[] = []
  for await (const { first, rows } of parquetRows(file, new Set(columns))) {
    firsts.push(first)
    found.push(...rows)
  }
  return { found, firsts }
}

test('times of every unit are times, integers keep all their digits, lists, structs and maps are what they say', async () => {
  const long = (name: string) => optional(name, { type: 'INT64' })
  const schema = [
    { name: 'root', num_children: 8 },
    ...[timestamp('ms', 'MILLIS'), timestamp('us', 'MICROS'), timestamp('ns', 'NANOS')],
    ...[long('id'), long('huge'), ...list('ids', [long('element')])],
    ...[optional('user', { num_children: 2 }), text('name'), long('id')],
    ...map('numbers', [optional('value', { type: 'DOUBLE' })]),
  ]
  const row = {
    ...{ ms: at, us: at, ns: at, id: 7n, huge, ids: [1n, huge] },
    ...{ user: { name: 'Ada', id: 5n }, numbers: { age: 1.5 } },
  }
  const file = await fileOf([row, { id: 8n }], schema)
  const { found } = await read(file, Object.keys(row))
  const { user, numbers } = row
  expect(found[0]).toEqual({ ...row, id: 7, ids: [1, huge], user: { ...user, id: 5 }, numbers })
  const fields = {
    ...{ request_id: 'huge', user_id: 'user.id', items: 'ids', event_time: 'ns' },
    'features.numeric.age': 'numbers.age',
  }
  const event = compileFields('impression', fields)(found[0]!)
  expect(event).toMatchObject({
    ...{ requestId: String(huge), userId: '5', items: ['1', String(huge)] },
    ...{ eventTimeMs: at.getTime(), features: { numeric: new Map([['age', 1.5]]) } },
  })
  expect(() => compileFields('impression', fields)(found[1]!)).toThrow('request_id (from huge)')
})

test('only the columns that a mapping looks at are read, row group by row group', async () => {
  const rows = Array.from({ length: 25 }, (_, i) => ({ request_id: `r${i}`, user_id: 'u' }))
  const columns = fieldsRead('click', { user_id: 'request_id', item_id: 'page.items[].id' })
  expect([...columns].filter((name) => name.startsWith('page'))).toEqual(['page'])
  const { found, firsts } = await read(await fileOf(rows), ['request_id', 'not there'])
  expect(firsts).toEqual([0, 10, 20])
  expect(found).toEqual(rows.map(({ request_id }) => ({ request_id })))
})

test('a file that is cut off or damaged is named, with the row group', async () => {
  const rows = Array.from({ length: 20 }, (_, i) => ({ request_id: `r${i}`, items: ['a', 'b'] }))
  const file = await fileOf(rows)
  const bytes = await fs.readFile(file)
  const failing = async (content: Buffer) => {
    await fs.writeFile(file, content)
    const error: unknown = await read(file, ['request_id']).catch((cause: unknown) => cause)
    expect(error).toMatchObject({ code: 'FILE_INVALID' })
    return (error as Error).message
  }
  expect(await failing(bytes.subarray(0, -20))).toContain(`${file} is no Parquet file, or its end`)
  expect(await failing(bytes.subarray(0, 3))).toContain(file)
  const damaged = Buffer.from(bytes).fill(0xff, 4, 40)
  expect(await failing(damaged)).toContain(`${file}: row group 0 (rows 0 to 9) cannot be read`)
  await expect(read(`${file}.not`, [])).rejects.toMatchObject({ code: 'FILE_MISSING' })
})
