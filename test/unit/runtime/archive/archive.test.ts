import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import avsc from 'avsc'
import { expect, onTestFinished, test } from 'vitest'
import { encodeExample, encodeExampleHeartbeat } from '../../../../src/records/codec.ts'
import { AvroReader } from '../../../../src/records/avro-io.ts'
import { bodyOfExample, readExampleBody } from '../../../../src/records/example-codec.ts'
import { singleObjectHeader } from '../../../../src/records/fingerprint.ts'
import { olderSchemas } from '../../../../src/records/schema-history.ts'
import { noFeatures, type Example } from '../../../../src/records/types.ts'
import { ExamplesHash, openArchive } from '../../../../src/runtime/archive/archive.ts'
import type { Archive, ArchivedRange } from '../../../../src/runtime/archive/archive.ts'
import { openDirectoryStore } from '../../../../src/runtime/generation/artifact-store.ts'
import type { CatalogueChange } from '../../../../src/streams/learner-types.ts'
import { seededRandom } from '../../../support/seeded-random.ts'

const day = '2026-01-02'

test('examples come back to the byte, by partition and offset, without the heartbeats between them', async () => {
  const { archive, file } = await setUp()
  const values = Array.from({ length: 10 }, (_, i) => encodeExample(exampleOf(`r${i}`)))
  await write(archive, [1, 0, 4], [values[6]!, encodeExampleHeartbeat(1)])
  await write(archive, [0, 10, 12], values.slice(4, 6))
  await write(archive, [0, 5, 10], [encodeExampleHeartbeat(7), ...values.slice(0, 4)])
  expect(await archive.ranges(day)).toEqual([range(0, 5, 10), range(0, 10, 12), range(1, 0, 4)])
  expect(await readFiles(archive)).toEqual(
    [[0, 4], [4, 6], [6, 7]].map(([from, to]) => values.slice(from, to).map(bodyOf)), // prettier-ignore
  )
  expect(await archive.days()).toEqual([day])
  expect(await archive.through()).toEqual(new Map([[0, 12], [1, 4]])) // prettier-ignore
  const before = await fs.readFile(file('examples-0-10-12.avro'))
  await write(archive, [0, 10, 12], values.slice(4, 6))
  expect((await fs.readFile(file('examples-0-10-12.avro'))).equals(before)).toBe(true)
})

test('a value of an older schema is archived by the current one', async () => {
  const { archive } = await setUp()
  const schema = olderSchemas.examples[0]
  const old = avsc.Type.forSchema(schema as unknown as avsc.Schema).toBuffer({
    'freshet.Example': {
      ...{ request_id: 'r', user_id: 'u', item_id: 'i', event_time: 5, impression_time: 4 },
      ...{ position: 3, hard_negatives: ['n'] },
      features: { categorical: {}, numeric: { age: 30 }, dense: {} },
    },
  })
  await write(archive, [0, 0, 1], [Buffer.concat([singleObjectHeader(schema), old])])
  const [[body]] = (await readFiles(archive)) as [[Buffer]]
  const features = { ...noFeatures, numeric: new Map([['age', 30]]) }
  const wanted = { ...exampleOf('r'), userId: 'u', itemId: 'i', eventTimeMs: 5 }
  expect(readExampleBody(new AvroReader(body))).toEqual({
    ...{ ...wanted, impressionTimeMs: 4, position: 3, scenario: '', hardNegatives: ['n'] },
    features,
  })
})

test('a value that is not an example to the last byte is not archived', async () => {
  const { archive } = await setUp()
  const value = encodeExample(exampleOf('a'))
  const undecodable = { code: 'RECORD_UNDECODABLE' }
  const times = value.indexOf('item') + 'item'.length
  const beyond = Buffer.from('ffffffffffffffffff01', 'hex')
  for (const bad of [
    Buffer.concat([value, Buffer.alloc(1)]),
    value.subarray(0, -1),
    // Its time is beyond what a number holds.
    Buffer.concat([value.subarray(0, times), beyond, value.subarray(times + 2)]),
  ]) {
    await expect(write(archive, [0, 0, 1], [bad])).rejects.toMatchObject(undecodable)
  }
  expect(await archive.days()).toEqual([])
})

