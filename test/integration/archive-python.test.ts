import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { encodeExample } from '../../src/records/codec.ts'
import { AvroReader } from '../../src/records/avro-io.ts'
import { bodyOfExample, readExampleBody } from '../../src/records/example-codec.ts'
import { noFeatures, type Example } from '../../src/records/types.ts'
import { openArchive } from '../../src/runtime/archive/archive.ts'
import { openDirectoryStore } from '../../src/runtime/generation/artifact-store.ts'
import type { CatalogueChange } from '../../src/streams/learner-types.ts'
import { runPython } from '../support/python.ts'

/** Avro in Python, which shares no code with ours and knows neither our schemas nor our names. */
const packages = ['fastavro==1.12.1']
const day = '2026-01-02'

/** Prints the metadata and the records of a file; where a third argument says so, writes them again with that codec. */
const script = `
import json, sys
import fastavro
source, target, codec = sys.argv[1:]
with open(source, 'rb') as file:
    reader = fastavro.reader(file)
    metadata, schema, records = dict(reader.metadata), reader.writer_schema, list(reader)
if target:
    with open(target, 'wb') as file:
        fastavro.writer(file, fastavro.parse_schema(schema), records, codec=codec, sync_interval=2000)
print(json.dumps({'metadata': metadata, 'records': records}, default=lambda time: round(time.timestamp() * 1000)))
`

interface Read {
  readonly metadata: Readonly<Record<string, string>>
  readonly records: readonly Readonly<Record<string, unknown>>[]
}

test('fastavro reads the examples of the archive, and the archive those that fastavro has written', async () => {
  const { dir, archive, file } = await setUp()
  const examples = Array.from({ length: 2_000 }, (_, i) => exampleOf(i))
  const bodies = examples.map((example) => bodyOfExample(encodeExample(example))!)
  await archive.write(day, { partition: 3, from: 10, to: 2_010 }, examples.map(encodeExample))
  const name = 'examples-3-10-2010.avro'
  for (const codec of ['null', 'deflate']) {
    const theirs = path.join(dir, 'theirs.avro')
    const { metadata, records } = await readByPython(file(name), theirs, codec)
    expect(metadata).toMatchObject({
      ...{ 'avro.codec': 'null', 'freshet.day': day, 'freshet.partition': '3' },
      ...{ 'freshet.from': '10', 'freshet.to': '2010' },
    })
    expect(records).toEqual(examples.map(recordOf))

    const other = openArchive(openDirectoryStore(path.join(dir, codec)))
    const folder = path.join(dir, codec, 'archive', `day=${day}`)
    await fs.mkdir(folder, { recursive: true })
    await fs.copyFile(theirs, path.join(folder, name))
    const read: Buffer[] = []
    for await (const some of other.read(day)) read.push(...some)
    expect(read.map(decoded)).toEqual(bodies.map(decoded))
  }
  expect((await fs.stat(path.join(dir, 'theirs.avro'))).size).toBeLessThan(
    (await fs.stat(file(name))).size / 2,
  )
})

test('fastavro reads the catalogue of a day, and withdrawn items are null', async () => {
  const { archive, file, dir } = await setUp()
  const features = { ...noFeatures, categorical: new Map([['genre', ['drama', 'comedy']]]) }
  const entries: CatalogueChange[] = [
    {
      itemId: 'a',
      item: { itemId: 'a', title: 'Amélie', createdAtMs: 1_700_000_000_123, features },
    },
    { itemId: 'b', item: null },
  ]
  await archive.writeCatalogue(day, entries)
  const theirs = path.join(dir, 'theirs.avro')
  const { records } = await readByPython(file('catalogue.avro'), theirs, 'deflate')
  const item = {
    ...{ item_id: 'a', title: 'Amélie', created_at: 1_700_000_000_123 },
    features: { categorical: { genre: ['drama', 'comedy'] }, numeric: {}, dense: {} },
  }
  expect(records).toEqual([
    { item_id: 'a', item },
    { item_id: 'b', item: null },
  ])
  await fs.copyFile(theirs, file('catalogue.avro'))
  expect(await archive.readCatalogue(day)).toEqual(entries)
})

async function setUp() {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-archive-'))
  onTestFinished(() => fs.rm(dir, { recursive: true }))
  const archive = openArchive(openDirectoryStore(dir))
  return { dir, archive, file: (name: string) => path.join(dir, 'archive', `day=${day}`, name) }
}

async function readByPython(source: string, target: string, codec: string): Promise<Read> {
  return JSON.parse(await runPython(packages, script, [source, target, codec])) as Read
}

/** Numbers that a float holds exactly. */
function exampleOf(i: number): Example {
  return {
    ...{ kind: 'example', requestId: `r${i}`, userId: `ü${i % 7}`, itemId: `i${i % 11}` },
    ...{ eventTimeMs: 1_767_312_000_000 + i, impressionTimeMs: 1_767_312_000_000 - i },
    ...{ position: i % 5, weight: 0.5 + i, scenario: 'home' },
    hardNegatives: i % 2 === 0 ? [] : ['n1', 'n2'],
    features: {
      categorical: new Map([['country', ['NL', '']]]),
      numeric: new Map([['age', i / 4]]),
      dense: new Map([['taste', [0.25, -i]]]),
    },
  }
}

function recordOf({ features, ...example }: Example): Record<string, unknown> {
  return {
    ...{ request_id: example.requestId, user_id: example.userId, item_id: example.itemId },
    ...{ event_time: example.eventTimeMs, impression_time: example.impressionTimeMs },
    ...{ position: example.position, weight: example.weight, scenario: example.scenario },
    hard_negatives: example.hardNegatives,
    features: {
      categorical: Object.fromEntries(features.categorical),
      numeric: Object.fromEntries(features.numeric),
      dense: Object.fromEntries(features.dense),
    },
  }
}

function decoded(body: Buffer) {
  return readExampleBody(new AvroReader(body))
}
