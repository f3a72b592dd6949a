import { createHash } from 'node:crypto'
import { compress } from '@bokuweb/zstd-wasm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BruteForceIndex } from '../../../../src/index/brute-force.ts'
import { decodeSnapshotRecord } from '../../../../src/records/snapshot-codec.ts'
import type { SnapshotChunk, SnapshotManifest } from '../../../../src/records/types.ts'
import { bootstrapGeneration } from '../../../../src/runtime/generation/generation.ts'
import { codecsReady } from '../../../../src/runtime/kafka/codecs.ts'
import { loadChunks } from '../../../../src/runtime/snapshot/load.ts'
import type { LoadedSnapshot } from '../../../../src/runtime/snapshot/load.ts'
import { encodeParts } from '../../../../src/runtime/snapshot/parts.ts'
import type { SnapshotContent } from '../../../../src/runtime/snapshot/parts.ts'
import { publishSnapshot } from '../../../../src/runtime/snapshot/publish.ts'
import { SnapshotAssembly } from '../../../../src/streams/snapshot-assembly.ts'
import { finish, flat, hnswFile } from '../../../support/hnsw.ts'
import { silentLog } from '../../../support/own-servers.ts'
import { randomFrom, unitVector } from '../../../support/vectors.ts'

const dim = 8
const count = 400
const random = randomFrom(6)
const rows = Array.from({ length: count }, () => unitVector(dim, random))
const content: SnapshotContent = {
  ...bootstrapGeneration(
    'g',
    {
      dim: 6,
      outputDim: dim,
      temperature: 0.2,
      user: {
        features: [{ kind: 'categorical', name: 'device', buckets: 4, dim: 2 }],
        hidden: [4],
      },
      item: { features: [], hidden: [4, 3] },
    },
    3,
    0,
  ),
  itemIds: rows.map((_, i) => `item-${i}`),
  itemVectors: flat(rows, dim),
}
const signal = new AbortController().signal
const options = { efSearch: 64, log: silentLog, signal }
const none = () => Promise.reject(new Error('nothing is stored'))

interface Sent {
  readonly manifest: SnapshotManifest
  readonly chunks: readonly SnapshotChunk[]
}

async function sent(
  parts: ReadonlyMap<string, readonly Uint8Array[]>,
  { chunkBytes = 1_000, items = count } = {},
): Promise<Sent> {
  const chunks: SnapshotChunk[] = []
  const facts = { generation: 'g', revision: 1, engine: 'exact', dim, items } as const
  const manifest = await publishSnapshot(
    { manifest: { ...facts, createdAtMs: 0, overrideSequence: 5, recall: 1 }, parts },
    {
      ...{ topic: 't', chunkBytes, inlineBytesMax: Infinity, artifacts: { put: none } },
      ...{ signal, epilogue: () => [] },
      transact: (records) => {
        for (const { value } of records) {
          const record = decodeSnapshotRecord(value!)
          if (record.kind === 'chunk') chunks.push(record)
        }
        return Promise.resolve()
      },
    },
  )
  return { manifest, chunks }
}

function load({ manifest, chunks }: Sent): Promise<LoadedSnapshot> {
  const assembly = new SnapshotAssembly(manifest)
  for (const chunk of chunks) assembly.add(chunk)
  return loadChunks(manifest, assembly.finish(), options)
}

const plain = encodeParts(content, null)
const withGraph = encodeParts(content, hnswFile(dim, rows))

test.each([
  ['exact', plain],
  ['HNSW', withGraph],
])('an %s snapshot is served as it was built', async (_, parts) => {
  const loaded = await load(await sent(parts))
  const { model, dense, userDefaultRow } = content
  expect(loaded).toMatchObject({ id: 'g', revision: 1, overrideSequence: 5, model })
  expect(loaded.dense).toEqual(dense)
  expect(loaded.userDefaultRow).toEqual(userDefaultRow)
  const truth = finish(BruteForceIndex.over(dim, content.itemIds, content.itemVectors))
  for (let i = 0; i < 20; i++) {
    const query = unitVector(dim, random)
    expect(loaded.index.search(query, 10)).toEqual(truth.search(query, 10))
    expect(loaded.index.searchAmong(query, 5, ['item-3', 'item-9'])).toEqual(
      truth.searchAmong(query, 5, ['item-3', 'item-9']),
    )
  }
})

test('whatever bit of the data is another, with a hash that fits it: refused, or of no effect', async () => {
  const query = unitVector(dim, random)
  let refused = 0
  for (const parts of [plain, withGraph]) {
    const good = await sent(parts)
    const expected = (await load(good)).index.search(query, count)
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(), fc.nat(7), async (which, where, bit) => {
        const at = which % good.chunks.length
        const data = Buffer.from(good.chunks[at]!.data)
        data[where % data.length]! ^= 1 << bit
        try {
          // One bit of a zstd frame means nothing.
          const { index, dense } = await load(replaced(good, at, data))
          expect(index.search(query, count)).toEqual(expected)
          expect(dense).toEqual(content.dense)
        } catch (error) {
          expect(error).toMatchObject({ code: 'SNAPSHOT_INVALID' })
          refused++
        }
      }),
      { numRuns: 300 },
    )
  }
  expect(refused).toBeGreaterThan(550)
})