test('whatever is passed over as an example can be decoded as one', () => {
  const random = seededRandom(5)
  const good = encodeExample(exampleOf('a'))
  let passed = 0
  for (let round = 0; round < 20_000; round++) {
    const bad = Buffer.from(good)
    const from = good.length - bodyOf(good).length
    for (let n = random.between(1, 2); n > 0; n--) {
      bad[random.between(from, bad.length - 1)] = random.between(0, 255)
    }
    let body
    try {
      body = bodyOf(bad)
    } catch {
      continue
    }
    passed++
    expect(() => readExampleBody(new AvroReader(body))).not.toThrow()
  }
  expect(passed).toBeGreaterThan(5_000)
})

test('what a writer that was replaced has left inside the range of another file is passed over, and said', async () => {
  const { archive, said } = await setUp()
  const values = ['a', 'b', 'c', 'd'].map((id) => encodeExample(exampleOf(id)))
  await write(archive, [0, 0, 4], values)
  await write(archive, [0, 0, 2], values.slice(0, 2))
  await write(archive, [0, 2, 4], values.slice(2))
  await write(archive, [0, 1, 3], values.slice(1, 3))
  expect(await archive.ranges(day)).toEqual([range(0, 0, 4)])
  expect(await archive.files(day)).toHaveLength(4)
  expect(await readFiles(archive)).toEqual([values.map(bodyOf)])
  const passedOver = ['examples-0-0-2', 'examples-0-1-3', 'examples-0-2-4']
  expect(said).toEqual(passedOver.map((name) => `archive/day=${day}/${name}.avro`))
})

test('ranges that overlap or leave a gap are refused with the names of both files', async () => {
  const { archive, file } = await setUp()
  await write(archive, [0, 0, 4], [])
  await write(archive, [0, 3, 6], [])
  const names = (a: string, b: string): string =>
    `archive/day=${day}/examples-${a}.avro and archive/day=${day}/examples-${b}.avro`
  const overlap = {
    code: 'FILE_INVALID',
    message: expect.stringContaining('train twice') as string,
  }
  await expect(readFiles(archive)).rejects.toThrow(`${names('0-0-4', '0-3-6')} overlap`)
  await expect(readFiles(archive)).rejects.toMatchObject(overlap)
  await fs.rm(file('examples-0-3-6.avro'))
  await write(archive, [0, 5, 6], [])
  await write(archive, [1, 0, 1], [])
  await expect(readFiles(archive)).rejects.toThrow(`${names('0-0-4', '0-5-6')} leave a gap`)
  await write(archive, [0, 4, 5], [])
  expect(await readFiles(archive)).toHaveLength(4)
  for (const wrong of [
    [range(0, 0, 4), range(0, 5, 6)],
    [range(0, 4, 5), range(0, 0, 4)],
    [range(1, 0, 1), range(0, 0, 4)],
    [range(0, 0, 4), range(0, 0, 4)],
  ]) {
    await expect(archive.seal(day, wrong)).rejects.toMatchObject({ code: 'FILE_INVALID' })
  }
})

test('a write that was killed has left nothing that is read', async () => {
  const { archive, file } = await setUp()
  await write(archive, [0, 0, 1], [encodeExample(exampleOf('a'))])
  const whole = await fs.readFile(file('examples-0-0-1.avro'))
  await fs.writeFile(file('examples-0-1-9.avro.4711.tmp'), whole.subarray(0, 50))
  await fs.writeFile(file('notes.txt'), 'not one of ours')
  expect(await archive.ranges(day)).toEqual([range(0, 0, 1)])
  expect(await readFiles(archive)).toHaveLength(1)
})

