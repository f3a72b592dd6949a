import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { deflateRawSync } from 'node:zlib'
import avsc from 'avsc'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { FreshetError } from '../../../src/errors.ts'
import { AvroWriter } from '../../../src/records/avro-io.ts'
import type { AvroReader } from '../../../src/records/avro-io.ts'
import { decodeContainer, encodeContainer } from '../../../src/records/object-container.ts'
import type { ContainerCodec } from '../../../src/records/object-container.ts'
import { record } from '../../../src/records/schema-parts.ts'
import { deflate } from '../../../src/runtime/archive/deflate.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const schema = record('Pair', [
  { name: 'name', type: 'string' },
  { name: 'number', type: 'long' },
])
type Pair = readonly [string, number]

test('pairs come back, compressed or not, and the same content gives the same bytes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string(), fc.maxSafeInteger()), { maxLength: 50 }),
      fc.dictionary(fc.stringMatching(/^[a-z]+$/), fc.string()),
      fc.constantFrom(undefined, deflate),
      (pairs, metadata, codec) => {
        const bytes = encode(pairs, metadata, codec)
        const { metadata: found, values } = decode(bytes)
        expect(values).toEqual(pairs)
        expect(Object.fromEntries(found)).toMatchObject(metadata)
        expect(encode(pairs, metadata, codec).equals(bytes)).toBe(true)
      },
    ),
  )
})

test('files of many blocks, and values larger than one, come back', () => {
  const pairs: Pair[] = Array.from({ length: 30_000 }, (_, i) => [`name-${i}`, i])
  pairs.splice(15_000, 0, ['x'.repeat(200_000), -1])
  for (const codec of [undefined, deflate]) {
    const bytes = encode(pairs, {}, codec)
    expect(decode(bytes).values).toEqual(pairs)
    const half = encode(pairs.slice(0, 15_000), {}, codec)
    expect(bytes.length - half.length).toBeGreaterThan(codec === undefined ? 200_000 : 20_000)
  }
  expect(decode(encode([])).values).toEqual([])
})