test('a chunk that would become more than it may is refused before it is decompressed', async () => {
  await codecsReady()
  const good = await sent(plain)
  const bomb = Buffer.from(compress(Buffer.alloc(64 << 20), 1))
  expect(bomb.length).toBeLessThan(10_000)
  await expectRefusal(replaced(good, 1, bomb), /would become 67108864 bytes/)
  // No content size in the header: a frame of several segments with one empty raw block.
  const unsaid = Buffer.from('28b52ffd0058010000', 'hex')
  await expectRefusal(replaced(good, 1, unsaid), /would become an unknown number of bytes/)
  const claims = good.manifest.parts.map((part) => ({ ...part, bytes: 2 ** 52 }))
  await expectRefusal(
    { ...good, manifest: { ...good.manifest, parts: claims } },
    /the manifest says/,
  )
})

test('parts that are sound but do not make an index are refused with the reason', async () => {
  const changed = async (changes: Partial<SnapshotContent>, graph: Buffer | null = null) =>
    sent(encodeParts({ ...content, ...changes }, graph))
  const long = content.itemVectors.slice()
  long[9] = 2
  const broken = content.itemVectors.slice()
  broken[9] = NaN
  const twice = ['item-1', ...content.itemIds.slice(1)]
  await expectRefusal(await changed({ itemVectors: long }), /vector 1 has length/)
  await expectRefusal(await changed({ itemVectors: broken }), /vector 1 has length NaN/)
  await expectRefusal(await changed({ itemIds: twice }), /the same id twice/)
  await expectRefusal(
    await changed({
      itemIds: content.itemIds.slice(1),
      itemVectors: content.itemVectors.subarray(dim),
    }),
    /is missing|ids for/,
  )
  const { model, itemIds } = content
  const narrow = itemIds.map(() => unitVector(model.dim, random))
  await expectRefusal(
    await changed({
      ...bootstrapGeneration('g', { ...model, outputDim: model.dim }, 3, 0),
      ...{ itemIds, itemVectors: flat(narrow, model.dim) },
    }),
    /its vectors have 6 components, the index has 8/,
  )
  await expectRefusal(await changed({}, hnswFile(model.dim, narrow)), /bytes an element/)
  await expectRefusal(await changed({}, hnswFile(dim, rows.slice(1))), /elements: 399, not 400/)
  const row = content.userDefaultRow.slice()
  row[2] = Infinity
  await expectRefusal(await changed({ userDefaultRow: row }), /user.default_row holds Infinity/)
  const without = new Map(plain)
  without.delete('model')
  await expectRefusal(await sent(without), /part model: it is missing/)
})

test('while a large one is loaded, others have their turn', async () => {
  const items = 40_000
  const many = Array.from({ length: items }, () => unitVector(dim, random))
  const itemIds = many.map((_, i) => `item-${i}`)
  const large = { ...content, itemIds, itemVectors: flat(many, dim) }
  const { manifest, chunks } = await sent(encodeParts(large, null), { chunkBytes: 100_000, items })
  let turns = 0
  let isOver = false
  const turn = () => {
    turns++
    if (!isOver) setImmediate(turn)
  }
  setImmediate(turn)
  expect((await load({ manifest, chunks })).index.size).toBe(items)
  isOver = true
  // A chunk each, 16,384 ids each, 8,192 vectors each, once to check and once to index them.
  expect(turns).toBeGreaterThanOrEqual(chunks.length + 2 + 4 + 4)
})

test('a load that nobody waits for any more ends with the reason of its signal', async () => {
  const good = await sent(plain)
  const aborting = new AbortController()
  aborting.abort(new Error('no longer wanted'))
  const assembly = new SnapshotAssembly(good.manifest)
  for (const chunk of good.chunks) assembly.add(chunk)
  const loading = loadChunks(good.manifest, assembly.finish(), {
    ...options,
    signal: aborting.signal,
  })
  await expect(loading).rejects.toThrow('no longer wanted')
})

function replaced({ manifest, chunks }: Sent, at: number, data: Buffer): Sent {
  const sha256 = createHash('sha256').update(data).digest('hex')
  return {
    manifest,
    chunks: chunks.map((chunk, i) => (i === at ? { ...chunk, data, sha256 } : chunk)),
  }
}

async function expectRefusal(bad: Sent, why = /./): Promise<void> {
  const refused = { code: 'SNAPSHOT_INVALID', message: expect.stringMatching(why) as string }
  await expect((async () => load(bad))()).rejects.toMatchObject(refused)
}