test('a file that is damaged, renamed or fuller than its name says is refused by its name', async () => {
  const { archive, file } = await setUp()
  const values = ['a', 'b', 'c'].map((id) => encodeExample(exampleOf(id)))
  await write(archive, [0, 0, 3], values)
  const good = await fs.readFile(file('examples-0-0-3.avro'))
  const refusal = async (message: string): Promise<void> => {
    const named = `archive/day=${day}/examples-0-`
    await expect(readFiles(archive)).rejects.toThrow(message)
    await expect(readFiles(archive)).rejects.toMatchObject({
      ...{ code: 'FILE_INVALID', message: expect.stringContaining(named) as string },
    })
  }
  // The float of a feature: no other check would see it.
  const bad = Buffer.from(good)
  bad[good.length - 20]! ^= 0x10
  await fs.writeFile(file('examples-0-0-3.avro'), bad)
  await refusal('the bytes are not those that were written')
  await fs.writeFile(file('examples-0-0-3.avro'), good.subarray(0, good.length - 1))
  await refusal('15 left')
  await fs.rm(file('examples-0-0-3.avro'))
  await fs.writeFile(file('examples-0-3-6.avro'), good)
  await refusal('freshet.from is 0 in it')
  await fs.rm(file('examples-0-3-6.avro'))
  await write(archive, [0, 0, 2], values)
  await refusal('3 values, 2 at most')
  await fs.rm(file('examples-0-0-2.avro'))
  await fs.writeFile(file('examples-0-5-5.avro'), good)
  await refusal('no such offsets')
})

test('a sealed day is the files that were sealed: others are passed over, and one that is gone is missed', async () => {
  const { archive, file, said } = await setUp()
  const values = ['a', 'b', 'c'].map((id) => encodeExample(exampleOf(id)))
  await write(archive, [0, 0, 2], values.slice(0, 2))
  await write(archive, [1, 0, 1], values.slice(2))
  expect(await archive.readSeal(day)).toBeNull()
  const ranges = [range(0, 0, 2), range(1, 0, 1)]
  const seal = await archive.seal(day, ranges)
  const hash = new ExamplesHash()
  for (const [i, value] of [...values.entries()].reverse()) hash.add(i < 2 ? 0 : 1, bodyOf(value))
  expect(seal).toEqual({ format: 1, day, ranges, examples: 3, hash: hash.digest() })
  expect(await archive.readSeal(day)).toEqual(seal)
  await write(archive, [0, 0, 3], [...values.slice(0, 2), values[0]!])
  expect(await readFiles(archive)).toEqual([values.slice(0, 2), values.slice(2)].map(bodiesOf))
  expect(said).toEqual([`archive/day=${day}/examples-0-0-3.avro`])
  await fs.rm(file('examples-0-0-2.avro'))
  await expect(readFiles(archive)).rejects.toMatchObject({
    ...{ code: 'FILE_MISSING', message: expect.stringContaining('examples-0-0-2.avro') as string },
  })
})

test('a seal that is damaged, or of another day, is refused', async () => {
  const { archive, file } = await setUp()
  await write(archive, [0, 0, 1], [])
  const { hash } = await archive.seal(day, [range(0, 0, 1)])
  expect(hash).toBe('0'.repeat(32))
  const good = await fs.readFile(file('day.json'), 'utf8')
  for (const [text, message] of [
    ['{', 'day.json'],
    [good.replace('"examples": 0', '"examples": -1'), 'examples'],
    [good.replace(day, '2026-01-03'), 'it is the seal of 2026-01-03'],
    [good.replace('"format": 1', '"format": 2'), 'format'],
  ] as const) {
    await fs.writeFile(file('day.json'), text)
    await expect(archive.readSeal(day)).rejects.toThrow(message)
    await expect(archive.readSeal(day)).rejects.toMatchObject({ code: 'FILE_INVALID' })
  }
})

test('the hash of a set of examples tells partitions, doubles and changes apart, and nothing else', () => {
  const [a, b] = [Buffer.from('a'), Buffer.from('b')] as const
  const hashOf = (...added: readonly (readonly [number, Buffer])[]): string => {
    const hash = new ExamplesHash()
    for (const one of added) hash.add(...one)
    return hash.digest()
  }
  const wanted = hashOf([0, a], [1, b])
  expect(wanted).toMatch(/^[0-9a-f]{32}$/)
  expect(hashOf([1, b], [0, a])).toBe(wanted)
  const others = [hashOf([0, b], [1, a]), hashOf([0, a], [0, b]), hashOf([0, a])]
  others.push(hashOf([0, a], [1, b], [1, b]), hashOf([0, a], [0, a]), hashOf())
  expect(new Set([wanted, ...others]).size).toBe(others.length + 1)
})

