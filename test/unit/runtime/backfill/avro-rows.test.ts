import fs from 'node:fs/promises'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import * as zstd from '@bokuweb/zstd-wasm'
import { compressSync } from 'snappy'
import { expect, onTestFinished, test } from 'vitest'
import { compileEncoder } from '../../../../src/records/avro-general.ts'
import type { Unchecked } from '../../../../src/records/json.ts'
import { encodeContainer, type ContainerCodec } from '../../../../src/records/object-container.ts'
import type { AvroSchema } from '../../../../src/records/schema-parts.ts'
import { deflate } from '../../../../src/runtime/archive/deflate.ts'
import { avroRows } from '../../../../src/runtime/backfill/avro-rows.ts'
import { temporaryDir } from '../../../support/own-servers.ts'

const atMs = Date.parse('2026-01-05T10:00:00.123Z')
const time = (logicalType: string) => ({ type: 'long', logicalType })
const schema = {
  ...{ type: 'record', name: 'Row', namespace: 'lake' },
  fields: [
    { name: 'id', type: 'long' },
    { name: 'ms', type: time('timestamp-millis') },
    { name: 'us', type: ['null', time('local-timestamp-micros')] },
    { name: 'tags', type: { type: 'map', values: { type: 'array', items: 'string' } } },
  ],
} as AvroSchema

const snappy: ContainerCodec = {
  name: 'snappy',
  compress: (bytes) => {
    const sum = Buffer.alloc(4)
    sum.writeUInt32BE(crc32(bytes))
    return Buffer.concat([compressSync(bytes), sum])
  },
  expand: (bytes) => bytes,
}

const zstandard: ContainerCodec = {
  name: 'zstandard',
  compress: (bytes) => Buffer.from(zstd.compress(bytes)),
  expand: (bytes) => bytes,
}

function rowOf(i: number) {
  const tags = new Map([['colour', ['red', `${i}`]]])
  return { id: i, ms: atMs + i, us: i % 2 === 0 ? null : (atMs + i) * 1_000, tags }
}

async function fileOf(count: number, codec?: ContainerCodec) {
  const file = path.join(await temporaryDir(onTestFinished), 'a.avro')
  const encode = compileEncoder(schema)
  const bodies = Array.from({ length: count }, (_, i) => encode(rowOf(i)))
  const options = codec === undefined ? {} : { codec }
  await fs.writeFile(file, Buffer.concat(encodeContainer(schema, bodies, options)))
  return file
}

async function read(file: string): Promise<{ found: Unchecked[]; firsts: number[] }> {
  const found: Unchecked[] = []
  const firsts: number[] = []
  for await (const { first, rows } of avroRows(file)) {
    firsts.push(first)
    found.push(...rows)
  }
  return { found, firsts }
}

test('blocks of every codec are read one by one, timestamps as times', async () => {
  await zstd.init()
  const count = 9_000
  const expected = Array.from({ length: count }, (_, i) => {
    const { us, ms, ...row } = rowOf(i)
    return { ...row, ms: new Date(ms), us: us === null ? null : new Date(us / 1_000) }
  })
  for (const codec of [undefined, deflate, snappy, zstandard]) {
    const { found, firsts } = await read(await fileOf(count, codec))
    expect(found).toEqual(expected)
    expect(firsts.length).toBeGreaterThan(2)
    expect(firsts[0]).toBe(0)
  }
})

test('integers beyond 2^53 keep all their digits', async () => {
  const file = path.join(await temporaryDir(onTestFinished), 'a.avro')
  const longs = {
    type: 'record',
    name: 'Row',
    fields: [{ name: 'id', type: 'long' }],
  } as AvroSchema
  // 2^62 as a zigzag varint.
  const body = Buffer.from([...Array<number>(9).fill(0x80), 0x01])
  await fs.writeFile(file, Buffer.concat(encodeContainer(longs, [body])))
  expect((await read(file)).found).toEqual([{ id: 2n ** 62n }])
})

test('a header that is longer than the first read is read whole', async () => {
  const file = path.join(await temporaryDir(onTestFinished), 'a.avro')
  const metadata = { note: 'x'.repeat(300_000) }
  const body = compileEncoder(schema)(rowOf(1))
  await fs.writeFile(file, Buffer.concat(encodeContainer(schema, [body], { metadata })))
  expect((await read(file)).found).toHaveLength(1)
})

test('a file that is cut off or damaged is named, with the block', async () => {
  const file = await fileOf(9_000, snappy)
  const bytes = await fs.readFile(file)
  const failing = async (content: Buffer) => {
    await fs.writeFile(file, content)
    const error: unknown = await read(file).catch((cause: unknown) => cause)
    expect(error).toMatchObject({ code: 'FILE_INVALID' })
    return (error as Error).message
  }
  expect(await failing(bytes.subarray(0, -9))).toMatch(/a\.avro: block [1-9]\d*, at byte \d+,/)
  expect(await failing(Buffer.from(bytes).fill(0, bytes.length - 60, bytes.length - 40))).toMatch(
    /block [1-9]\d*/,
  )
  expect(await failing(Buffer.from('PAR1'))).toContain('is no Avro object container file')
  const unknown = await fileOf(1, { ...snappy, name: 'xz' })
  await expect(read(unknown)).rejects.toThrow('its codec xz is not one of null, deflate, snappy')
  await expect(read(`${file}.not`)).rejects.toMatchObject({ code: 'FILE_MISSING' })
})