test.each(['null', 'deflate'])('avsc reads what is written, and the reverse: %s', async (name) => {
  const dir = mkdtempSync(join(tmpdir(), 'freshet-test-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const pairs: Pair[] = Array.from({ length: 20_000 }, (_, i) => [`n${i % 100}`, i - 5])
  const ours = join(dir, 'ours.avro')
  writeFileSync(ours, encode(pairs, { origin: 'freshet' }, name === 'null' ? undefined : deflate))
  const read: Pair[] = []
  for await (const value of avsc.createFileDecoder(ours)) {
    const { name, number } = value as { name: string; number: number }
    read.push([name, number])
  }
  expect(read).toEqual(pairs)
  expect(decode(await avscFile(pairs, name)).values).toEqual(pairs)
})

test('any changed bit, and any lost end, of a file that was written here is noticed', () => {
  const two: Pair[] = [
    ['first', 1],
    ['second', 2 ** 40],
  ]
  for (const [pairs, codec] of [
    [two, undefined],
    [two, deflate],
    [[], undefined],
  ] as const) {
    // prettier-ignore
    const good = encode(pairs, { day: '2026-01-01' }, codec)
    for (let end = 0; end < good.length; end++) expectRefused(good.subarray(0, end))
    // A name of our own that has changed is one that nobody knows: what it said is not compared, what it spoke about is the same.
    const own = good.indexOf('freshet.sha256')
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Buffer.from(good)
      bad[bit >>> 3]! ^= 1 << (bit & 7)
      const isOwn = bit >>> 3 >= own - 1 && bit >>> 3 < own + 'freshet.sha256'.length
      if (!isOwn) expectRefused(bad)
      else if (decodesOrIsRefused(bad)) expect(decode(bad).values).toEqual(pairs)
    }
  }
})

test('files of others may hold anything: values or a refusal, at once and within their size', async () => {
  const random = seededRandom(3)
  const pairs: Pair[] = Array.from({ length: 40 }, (_, i) => [`name-${i}`, i])
  for (const codec of ['null', 'deflate']) {
    const good = await avscFile(pairs, codec)
    let refused = 0
    const startedMs = performance.now()
    for (let round = 0; round < 4_000; round++) {
      const bad = Buffer.from(good)
      for (let n = random.between(1, 4); n > 0; n--) {
        bad[random.between(0, bad.length - 1)] = random.between(0, 255)
      }
      if (!decodesOrIsRefused(bad.subarray(0, random.between(0, 2 * bad.length)))) refused++
    }
    expect(refused).toBeGreaterThan(2_000)
    expect(performance.now() - startedMs).toBeLessThan(20_000)
  }
})

test('counts and sizes that are not there are refused before anything is read', () => {
  const many = Number.MAX_SAFE_INTEGER
  const zeros = Buffer.alloc(3_000_000)
  refuse(file({ count: many, content: zeros }), `${many} values in 3000000 bytes`)
  refuse(file({ count: 1, content: zeros, size: many }), `a length of ${many} does not fit`)
  refuse(file({ count: -1, content: zeros }), 'a length of -1')
  refuse(file({ count: 2, content: zeros }), '2999996 bytes follow its 2 values')
  refuse(file({ count: 3, content: Buffer.from([0, 0, 2]) }), 'in the block that begins at byte')
  const bytes = encode([['a', 1], ['b', 2], ['c', 3]]) // prettier-ignore
  expect(decodeContainer(schema, bytes, readPair, { countMax: 3 }).values).toHaveLength(3)
  expect(() => decodeContainer(schema, bytes, readPair, { countMax: 2 })).toThrow(
    '3 values, 2 at most',
  )
})

test('a small file does not become a large one: a bomb is stopped at its limit', () => {
  const bomb = (mebibytes: number): Buffer => deflateRawSync(Buffer.alloc(mebibytes << 20))
  const stopped = 'Avro: deflate: Cannot create a Buffer larger than'
  refuse(file({ count: 1, content: bomb(90), codec: 'deflate' }), stopped)
  // Blocks that pass one by one: the limit is that of the file.
  const one = file({ count: 1, content: bomb(15), codec: 'deflate' })
  const header = file({ count: 0, content: Buffer.alloc(0), codec: 'deflate' }).length - 18
  const blocksOf = (count: number): Buffer =>
    Buffer.concat([one, ...Array.from({ length: count - 1 }, () => one.subarray(header))])
  const all = (reader: AvroReader): number => reader.rest().length
  const options = { codecs: [deflate] }
  const lengths = [15 << 20, 15 << 20, 15 << 20]
  expect(decodeContainer(schema, blocksOf(3), all, options).values).toEqual(lengths)
  expect(() => decodeContainer(schema, blocksOf(6), all, options)).toThrow(stopped)
})

test('schemas are the same however they are spelled, and another one is refused by name', () => {
  const spelled = {
    ...{ namespace: 'freshet', name: 'Pair', doc: 'Two things.', type: 'record' },
    fields: [
      { name: 'name', type: { type: 'string' } },
      { name: 'number', type: 'long', default: 0 },
    ],
  }
  const text = JSON.stringify(spelled, null, 2)
  const content = Buffer.from([2, 97, 6])
  expect(decode(file({ count: 1, content, schema: text })).values).toEqual([['a', 3]])
  const other = record('Pair', [{ name: 'name', type: 'string' }])
  refuse(file({ count: 1, content, schema: JSON.stringify(other) }), 'avro.schema')
  refuse(file({ count: 1, content, schema: '{"type":' }), 'found {"type":')
  refuse(file({ count: 1, content, schema: `${'['.repeat(50_000)}` }), 'avro.schema')
  const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
  refuse(file({ count: 1, content, schema: deep }), 'avro.schema')
  refuse(file({ count: 1, content, codec: 'snappy' }), 'snappy is not supported: null, deflate')
})

function encode(
  pairs: readonly Pair[],
  metadata: Readonly<Record<string, string>> = {},
  codec?: ContainerCodec,
): Buffer {
  const writer = new AvroWriter(64)
  const bodies = pairs.map(([name, number]) => {
    writer.start(Buffer.alloc(0))
    writer.string(name)
    writer.long(number)
    return writer.finish()
  })
  const options = codec === undefined ? { metadata } : { metadata, codec }
  return Buffer.concat(encodeContainer(schema, bodies, options))
}

function decode(bytes: Buffer) {
  return decodeContainer(schema, bytes, readPair, { codecs: [deflate] })
}

function readPair(reader: AvroReader): Pair {
  return [reader.string('name'), reader.long('number')]
}

/** A file of one block that says what it likes. */
function file({
  count,
  content,
  size = content.length,
  ...header
}: {
  readonly count: number
  readonly content: Buffer
  readonly size?: number
  readonly schema?: string
  readonly codec?: string
}): Buffer {
  const writer = new AvroWriter(1_024)
  const marker = Buffer.alloc(16, 7)
  writer.start(Buffer.from('Obj\u0001', 'latin1'))
  writer.long(2)
  for (const text of ['avro.codec', header.codec ?? 'null']) writer.string(text)
  for (const text of ['avro.schema', header.schema ?? JSON.stringify(schema)]) writer.string(text)
  writer.long(0)
  writer.raw(marker)
  writer.long(count)
  writer.long(size)
  writer.raw(content)
  writer.raw(marker)
  return writer.finish()
}

async function avscFile(pairs: readonly Pair[], codec: string): Promise<Buffer> {
  const encoder = new avsc.streams.BlockEncoder(schema as avsc.Schema, { codec, blockSize: 300 })
  for (const [name, number] of pairs) encoder.write({ name, number })
  encoder.end()
  return buffer(encoder)
}

function refuse(bytes: Buffer, message: string): void {
  expect(() => decode(bytes)).toThrow(message)
  expectRefused(bytes)
}

function expectRefused(bytes: Buffer): void {
  expect(decodesOrIsRefused(bytes)).toBe(false)
}

/** Any other error fails the test. */
function decodesOrIsRefused(bytes: Buffer): boolean {
  try {
    decode(bytes)
    return true
  } catch (error) {
    if (error instanceof FreshetError && error.code === 'FILE_INVALID') return false
    throw error
  }
}