test('the catalogue comes back sorted, with the items that were withdrawn', async () => {
  const { archive, file } = await setUp()
  const features = { ...noFeatures, dense: new Map([['taste', [0.5, -1]]]) }
  const entries: CatalogueChange[] = [
    { itemId: 'b', item: { itemId: 'b', title: 'Bé', createdAtMs: 5, features } },
    { itemId: 'c', item: null },
    { itemId: '', item: { itemId: '', title: '', createdAtMs: -1, features: noFeatures } },
  ]
  await archive.writeCatalogue(day, entries)
  expect(await archive.readCatalogue(day)).toEqual([entries[2], entries[0], entries[1]])
  const bytes = await fs.readFile(file('catalogue.avro'))
  await archive.writeCatalogue(day, entries.toReversed())
  expect((await fs.readFile(file('catalogue.avro'))).equals(bytes)).toBe(true)
  await fs.writeFile(file('catalogue.avro'), bytes.subarray(1))
  await expect(archive.readCatalogue(day)).rejects.toThrow(`archive/day=${day}/catalogue.avro: `)
  await expect(archive.readCatalogue('2026-01-03')).rejects.toMatchObject({ code: 'FILE_MISSING' })
  await archive.writeCatalogue(day, [entries[1]!, entries[1]!])
  await expect(archive.readCatalogue(day)).rejects.toThrow('item c is there twice')
  await archive.writeCatalogue(day, [{ ...entries[0]!, itemId: 'x' }])
  await expect(archive.readCatalogue(day)).rejects.toThrow('item b is there as x')
})

async function setUp() {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-archive-'))
  onTestFinished(() => fs.rm(dir, { recursive: true }))
  const said: string[] = []
  const warn = (fields: object): void => void said.push((fields as { file: string }).file)
  const archive = openArchive(openDirectoryStore(dir), { warn })
  return { archive, said, file: (name: string) => path.join(dir, 'archive', `day=${day}`, name) }
}

async function write(
  archive: Archive,
  [partition, from, to]: readonly [number, number, number],
  values: readonly Buffer[],
): Promise<void> {
  await archive.write(day, range(partition, from, to), values)
}

async function readFiles(archive: Archive): Promise<(readonly Buffer[])[]> {
  const files: (readonly Buffer[])[] = []
  for await (const bodies of archive.read(day)) files.push(bodies)
  return files
}

function range(partition: number, from: number, to: number): ArchivedRange {
  return { partition, from, to }
}

function bodyOf(value: Buffer): Buffer {
  return bodyOfExample(value)!
}

function bodiesOf(values: readonly Buffer[]): Buffer[] {
  return values.map(bodyOf)
}

function exampleOf(requestId: string): Example {
  return {
    ...{ kind: 'example', requestId, userId: 'user', itemId: 'item', eventTimeMs: 1_000 },
    ...{ impressionTimeMs: 900, position: 2, weight: 1, scenario: 'home', hardNegatives: ['n1'] },
    features: {
      categorical: new Map([['country', ['NL']]]),
      numeric: new Map([['age', 30]]),
      dense: new Map([['taste', [0.25]]]),
    },
  }
}

test('a day that was backfilled is read as any other, and none of its files is taken for a part of the log', async () => {
  const { archive } = await setUp()
  const ranges = [
    { partition: 0, from: 0, to: 2 },
    { partition: 0, from: 2, to: 3 },
  ]
  const values = [1, 2, 3].map((i) => encodeExample(exampleOf(`r${i}`)))
  await archive.write(day, ranges[0]!, values.slice(0, 2), 'backfill')
  await archive.write(day, ranges[1]!, values.slice(2), 'backfill')
  expect(await archive.newestBackfilled()).toBeNull()
  const seal = await archive.seal(day, ranges, 'run-1')
  expect(seal).toMatchObject({ examples: 3, backfill: 'run-1' })
  expect(await archive.readSeal(day)).toEqual(seal)
  const read: Buffer[] = []
  for await (const some of archive.read(day)) read.push(...some)
  expect(read).toEqual(values.map((value) => bodyOfExample(value)))
  expect(await archive.files(day)).toEqual([])
  expect(await archive.through()).toEqual(new Map())
  const later = '2026-12-01'
  await archive.seal(later, [])
  expect(await archive.newestBackfilled()).toBe(day)
  await archive.removeDay(day)
  expect(await archive.days()).toEqual([later])
})
